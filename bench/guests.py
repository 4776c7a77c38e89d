"""Real guests, stopped and started: pvefw, libvirt-guests.sh, virsh in a loop, libvirt's floor.

The floor is a program of eight threads that calls libvirt, waits until the guest has stopped, and does
nothing else. Aim: a stop within 1.2 and a start within 1.1 of it. libvirt itself takes 0.2 s for each
guest that stops (it looks five times a second whether QEMU has ended); the floor and pvefw are there once
more with as many threads as pvefw takes, where start-up is all that differs.

Usage: python bench/guests.py; with `floor start|stop URI WORKERS` it is the floor. `GUESTS=20` in the
environment: that many guests instead of 100, of 16 MiB each.
"""

import os
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from measure import BIN, keep, seconds, table

GUESTS, WORKERS, REPEATS = int(os.environ.get("GUESTS", "100")), 8, 3
MOST = min(GUESTS, 64)
AT_ONCE = f", {MOST} at once"
NAMES = [f"web{number:03}" for number in range(GUESTS)]
ONE_BY_ONE = ("libvirt-guests.sh", "virsh loop")
"""They take a minute or more, and are measured once."""
SCRIPT = Path("/usr/lib/libvirt/libvirt-guests.sh")
DEFAULTS = """\
URIS={uri}
ON_BOOT=start
ON_SHUTDOWN=shutdown
SHUTDOWN_TIMEOUT=120
PARALLEL_SHUTDOWN=10
"""
LOOP = {
    "start": 'for name in $NAMES; do virsh -c "$URI" -q start $name; done',
    "stop": """
        for name in $NAMES; do
            virsh -c "$URI" -q shutdown $name
            while [ "$(virsh -c "$URI" domstate $name)" != 'shut off' ]; do sleep 0.1; done
        done""",
}


# --- the floor ------------------------------------------------------------------------------------


def floor(action, uri, workers):
    import libvirt

    libvirt.virEventRegisterDefaultImpl()
    own, stopped, bell = threading.local(), set(), threading.Condition()

    def loop():
        while True:
            libvirt.virEventRunDefaultImpl()

    def changed(_connection, domain, event, *_):
        if event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
            with bell:
                stopped.add(domain.name())
                bell.notify_all()

    def act(name):
        if not hasattr(own, "connection"):
            own.connection = libvirt.open(uri)
        domain = own.connection.lookupByName(name)
        if action == "start":
            domain.create()
            return
        domain.shutdown()
        with bell:
            bell.wait_for(lambda: name in stopped, 120)

    threading.Thread(target=loop, daemon=True).start()
    watching = libvirt.open(uri)
    watching.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, changed, None)
    with ThreadPoolExecutor(int(workers)) as pool:
        list(pool.map(act, NAMES))


# --- the tools ------------------------------------------------------------------------------------


def pvefw(folder, uri):
    root = folder / "root"
    (root / "etc/pve").mkdir(parents=True)
    (root / "etc/pve/pvefw.cfg").write_text(f"guest: libvirt\n\turi {uri}\n")
    base = [BIN / "pvefw", "--root", root, "--node", "n1"]
    for line in subprocess.check_output([*base, "guest", "list"], text=True).splitlines()[1:]:
        settings = ("--onboot", "1", "--up", "0")
        subprocess.check_call([*base, "guest", "set", line.split()[0], *settings])
    return lambda workers: {
        action: [*base, f"{action}all", "--max-workers", workers] for action in LOOP
    }


def libvirt_guests(folder, uri):
    """The script, reading and writing below a folder of ours instead of /etc and /var."""
    text = SCRIPT.read_text()
    for variable, place in (("sysconfdir", "etc"), ("localstatedir", "var")):
        text = text.replace(f'{variable}="/{place}"', f'{variable}="{folder}/{place}"')
    for name in ("etc/default", "var/lib/libvirt", "var/lock/subsys"):
        (folder / name).mkdir(parents=True)
    (folder / "etc/default/libvirt-guests").write_text(DEFAULTS.format(uri=uri))
    script = folder / "libvirt-guests.sh"
    script.write_text(text)
    return {action: ["sh", script, action] for action in ("start", "stop")}


def tools(folder, uri):
    def the_floor(workers):
        return {name: [sys.executable, __file__, "floor", name, uri, workers] for name in LOOP}

    ours = pvefw(folder, uri)
    variables = f"URI='{uri}' NAMES='{' '.join(NAMES)}'; "
    return {
        "floor": the_floor(WORKERS),
        "pvefw": ours(WORKERS),
        f"floor{AT_ONCE}": the_floor(MOST),
        f"pvefw{AT_ONCE}": ours(MOST),
        "libvirt-guests.sh": libvirt_guests(folder, uri),
        "virsh loop": {key: ["sh", "-c", variables + loop] for key, loop in LOOP.items()},
    }


# --- side by side ---------------------------------------------------------------------------------


def measured(node, commands):
    """Seconds that a tool takes to stop and to start all guests, which it must really do."""
    node.wait_until_booted(*NAMES)
    taken = {"stop": seconds(commands["stop"])}
    assert node.active() == set(), commands
    taken["start"] = seconds(commands["start"])
    assert node.active() == set(NAMES), commands
    return taken


def main():
    import statistics

    from servers.libvirt import libvirt_nodes

    taken = {}
    with libvirt_nodes("n1") as [node], tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            node.define(name)
        compared = tools(Path(folder), node.uri)
        seconds(compared["floor"]["start"])
        for turn in range(REPEATS):
            for name, commands in compared.items():
                if turn and name in ONE_BY_ONE:
                    continue
                for action, value in measured(node, commands).items():
                    taken.setdefault(name, {}).setdefault(action, []).append(value)
    medians = {
        name: {action: statistics.median(values) for action, values in value.items()}
        for name, value in taken.items()
    }
    floors = {name: medians["floor" + AT_ONCE * name.endswith(AT_ONCE)] for name in medians}
    ratios = {
        name: {action: value / floors[name][action] for action, value in median.items()}
        for name, median in medians.items()
    }
    rows = [
        (
            name,
            *(f"{median[action]:.2f} s" for action in ("stop", "start")),
            *(f"{ratios[name][action]:.2f}" for action in ("stop", "start")),
        )
        for name, median in medians.items()
    ]
    table(rows, ("", "stop", "start", "of the floor: stop", "start"))
    keep("guests", {"guests": GUESTS, "seconds": medians, "times_the_floor": ratios})


if __name__ == "__main__":
    if sys.argv[1:2] == ["floor"]:
        floor(*sys.argv[2:])
    else:
        main()
