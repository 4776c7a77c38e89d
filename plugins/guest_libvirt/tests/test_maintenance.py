"""Three hosts with real guests: drained, restarted and filled again, one after the other.

The restart ends the host's libvirt daemon and what ran there, and starts it; `ssh` is a script that runs
what it gets in the host's tree.
"""

import json
import shutil
import signal
import stat
import subprocess
import sys

import pytest
from servers.libvirt import libvirt_nodes
from waiting import wait_until
from whole_host import Host

from pvefw.guests import units

NAMES = ("n1", "n2", "n3")
LIMIT = 900
"""Seconds; it is some thirty commands, one after the other."""
SETTINGS = """guest: libvirt
\turi {uri}
\ttarget_uri qemu+unix:///session?socket={base}/{{node}}/run/libvirt/libvirt-sock
\ttransfer_uri tcp://127.0.0.1
\tshared {base}/shared
\tfirst_vmid {first}
"""
RSH = """#!/bin/bash
host=$1
cd '{base}'
[ ! -e off-$host ] || exit 255
pvefw() {{ '{python}' -m pvefw --root "$PWD/root-$host" --node "$host" "$@"; }}
restart() {{
    touch $host/run/down
    kill -KILL $(pgrep -P $(pgrep -P $(cat supervisor-$host)))
    rm -f root-$host/run/pvefw/boot-guests-*
    [ ! -e broken-$host ] || {{ touch off-$host; return; }}
    rm $host/run/down
    cat /proc/sys/kernel/random/uuid >root-$host/proc/sys/kernel/random/boot_id
    socket=$PWD/$host/run/libvirt/libvirt-sock
    until virsh -c "qemu+unix:///session?socket=$socket" list &>/dev/null; do sleep 0.05; done
    pvefw boot-guests
}}
upgrade() {{  # it notes which nodes are drained, and waits where it is told to
    (cd root-$host/etc/pve/nodes; echo $host: */pvefw-drained.json) >>log
    while [ -e hold ]; do sleep 0.05; done
}}
eval "$2"
"""


pytestmark = pytest.mark.timeout(2 * LIMIT)


class Site:
    """Three hosts that share configuration, and the one from which they are maintained."""

    def __init__(self, nodes, place):
        self.nodes = {node.name: node for node in nodes}
        self.base = nodes[0].base
        self.admin = Host(place / "admin", node="adm")
        (place / "pve").mkdir()
        self.hosts = {}
        for number, node in enumerate(nodes, start=1):
            root = self.base / f"root-{node.name}"
            self.hosts[node.name] = Host(root, node=node.name)
            (root / "etc").mkdir()
            (root / "etc/pve").symlink_to(place / "pve")
            self._write(root, "proc/sys/kernel/random/boot_id", f"first-of-{node.name}\n")
            self._write(root, f"etc/systemd/system/multi-user.target.wants/{units.START}", "")
            settings = SETTINGS.format(base=self.base, uri=node.uri, first=100 * number)
            self._write(root, f"etc/pve/nodes/{node.name}/pvefw.cfg", settings)
            (self.base / f"supervisor-{node.name}").write_text(str(node.supervisor.pid))
        self.rsh = self.base / "rsh"
        self.rsh.write_text(RSH.format(base=self.base, python=sys.executable))
        self.rsh.chmod(self.rsh.stat().st_mode | stat.S_IXUSR)

    @staticmethod
    def _write(root, name, text):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)

    def guest(self, host, *names):
        """Define guests and start them."""
        for name in names:
            self.nodes[host].define(name)
        self.hosts[host].run("guest", "list")
        self.hosts[host].run("startall", "--force", "--vms", ",".join(names))
        self.nodes[host].wait_until_booted(*names)

    def where(self, *, without=""):
        """Which guests run on which host."""
        return {name: node.active() for name, node in self.nodes.items() if name != without}

    def ssh(self, host, command):
        subprocess.run([self.rsh, host, command], check=True)

    def maintain(self, *more):
        options = ["--rsh", self.rsh, "--restart", "restart"]
        return ["node", "maintain", "--hosts", ",".join(NAMES), *options, *more, "--", "upgrade"]

    def resume(self):
        assert self.admin.run("node", "maintain", "--resume", limit=LIMIT).endswith("Task OK\n")

    def status(self):
        return json.loads(self.admin.run("node", "status", "--output-format", "json"))

    def upgraded(self):
        """Each host whose turn it was, with the nodes that were drained then."""
        return (self.base / "log").read_text().splitlines() if (self.base / "log").exists() else []

    def touch(self, name):
        (self.base / name).touch()

    def remove(self, name):
        (self.base / name).unlink()


@pytest.fixture(scope="module")
def three():
    with libvirt_nodes(*NAMES) as made:
        yield made


@pytest.fixture
def site(three, tmp_path):
    made = Site(three, tmp_path)
    yield made
    for node in three:
        (node.home / "run/down").unlink(missing_ok=True)
        node.wait_until_it_answers()
        node.clear()
    for name in NAMES:
        shutil.rmtree(made.base / f"root-{name}")
    (made.base / "log").unlink(missing_ok=True)


EACH_ALONE = [f"{name}: {name}/pvefw-drained.json" for name in NAMES]


def test_three_hosts_one_after_the_other(site):
    site.guest("n1", "db", "web")
    site.hosts["n1"].run("guest", "set", "web", "--after", "100")
    site.guest("n2", "mail")
    before = site.where()
    said = site.admin.run(*site.maintain(), limit=LIMIT)
    assert said.endswith("Task OK\n"), said
    assert "n3 (3 of 3): return: its guests come back, since 2" in said
    assert site.where() == before
    assert site.upgraded() == EACH_ALONE
    assert site.status()["maintenance"] == {}


def test_a_host_that_does_not_come_back_stops_it_until_it_is_well(site):
    site.guest("n2", "mail")
    site.touch("broken-n2")
    said = site.admin.fail(*site.maintain("--timeout", 1), limit=LIMIT)
    assert "node maintain: n2: wait: not back within 1 s: " in said
    assert "rsh failed with status 255" in said
    assert "Done: n1; not begun: n3. When n2 is fine again: pvefw node maintain --resume" in said
    place = site.status()["maintenance"]
    assert (place["host"], place["step"], place["done"]) == ("n2", "wait", ["n1"])
    where = site.where(without="n2")
    assert sorted(where["n1"] | where["n3"]) == ["mail"]
    said = site.hosts["n3"].fail("node", "drain", "--to", "n1")
    assert "n2 is drained; only one node at a time may be" in said
    assert "another maintenance is not finished: n2 (2 of 3): wait" in site.admin.fail(
        *site.maintain()
    )

    site.remove("broken-n2")
    site.remove("off-n2")
    site.ssh("n2", "restart")
    site.resume()
    assert site.where() == {"n1": set(), "n2": {"mail"}, "n3": set()}
    assert site.upgraded() == EACH_ALONE


def test_one_that_was_killed_goes_on_where_it_was(site):
    site.guest("n1", "db")
    site.touch("hold")
    process = site.admin.start(*site.maintain())
    wait_until(site.upgraded, "the command runs on n1", seconds=LIMIT)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    place = site.status()["maintenance"]
    assert (place["host"], place["step"], place["done"]) == ("n1", "command", [])
    assert "db" not in site.where()["n1"]
    site.remove("hold")
    site.resume()
    assert site.where() == {"n1": {"db"}, "n2": set(), "n3": set()}
    assert site.upgraded() == [EACH_ALONE[0], *EACH_ALONE]


def test_what_runs_on_another_host_counts(site):
    site.guest("n2", "db")
    site.guest("n1", "web")
    host = site.hosts["n1"]
    host.run("guest", "set", "web", "--after", "200", "--onboot", 1)
    host.run("stopall")
    assert (
        json.loads(host.run("guest", "show", "web", "--output-format", "json"))["blocked-by"] == []
    )
    assert host.run("boot-guests").endswith("Task OK\n")
    host.run("stopall")
    site.hosts["n2"].run("stopall")
    assert "100 blocked: it waits for 200, which is stopped on n2" in host.fail("boot-guests")
    assert (
        json.loads(host.run("node", "status", "--output-format", "json"))["boot-guests"] == "failed"
    )
