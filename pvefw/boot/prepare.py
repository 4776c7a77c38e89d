"""Makes disks ready: the installer's partitions, and the file system of an ESP.

What is about to be done is one call, doing it is a second one, so that somebody can be asked between.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pvefw.boot import disks
from pvefw.boot.disks import BIOS_BOOT_TYPE, ESP_TYPE, Device, Devices
from pvefw.core.errors import PvefwError, UsageError
from pvefw.core.model import Task
from pvefw.host import programs
from pvefw.store import files

SMALLEST_ESP = 256 << 20
"""Bytes; room for two or three kernels."""
_ESP_SIZE = 512 << 20
_MIB = 1 << 20
_LINUX_TYPE = "0fc63daf-8483-4772-8e79-3d69d8477de4"
_SMALLEST_DISK = 1 << 30


def size(number: int) -> str:
    """Bytes for people: ``512.0 MiB``."""
    return f"{number / _MIB:.1f} MiB" if number < 1 << 30 else f"{number / (1 << 30):.1f} GiB"


def used_by(device: Device) -> str:
    """What uses a device, or empty."""
    if device.mountpoints:
        return f"it is mounted on {', '.join(device.mountpoints)}"
    if device.users:
        return f"it is in use by {', '.join(device.users)}"
    return "it is in use by the kernel" if _held_by_the_kernel(device.path) else ""


def _held_by_the_kernel(path: Path) -> bool:  # pragma: no cover - it needs a disk
    """Whether something holds a device for itself that lsblk does not know of: ZFS, for example.

    :raises StoreError: that cannot be found out.
    """
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        raise files.failed("open", path, error) from error
    return False


def _on_it(device: Device) -> Device:
    """A device with what is on it, also where udev has not told: in a chroot or a container."""
    if device.fstype or (device.table and not device.is_partition):
        return device
    output = programs.run(["blkid", "-p", "-o", "export", str(device.path)], check=False).stdout
    fields = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    return replace(
        device,
        fstype=fields.get("TYPE", ""),
        uuid=device.uuid or fields.get("UUID", ""),
        table=device.table or fields.get("PTTYPE", ""),
    )


# --- format ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    """What ``format`` is about to do."""

    device: Device
    lines: list[str]


def check_format(devices: Devices, path: Path, *, force: bool) -> Format:
    """Whether a partition can become an ESP.

    :param force: also where it has a file system, or is of another GPT type.
    :raises UsageError: it cannot, and nothing was done.
    :raises NotFound: there is no such device.
    """
    device = _on_it(devices.find(path))
    _refuse_format(device, force=force)
    lines = [f"{device.path}: {size(device.size)}, make a FAT32 file system on it"]
    if device.fstype:
        lines.append(f"{device.path}: the {device.fstype} file system {device.uuid} on it is lost")
    return Format(device, lines)


def _refuse_format(device: Device, *, force: bool) -> None:
    who = f"format: {device.path}"
    if not device.is_partition:
        raise UsageError(
            f"{who}: it is not a partition but a {device.type}",
            hint="Make an ESP on it first: pvefw boot partition DISK",
        )
    if used := used_by(device):
        raise UsageError(f"{who}: {used}", hint="Name another partition, or unmount it first.")
    if device.size < SMALLEST_ESP:
        raise UsageError(
            f"{who}: it is too small: {size(device.size)}, an ESP needs {size(SMALLEST_ESP)}",
            hint="Kernels of about 75 MiB have to fit, and each of them twice while it is replaced.",
        )
    if force:
        return
    if device.fstype:
        raise UsageError(
            f"{who}: there is a file system on it already ({device.fstype})",
            hint="If that can be lost: --force",
        )
    if device.partition_type != ESP_TYPE:
        raise UsageError(
            f"{who}: it is not an EFI system partition by its type "
            f"({device.partition_type or 'none'})",
            hint=f"Set its type (sgdisk: EF00), or --force.{disks.unseen(device.partition_type)}",
        )


def format_(planned: Format, task: Task) -> None:
    """Make the file system.

    :raises ProgramError: it cannot be made.
    """
    path = str(planned.device.path)
    with _about(f"format: {path}"):
        programs.run(["mkfs.vfat", "-F", "32", "-n", "ESP", path], timeout=300)
        disks.settle()
        uuid = programs.run(["blkid", "-p", "-s", "UUID", "-o", "value", path]).stdout.strip()
    task.log(f"{path}: FAT32, volume id {uuid}")


@contextlib.contextmanager
def _about(who: str) -> Iterator[None]:
    """Say in errors what they are about, and which package may be missing."""
    try:
        yield
    except PvefwError as error:
        error.message = f"{who}: {error.message}"
        error.hint = error.hint or "The programs are in the packages dosfstools, fdisk, util-linux."
        raise


# --- partition ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Partitioning:
    """What ``partition`` is about to do."""

    disk: Device
    lines: list[str]
    script: str
    """For ``sfdisk``."""


def check_partition(devices: Devices, path: Path, *, force: bool) -> Partitioning:
    """Whether a disk can get the installer's partitions.

    :param force: also where it has a partition table or a file system.
    :raises UsageError: it cannot, and nothing was done.
    :raises NotFound: there is no such device.
    """
    disk = _on_it(devices.find(path))
    who = f"partition: {disk.path}"
    if disk.type not in ("disk", "loop"):
        raise UsageError(f"{who}: it is not a disk but a {disk.type}", hint="See: lsblk")
    if disk.read_only:
        raise UsageError(f"{who}: it is write-protected")
    _refuse_used(disk, devices, who)
    if disk.size < _SMALLEST_DISK:
        raise UsageError(
            f"{who}: it is too small: {size(disk.size)}, a disk needs {size(_SMALLEST_DISK)}"
        )
    if not force and (disk.table or disk.fstype):
        what = f"a partition table ({disk.table})" if disk.table else f"{disk.fstype} on it"
        raise UsageError(f"{who}: it has {what}", hint="If all on it can be lost: --force")
    lines = [
        f"{disk.path}: {size(disk.size)}, write a new GPT; everything on it is lost",
        "partition 1: BIOS boot (EF02), up to 1 MiB",
        f"partition 2: EFI system partition (EF00), {size(_ESP_SIZE)}",
        "partition 3: Linux (8300), the rest",
    ]
    lines[1:1] = [
        f"{part.path} ({part.fstype or 'empty'}) is lost" for part in devices.parts_of(disk)
    ]
    return Partitioning(disk, lines, _script(disk.sector))


def _refuse_used(disk: Device, devices: Devices, who: str) -> None:
    parts = devices.parts_of(disk)
    for part in parts:
        if used := used_by(part):
            raise UsageError(f"{who}: {part.path}: {used}", hint="Name another disk.")
    others = {*disk.users} - {part.kname for part in parts}
    if disk.mountpoints or others or (not parts and _held_by_the_kernel(disk.path)):
        raise UsageError(f"{who}: it is in use", hint="See: lsblk")


def _script(sector: int) -> str:
    """The installer's scheme, in sectors: BIOS boot right behind the GPT, everything else in MiB."""
    mib = _MIB // sector
    first = 2 + 16384 // sector  # protective MBR, header, 128 entries of 128 bytes
    esp = _ESP_SIZE // sector
    return "\n".join(
        [
            "label: gpt",
            f"first-lba: {first}",
            f"start={first}, size={mib - first}, type={BIOS_BOOT_TYPE}",
            f"start={mib}, size={esp}, type={ESP_TYPE}",
            f"start={mib + esp}, type={_LINUX_TYPE}",
            "",
        ]
    )


def partition(planned: Partitioning, task: Task) -> None:
    """Write the partition table.

    :raises ProgramError: it cannot be written.
    """
    arguments = ["sfdisk", "--wipe", "always", "--wipe-partitions", "always"]
    with _about(f"partition: {planned.disk.path}"):
        programs.run([*arguments, str(planned.disk.path)], input=planned.script)
        disks.settle()
    task.log(f"{planned.disk.path}: partitioned")
