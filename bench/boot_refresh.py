"""Refreshing two ESPs with three kernels of 75 MB each, against `cp` and `sync` of the same bytes.

The ESPs are directories, so both sides write to the same file system, and what is measured is the sync
engine: comparing, writing, syncing. A refresh begins with nothing known in memory. What does not change
is older than two seconds, as kernels are, so it is known from the refresh before what its copies equal;
what is younger would be read again.

The aims are 1.15 for all new and 1.3 for one changed kernel. What a refresh does and `cp` does not: a
sync of each file and folder, in order, and of its own records before and after each ESP.

Both sides replace what is there by what was just written: in a virtual machine, memory that was never
used costs more than memory that was just freed, so the sides must not differ in that.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import ROOT, keep, side_by_side, table

sys.path.insert(0, str(ROOT / "tests"))

from boot.conftest import UUIDS, HostTree, Plain, loaders_of
from servers.directory_machine import DirectoryMachine

from pvefw.boot import refresh, registry
from pvefw.boot.context import Context
from pvefw.testing.fakes import FakeTask

KERNELS = ("6.5.13-6-pve", "6.8.4-2-pve", "6.8.12-4-pve")
SIZES = {"vmlinuz": 14_000_000, "initrd.img": 61_000_000}
REPEATS = 5
SETTLED = 3
"""Seconds after which the times of a file are believed, and a little more."""


class Bench:
    """A host, its ESPs, and a place for cp."""

    def __init__(self, directory):
        self.host = HostTree(directory / "host")
        self.machine = DirectoryMachine(directory / "esps")
        self.plain = Plain()
        self.copies = directory / "copies"
        self.rebuilt = 0
        for version in KERNELS:
            self.rebuild(version)
        for uuid in UUIDS:
            self.machine.add(uuid)
        for uuid in UUIDS:
            registry.init(self.context(), self.machine.path_of(uuid), "plain")

    def context(self):
        return Context(self.host.paths, self.machine, loaders_of(self.plain), FakeTask())

    def files(self, versions):
        return [self.host.root / f"boot/{name}-{version}" for version in versions for name in SIZES]

    def rebuild(self, version):
        """New content for a kernel and its initrd, of another size, as it will be."""
        self.rebuilt += 1
        for path in self.files([version]):
            size = SIZES[path.name.partition("-")[0]] + self.rebuilt * 512
            with path.open("wb") as file, Path("/dev/urandom").open("rb") as random:
                file.write(random.read(size))

    def refresh(self, versions, empty=False):
        """Seconds that a refresh takes after these kernels have changed.

        :param empty: whether there is nothing but a loader on the ESPs.
        """
        self.remember()
        if empty:
            self.empty()
        self.change(versions)
        started = time.perf_counter()
        result = refresh.refresh(self.context())
        taken = time.perf_counter() - started
        assert bool(result.changed) == bool(versions), result
        return taken

    def remember(self):
        """What does not change now was there before, and is known: kernels are older than two seconds."""
        youngest = max(path.stat().st_ctime for path in self.files(KERNELS))
        time.sleep(max(0.0, youngest + SETTLED - time.time()))
        refresh.refresh(self.context())

    def empty(self):
        """Leave nothing but the loader on the ESPs."""
        for uuid in UUIDS:
            for path in (self.machine.directory / uuid / "plain").iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != "loader":
                    path.unlink()

    def cp(self, versions, empty=False):
        """Seconds that cp and sync take on two ESPs, after these kernels have changed.

        :param empty: whether there is nothing yet; else the old files give way, as they do on ESPs.
        """
        if empty:
            shutil.rmtree(self.copies, ignore_errors=True)
        self.change(versions)
        started = time.perf_counter()
        for uuid in UUIDS:
            target = self.copies / uuid
            target.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", *self.files(versions), target], check=True)
            subprocess.run(["sync", "--file-system", target], check=True)
        return time.perf_counter() - started

    def change(self, versions):
        """These kernels are made anew, and nothing of before is still being written."""
        for version in versions:
            self.rebuild(version)
        self.settle()

    def settle(self):
        """Nothing of before is still being written."""
        subprocess.run(["sync", "--file-system", self.host.root], check=True)


def main():
    with tempfile.TemporaryDirectory(prefix="pvefw-bench-") as directory:
        bench = Bench(Path(directory))
        bench.refresh([])
        measures = {
            "cp and sync, all": lambda: bench.cp(KERNELS, empty=True),
            "refresh, all new": lambda: bench.refresh(KERNELS, empty=True),
            "cp and sync, one": lambda: bench.cp(KERNELS[:1]),
            "refresh, one changed": lambda: bench.refresh(KERNELS[:1]),
            "refresh, nothing changed": lambda: bench.refresh([]),
        }
        forward = side_by_side(measures, REPEATS)
        # who writes first has the disk's caches for himself: once more, the other way round
        backward = side_by_side(dict(reversed(measures.items())), REPEATS)
        taken = {name: (forward[name] + backward[name]) / 2 for name in measures}
    ratios = {
        "all new": taken["refresh, all new"] / taken["cp and sync, all"],
        "one changed": taken["refresh, one changed"] / taken["cp and sync, one"],
    }
    table([[name, f"{value:.3f} s"] for name, value in taken.items()], ["", "median"])
    table([[name, f"{value:.2f}"] for name, value in ratios.items()], ["", "of cp and sync"])
    keep("boot_refresh", {"repeats": REPEATS, "seconds": taken, "of_cp_and_sync": ratios})


if __name__ == "__main__":
    main()
