"""Disks and partitions, as the kernel, udev and ``lsblk`` describe them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pvefw.core.errors import NotFound, ProgramError
from pvefw.host import programs

ESP_TYPE = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
"""GPT type of an EFI system partition: ``EF00`` of sgdisk."""
BIOS_BOOT_TYPE = "21686148-6449-6e6f-744e-656564454649"
"""GPT type of the place where GRUB's core image lies: ``EF02`` of sgdisk."""
_COLUMNS = (
    "PATH,KNAME,PKNAME,TYPE,SIZE,FSTYPE,UUID,PARTTYPE,PTTYPE,MOUNTPOINTS,LOG-SEC,RO,PARTUUID,LABEL,"
    "PARTLABEL"
)


@dataclass(frozen=True)
class Device:
    """A disk, a partition, or what was made of them."""

    path: Path
    kname: str
    """Its name below ``/sys/class/block``."""
    type: str
    """``disk``, ``part``, ``loop``, ``lvm``, ``raid1`` …"""
    size: int
    """Bytes."""
    parent: str = ""
    """The kname of what it is a part of."""
    fstype: str = ""
    uuid: str = ""
    """Of the file system in it; of FAT the volume id: ``ABCD-1234``."""
    partition_type: str = ""
    """GPT type, lower case; of MBR ``0x…``."""
    table: str = ""
    """The kind of partition table on it, or (of a partition) that it stands in: ``gpt``, ``dos``."""
    mountpoints: Sequence[str] = ()
    users: Sequence[str] = ()
    """The knames of what was made of it: partitions, RAID, LVM, encryption."""
    sector: int = 512
    """Bytes of a logical sector."""
    read_only: bool = False
    partition_uuid: str = ""
    """Lower case; what firmware and ``/etc/fstab`` may know a partition by."""
    label: str = ""
    """Of the file system; hosters' images mount their ESP by it, and all of one image have the same."""
    partition_label: str = ""

    @property
    def is_partition(self) -> bool:
        return self.type == "part"


class Devices:
    """All block devices of one moment."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self._devices = devices

    def __iter__(self) -> Iterator[Device]:
        return iter(self._devices)

    def find(self, path: Path) -> Device:
        """The device of this path, or of what it is a link to.

        :raises NotFound: there is none.
        """
        for other in self._devices:
            if other.path in (path, path.resolve()):
                return other
        if path.is_file():
            raise NotFound(
                f"{path} is a file, not a block device",
                hint=f"Attach it as one first: losetup --find --partscan --show {path}",
            )
        raise NotFound(
            f"{path}: no such block device",
            hint="List them: lsblk. If its disk was partitioned just now: partx --update DISK",
        )

    def with_uuid(self, uuid: str) -> list[Device]:
        """The FAT file systems of this volume id: more than one where a disk was copied as it is.

        What is seen through several paths (multipath) is one, and is worked on through what joins them.
        """
        return [
            other
            for other in self._devices
            if other.fstype == "vfat"
            and other.uuid.upper() == uuid.upper()
            and not self._is_a_path(other)
        ]

    def _is_a_path(self, device: Device) -> bool:
        """Whether a device, or the disk that it is on, is one of several paths to the same disk."""
        users = {*device.users, *(disk.users if (disk := self.disk_of(device)) else ())}
        return any(other.kname in users and other.type == "mpath" for other in self._devices)

    def disk_of(self, device: Device) -> Device | None:
        """What a partition is a part of."""
        return next((other for other in self._devices if other.kname == device.parent), None)

    def parts_of(self, disk: Device) -> list[Device]:
        """The partitions of a disk."""
        return [
            other for other in self._devices if other.is_partition and other.parent == disk.kname
        ]


def unseen(what: str) -> str:
    """A hint's last sentence where nothing is known of a partition: it is udev that looks at them."""
    return "" if what else " If it has one, udev does not run here: see lsblk --fs"


def read() -> Devices:
    """Ask for all block devices.

    :raises ProgramError: ``lsblk`` is missing or fails.
    """
    try:
        done = programs.run(["lsblk", "--json", "--bytes", "--list", "--output", _COLUMNS])
    except ProgramError as error:
        error.hint = (
            error.hint or "In a chroot, /dev, /proc, /sys and /run/udev have to be mounted."
        )
        raise
    return parse(done.stdout)


def parse(text: str) -> Devices:
    """What ``lsblk --json --bytes --list`` printed.

    :raises ProgramError: it is something else.
    """
    try:
        rows: list[dict[str, Any]] = json.loads(text)["blockdevices"]
    except (ValueError, KeyError, TypeError) as error:
        raise ProgramError(f"lsblk printed no list of devices: {text[:80]!r}") from error
    users: dict[str, list[str]] = {}
    for row in rows:
        users.setdefault(row["pkname"] or "", []).append(row["kname"])
    made: dict[str, Device] = {}
    for row in rows:  # what has several parents (RAID) is listed several times
        made.setdefault(row["kname"], _device(row, users))
    return Devices(list(made.values()))


def _device(row: Mapping[str, Any], users: Mapping[str, Sequence[str]]) -> Device:
    return Device(
        path=Path(row["path"]),
        kname=row["kname"],
        type=row["type"],
        size=int(row["size"] or 0),
        parent=row["pkname"] or "",
        fstype=row["fstype"] or "",
        uuid=row["uuid"] or "",
        partition_type=(row["parttype"] or "").lower(),
        table=row["pttype"] or "",
        mountpoints=[mountpoint for mountpoint in row["mountpoints"] or () if mountpoint],
        users=users.get(row["kname"], ()),
        sector=int(row["log-sec"] or 512),
        read_only=bool(row["ro"]),
        partition_uuid=(row.get("partuuid") or "").lower(),
        label=row.get("label") or "",
        partition_label=row.get("partlabel") or "",
    )


def settle() -> None:  # pragma: no cover - it needs a disk
    """Wait until udev has seen what was changed on the disks."""
    programs.run(["udevadm", "settle"], check=False)
