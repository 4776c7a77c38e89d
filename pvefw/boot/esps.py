"""The ESPs of this host: which are registered, which of them are there, and what one of them offers."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pvefw.boot import disks
from pvefw.boot.disks import Device
from pvefw.boot.esp_files import EspFiles
from pvefw.core.errors import NotFound, PluginError, ProviderError, StoreError
from pvefw.core.model import Esp
from pvefw.store import kernel_files, oddities
from pvefw.store.paths import Paths

_UUID = re.compile(r"[0-9A-F]{4}-[0-9A-F]{4}", re.IGNORECASE)


@dataclass(frozen=True)
class Volume:
    """One line of ``proxmox-boot-uuids``."""

    entry: str
    """As it is written there."""
    device: Device | None
    """``None`` where no disk has it."""
    disk: Path | None
    doubles: Sequence[Path] = ()
    """Other partitions that have the same volume id."""

    @property
    def problem(self) -> str:
        """Why it cannot be worked on, or empty."""
        if not self.is_uuid:
            return "that is not the volume id of a FAT file system"
        if self.device is None:
            return "not found"
        if self.doubles:
            return f"{', '.join(map(str, self.doubles))} has the same volume id"
        return ""

    @property
    def advice(self) -> str:
        """What to do about the problem."""
        if self.doubles:
            return "Format one of them and initialize it: pvefw boot format PARTITION --force"
        if not self.is_uuid:
            return "Every line has one, as in AAAA-0001: lsblk -o PATH,FSTYPE,UUID"
        return "If it is gone for good: pvefw boot clean"

    def names_one_of(self, devices: disks.Devices) -> bool:
        """Whether a line that is no volume id has some in it, as ``AAAA-0001,BBBB-0002`` has."""
        return any(devices.with_uuid(uuid) for uuid in _UUID.findall(self.entry))

    @property
    def partition(self) -> Device:
        """Where it is.

        :raises NotFound: it is not there.
        """
        if self.device is None:
            raise NotFound(f"{self.who}: {self.problem}", hint=self.advice)
        return self.device

    @property
    def is_uuid(self) -> bool:
        """Whether it can be the volume id of a FAT file system at all."""
        return is_uuid(self.entry)

    @property
    def who(self) -> str:
        """For messages: ``ESP ABCD-1234 (/dev/sda2)``."""
        if self.device is None:
            return f"ESP {self.entry}" if self.is_uuid else f"ESP {self.entry!r}"
        return f"ESP {self.entry} ({self.device.path})"

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Say which ESP it is in errors of plugins, which do not know what pvefw calls it."""
        try:
            yield
        except (PluginError, ProviderError) as error:
            if self.entry not in error.message:
                error.message = f"{self.who}: {error.message}"
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Say which ESP it is that cannot be read.

        :raises StoreError: it cannot be read.
        """
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"{self.who}: it cannot be read: {error.strerror or error}",
                hint="See the kernel's log for errors of that disk: dmesg",
            ) from error


def is_uuid(text: str) -> bool:
    """Whether a text can be the volume id of a FAT file system."""
    return _UUID.fullmatch(text) is not None


def registered(paths: Paths, devices: disks.Devices) -> list[Volume]:
    """Every ESP to keep up to date, each once however often, or in which case, it is listed."""
    entries: dict[str, str] = {}
    for entry in kernel_files.entries(paths.esp_uuids):
        entries.setdefault(entry.upper(), entry)
    return [resolve(entry, devices) for entry in entries.values()]


def volumes(paths: Paths, devices: disks.Devices) -> list[Volume]:
    """As :func:`registered`, without lines that are no volume id: they are reported, and left out.

    A stray line must not make the package of a kernel fail.
    """
    mountable = []
    for volume in registered(paths, devices):
        if is_uuid(volume.entry):
            mountable.append(volume)
        else:
            what = f"'{oddities.readable(volume.entry)}' is not the volume id of a FAT file system"
            oddities.report(paths.esp_uuids, 0, what, "the line is ignored")
    return mountable


def resolve(entry: str, devices: disks.Devices) -> Volume:
    """The ESP of a volume id."""
    holders = devices.with_uuid(entry) if is_uuid(entry) else []
    device = holders[0] if holders else None
    disk = devices.disk_of(device) if device else None
    return Volume(entry, device, disk.path if disk else None, [other.path for other in holders[1:]])


def esp(volume: Volume, mountpoint: Path) -> Esp:
    """An ESP that is mounted, as plugins see it.

    :raises OSError: it cannot be asked.
    """
    size, free, _ = EspFiles(mountpoint).space()
    return Esp(
        uuid=volume.partition.uuid or volume.entry,
        device=volume.partition.path,
        disk=volume.disk or volume.partition.path,
        mountpoint=mountpoint,
        size=size,
        free=free,
    )
