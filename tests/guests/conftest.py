"""A node whose guests are files: a hypervisor that can be told to be slow, deaf or dead."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest
from waiting import wait_until

from pvefw.cli.run import run
from pvefw.store.paths import Paths

PLUGIN = """
    import json, threading, time
    from dataclasses import dataclass, replace
    from pathlib import Path
    from pvefw.api import (
        Guest, GuestState, MigrateTarget, NothingRuns, ProviderError, Unavailable, hookimpl, setting,
    )

    LOCK = threading.Lock()
    OWN = ("vmid", "name", "kind", "state", "onboot", "order", "up", "down", "ready", "after",
           "template", "managed_by_ha", "memory", "backend_id")

    @dataclass
    class Farm:
        '''Guests that are files.'''

        directory: Path = setting(help="Where they are.")
        token: str = setting(help="For nothing.", secret=True, default="")

        def read(self, vmid):
            path = self.directory / f"{vmid}.json"
            if not path.exists():
                raise ProviderError(f"there is no guest {vmid}")
            return json.loads(path.read_text())

        def write(self, vmid, **changes):
            with LOCK:
                path = self.directory / f"{vmid}.json"
                new = path.with_suffix(".new")
                new.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
                new.rename(path)

        def note(self, what, guest, **more):
            with LOCK, (self.directory / "events").open("a") as file:
                line = {"event": what, "vmid": guest.vmid, "time": time.monotonic(), **more}
                file.write(json.dumps(line) + "\\n")

        def gone(self):
            return (self.directory / "gone").exists()

        @hookimpl
        def guest_list(self):
            if self.gone():
                raise Unavailable("the daemon does not answer")
            if (self.directory / "idle").exists():
                raise NothingRuns("nobody needs the daemon")
            return [
                Guest(**{**{key: raw[key] for key in OWN if key in raw},
                         "state": GuestState(raw["state"])})
                for path in self.directory.glob("*.json")
                for raw in [json.loads(path.read_text())]
            ]

        @hookimpl
        def guest_start(self, guest, task):
            raw = self.read(guest.vmid)
            if self.gone():
                raise Unavailable("the daemon does not answer")
            self.note("start", guest)
            task.wait(raw.get("start_secs", 0))
            if raw.get("fail"):
                raise ProviderError("no bootable device")
            self.write(guest.vmid, state="stopped" if raw.get("dies") else "running")
            self.note("started", guest)

        @hookimpl
        def guest_shutdown(self, guest, timeout, task):
            self.note("shutdown", guest, timeout=timeout)
            raw = self.read(guest.vmid)
            end = time.monotonic() + timeout
            down = raw.get("down_secs", 0)
            while down is None or down > 0:
                if time.monotonic() >= end:
                    raise Unavailable(f"it still runs after {timeout:g} s")
                task.wait(0.05)
                down = down if down is None else down - 0.05
            self.write(guest.vmid, state="stopped")
            self.note("stopped", guest)

        @hookimpl
        def guest_stop(self, guest):
            self.note("killed", guest)
            self.write(guest.vmid, state="stopped")

        @hookimpl
        def guest_migrate(self, guest, target, options):
            self.note("migrate", guest, target=target, online=options.online)
            if self.read(guest.vmid).get("fail"):
                raise ProviderError("the target has refused it")
            self.note("migrated", guest)

        @hookimpl
        def guest_target(self, target):
            if target == "dead":
                raise Unavailable("dead cannot be reached")
            return MigrateTarget(target, {"small": 1 << 30, "big": 3 << 30, "pve2": 8 << 30}[target])

        @hookimpl
        def guest_migrate_check(self, guest, options):
            local = self.read(guest.vmid).get("local_disk")
            return ["disk sda is local"] if local and not options.with_local_disks else []

        @hookimpl
        def guest_ready(self, guest, timeout, task):
            task.wait(self.read(guest.vmid)["ready_secs"])
            self.note("ready", guest)
            return True

        @hookimpl
        def guest_set(self, guest, values):
            kept = {key: int(text) if text else None
                    for key, text in values.items() if key in ("order", "up", "down")}
            if "onboot" in values:
                kept["onboot"] = values["onboot"] == "1"
            if "ready" in values:
                kept["ready"] = values["ready"]
            if "after" in values:
                kept["after"] = [int(one) for one in values["after"].split(",") if one]
            self.write(guest.vmid, **kept)
"""


@dataclass
class Farm:
    """A node named ``pve1`` with guests."""

    root: Path
    site: Path
    directory: Path

    @property
    def paths(self) -> Paths:
        return Paths(self.root, "pve1")

    def guest(self, vmid, **settings):
        default = {"vmid": vmid, "name": f"vm{vmid}", "kind": "vm", "state": "stopped"}
        self.directory.mkdir(exist_ok=True)
        raw = json.dumps({**default, "onboot": True, "up": 0, **settings})
        (self.directory / f"{vmid}.json").write_text(raw)

    def state(self, vmid):
        return json.loads((self.directory / f"{vmid}.json").read_text())["state"]

    def events(self, *kinds):
        file = self.directory / "events"
        lines = file.read_text().splitlines() if file.exists() else []
        found = [json.loads(line) for line in lines]
        return [event for event in found if not kinds or event["event"] in kinds]

    def order(self, *kinds):
        return [event["vmid"] for event in self.events(*kinds)]

    def configure(self, text):
        path = self.paths.cluster_pvefw_cfg
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def start(self, *arguments):
        """Start a command."""
        where = ["--root", str(self.root), "--node", "pve1"]
        return subprocess.Popen(
            [sys.executable, "-m", "pvefw", *where, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": str(self.site)},
        )

    def try_(self, *arguments):
        """Run a command, however it ends: its status and what it said."""
        with self.start(*arguments) as process:
            said = process.communicate(timeout=60)[0]
        assert "Traceback" not in said, said
        return process.returncode, said

    def run(self, *arguments):
        status, said = self.try_(*arguments)
        assert status == 0, said
        return said

    def fail(self, *arguments, status=1):
        got, said = self.try_(*arguments)
        assert got == status, said
        return said

    def interrupt(self, process, number=signal.SIGINT):
        process.send_signal(number)
        said = process.communicate(timeout=60)[0]
        assert "Traceback" not in said, said
        return process.returncode, said

    def wait_for(self, *kinds, count=1):
        """Until so many events of these kinds were seen."""
        wait_until(lambda: len(self.events(*kinds)) >= count, f"{count} of {kinds}", seconds=30)


@pytest.fixture
def farm(tmp_path, node_root):
    site = tmp_path / "site"
    info = site / "dist_farm-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: dist-farm\nVersion: 1.0\nRequires-Dist: pvefw>=1,<2\n"
    )
    (info / "entry_points.txt").write_text("[pvefw.guest]\nfarm = dist_farm:Farm\n")
    (site / "dist_farm.py").write_text(textwrap.dedent(PLUGIN))
    made = Farm(node_root, site, tmp_path / "guests")
    made.configure(f"guest: farm\n\tdirectory {made.directory}\n")
    return made


@pytest.fixture
def typed(farm, monkeypatch, capfd):
    """Run a command in this process; its status and what it said."""
    monkeypatch.syspath_prepend(str(farm.site))
    monkeypatch.setenv("PVEFW_ROOT", str(farm.root))
    monkeypatch.setenv("PVEFW_NODE", "pve1")

    def type_(*words):
        status = run(words)
        said = capfd.readouterr()
        return status, said.out + said.err

    return type_
