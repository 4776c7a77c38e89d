"""This machine's ESPs: found, mounted, and whether somebody has written to them."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from pvefw.boot import disks, mounts
from pvefw.boot.disks import Device
from pvefw.core.errors import ProgramError
from pvefw.core.model import Task
from pvefw.host import fat, programs
from pvefw.store import this_boot
from pvefw.store.paths import Paths

_Result = TypeVar("_Result")
_WRITES = (4, 6, 11, 13)
"""Of ``/sys/class/block/X/stat``: writes, sectors written, discards, sectors discarded."""


class Mounted(Protocol):
    """An ESP that is mounted."""

    path: Path

    def make_writable(self) -> None:
        """Allow writing; until then it is read-only.

        :raises StoreError: it cannot be written.
        """


class Machine(Protocol):
    """Where ESPs are. The real one has block devices; tests have directories."""

    def devices(self) -> disks.Devices:
        """All block devices.

        :raises ProgramError: they cannot be listed.
        """

    def mounted(self, device: Device) -> contextlib.AbstractContextManager[Mounted]:
        """Mount a file system read-only, only inside of :meth:`privately`.

        Leaving it well writes everything out; leaving it with an exception does not wait for that.

        :raises StoreError: it cannot be mounted, or not everything could be written.
        """

    def privately(self, work: Callable[[], _Result], task: Task) -> _Result:
        """Do the work where the rest of the system does not see its mounts.

        :raises StoreError: we may not.
        """

    def seal(self, device: Device) -> str | None:
        """A text that is the same for as long as nobody writes to this device.

        ``None`` where that cannot be known.
        """

    def file_system(self, device: Device) -> fat.Volume | None:
        """What is known of a file system; ``None`` where it is mounted, or cannot be asked."""

    def repair(self, device: Device) -> str:
        """Mend the file system, which is not mounted, after it was left in the middle of a change.

        :returns: what was done, on one line; empty where nothing can be said.
        """


class Host:
    """The machine we run on."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def devices(self) -> disks.Devices:
        return disks.read()

    def mounted(  # pragma: no cover - it needs a disk
        self, device: Device
    ) -> contextlib.AbstractContextManager[mounts.Mount]:
        return mounts.mounted(device.path, self._paths.esp_mounts / device.kname)

    def privately(self, work: Callable[[], _Result], task: Task) -> _Result:
        return mounts.privately(work, task)

    def seal(self, device: Device) -> str | None:  # pragma: no cover - it needs a disk
        """The boot, the disk's sequence number and the kernel's count of writes to the partition.

        All three the same: nothing was written since. A file system that is mounted elsewhere may hold
        changes that are not written yet.
        """
        if device.mountpoints:
            return None
        directory = Path("/sys/class/block") / device.kname
        try:
            numbers = (directory / "stat").read_text().split()
            sequence = (Path("/sys/class/block") / (device.parent or device.kname)) / "diskseq"
            disk = sequence.read_text().strip()
            # fewer numbers: a kernel that does not count discards
            counts = [numbers[at] for at in _WRITES if at < len(numbers)]
        except OSError:
            return None
        if device.is_partition and not _counts(directory):
            return None
        return " ".join([this_boot.id_(self._paths), device.kname, disk, *counts])

    def file_system(self, device: Device) -> fat.Volume | None:
        if device.mountpoints:
            return None
        try:
            with device.path.open("rb") as file:
                return fat.Volume.of(file.read(fat.SECTOR))
        except OSError:
            return None

    def repair(self, device: Device) -> str:  # pragma: no cover - it needs a disk
        if shutil.which("fsck.vfat") is None or device.mountpoints:
            return ""
        try:
            done = programs.run(
                ["fsck.vfat", "-a", "-w", str(device.path)], check=False, timeout=300
            )
        except ProgramError as error:
            return error.message
        return done.last_words if done.returncode else ""


def _counts(directory: Path) -> bool:  # pragma: no cover - as above
    """Whether the kernel counts what is written: somebody may have told it not to."""
    disk = Path(os.path.realpath(directory)).parent
    with contextlib.suppress(OSError):
        return (disk / "queue/iostats").read_text().strip() == "1"
    return False
