"""ESPs come and go: ``init``, ``reinit`` and ``clean``."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pvefw.boot import disks, esps, firmware, fstab, manifest, records, takeover
from pvefw.boot.context import LOCK, WAIT, Context
from pvefw.boot.disks import BIOS_BOOT_TYPE, ESP_TYPE, Device, Devices
from pvefw.boot.esps import Volume
from pvefw.boot.loader_files import all_or_nothing, refused_taken_back
from pvefw.boot.machine import Mounted
from pvefw.boot.refresh import refresh_locked
from pvefw.core.errors import (
    ProgramError,
    ProviderError,
    PvefwError,
    StoreError,
    Unsupported,
    UsageError,
)
from pvefw.core.model import Firmware
from pvefw.store import kernel_files, locks
from pvefw.store.paths import Paths

_MEMBERS = {"linux_raid_member", "LVM2_member", "zfs_member", "mpath_member", "crypto_LUKS"}
"""File systems, as blkid calls them, that are a part of something else."""


def init(context: Context, path: Path, loader: str = "", *, take_over: bool = False) -> None:
    """Put a boot loader on an ESP, register it, and refresh all.

    :param path: the partition.
    :param loader: the plugin's name; empty to choose the one that fits this machine.
    :param take_over: also where the loader of another system is on it.
    :raises PvefwError: it cannot be done, or the refresh failed.
    """
    with locks.local_lock(context.paths, LOCK, timeout=WAIT):
        devices = context.machine.devices()
        volume = _initial(context.paths, devices, path)
        name = loader or firmware.suitable(context.paths)
        if not loader:
            context.task.log(
                f"{volume.who}: {name} is the loader for {firmware.in_words(context.paths)}"
            )
        context.loaders.get(name)

        def work() -> None:
            takeover.check(context, volume, name, forced=take_over)
            _install(context, devices, volume, name)

        context.machine.privately(work, context.task)
        _warn_of_fat16(context, volume)
        if not _listed(context.paths, [volume.entry]):
            kernel_files.add(context.paths.esp_uuids, volume.entry)
            context.task.log(f"{volume.who}: added to {context.paths.esp_uuids}")
        refresh_locked(context)


def _warn_of_fat16(context: Context, volume: Volume) -> None:
    """The UEFI specification has FAT32 on disks, FAT12 and FAT16 on removable media (section 13.3)."""
    there = context.machine.file_system(volume.partition)
    uefi = firmware.current(context.paths) is Firmware.UEFI
    if uefi and there is not None and there.kind != "FAT32":
        context.task.warn(
            f"{volume.who}: it is {there.kind}, and some firmware starts disks only from FAT32; "
            f"to make that, with nothing on it: pvefw boot format {volume.partition.path} --force"
        )


def _listed(paths: Paths, entries: Sequence[str]) -> list[str]:
    """The lines of the list that name these ESPs, in whichever case."""
    wanted = {entry.upper() for entry in entries}
    return [entry for entry in kernel_files.entries(paths.esp_uuids) if entry.upper() in wanted]


def _initial(paths: Paths, devices: Devices, path: Path) -> Volume:
    device = devices.find(path)
    who = f"init: {device.path}"
    if not device.is_partition:
        hint = f"See its partitions: lsblk {device.path}"
        raise UsageError(f"{who}: it is not a partition but a {device.type}", hint=hint)
    if device.fstype in _MEMBERS:
        raise UsageError(
            f"{who}: it is a member of {', '.join(device.users) or 'an array'} ({device.fstype})",
            hint="Every ESP is a file system of its own, and pvefw keeps them identical: take the "
            "partition out of the array, then format it.",
        )
    if device.fstype != "vfat" or not device.uuid:
        raise UsageError(
            f"{who}: there is no FAT file system on it ({device.fstype or 'nothing'})",
            hint=f"Make one first: pvefw boot format {device.path}.{disks.unseen(device.fstype)}",
        )
    if device.partition_type != ESP_TYPE:
        hint = "Firmware would not find it. Set its type, with sgdisk for example: EF00."
        hint += disks.unseen(device.partition_type)
        if device.table == "dos":
            hint = (
                "Its disk has an MBR partition table, and ESPs are kept on GPT: convert it with "
                "sgdisk --mbrtogpt, or begin with: pvefw boot partition DISK --force"
            )
        raise UsageError(
            f"{who}: it is not an EFI system partition by its type "
            f"({device.partition_type or 'none'})",
            hint=hint,
        )
    _refuse_mounted(paths, device, who)
    volume = esps.resolve(device.uuid, devices)
    if volume.problem:
        raise UsageError(f"{who}: {volume.problem}", hint=volume.advice)
    return volume


def _refuse_mounted(paths: Paths, device: Device, who: str) -> None:
    """Refuse what the host itself uses: something else writes there, and it may be ``/boot``."""
    if device.mountpoints:
        where = ", ".join(device.mountpoints)
        raise UsageError(
            f"{who}: it is mounted on {where}",
            hint=f"Unmount it, and remove it from /etc/fstab: umount {where}",
        )
    if listed := fstab.mounts_of(paths, device):
        raise UsageError(
            f"{who}: /etc/fstab mounts it on {', '.join(listed)}",
            hint="Remove that line: pvefw mounts ESPs by itself, while it works on them.",
        )


def _install(context: Context, devices: Devices, volume: Volume, name: str) -> None:
    """Have the loader put on the ESP for each firmware that can start this disk."""
    offered = context.loaders.get(name).hooks.boot_firmware()
    kinds = _startable(devices, volume, offered)
    ours = firmware.current(context.paths)
    _check_starts_here(volume, name, ours, offered, kinds)
    records.begin(context.paths, volume.entry)
    with context.machine.mounted(volume.partition) as mount, volume.reading():
        mount.make_writable()
        try:
            with volume.named(), refused_taken_back(context, volume.who, mount.path):
                notes = [_put(context, volume, mount, name, kind) for kind in kinds]
        except OSError as error:
            raise StoreError(f"{volume.who}: {error.strerror or error}") from error
    for note in filter(None, notes):
        context.task.log(f"{volume.who}: {note}")
    record = records.load(context.paths, volume.entry)
    records.save(context.paths, volume.entry, replace(record, loader=name, under_way=False))


def _put(context: Context, volume: Volume, mount: Mounted, name: str, kind: Firmware) -> str:
    """Have the loader put on the ESP for one kind of firmware, or why that is not possible here.

    :raises Unsupported: it is this machine's firmware.
    """
    context.task.log(f"{volume.who}: installing {name} for {kind.upper()}")
    files = context.files(mount.path)
    before = files.stamps()
    try:
        with all_or_nothing(files, volume.who, context.task):
            context.loaders.get(name).hooks.boot_install(
                esp=esps.esp(volume, mount.path), firmware=kind, task=context.task
            )
    except Unsupported as error:
        if kind is firmware.current(context.paths):
            raise
        return error.message
    records.begin(context.paths, volume.entry, manifest.written(before, files.stamps()))
    return ""


def _check_starts_here(
    volume: Volume,
    name: str,
    ours: Firmware,
    offered: Sequence[Firmware],
    kinds: Sequence[Firmware],
) -> None:
    """Refuse a disk that this machine could not be started from: it would not be redundancy.

    :raises Unsupported: and why.
    """
    if ours in kinds:
        return
    if ours not in offered:
        raise Unsupported(
            f"{volume.who}: this machine is started by {ours.upper()}, which does not start {name}",
            hint=f"For {ours.upper()}: pvefw boot init {volume.partition.path} grub",
        )
    raise Unsupported(
        f"{volume.who}: this machine is started by BIOS, which could not start {name} from this disk",
        hint="BIOS needs a BIOS boot partition (sgdisk: EF02) on the same disk.",
    )


def _startable(devices: Devices, volume: Volume, offered: Sequence[Firmware]) -> list[Firmware]:
    """For what the loader is to be installed: what it can, and this disk has a place for."""
    disk = devices.disk_of(volume.partition)
    parts = devices.parts_of(disk) if disk else []
    bios = any(part.partition_type == BIOS_BOOT_TYPE for part in parts)
    possible = [Firmware.UEFI, *([Firmware.BIOS] if bios else [])]
    return [kind for kind in possible if kind in offered]


def reinit(context: Context) -> None:
    """Put the boot loader on every registered ESP again, and refresh all.

    :raises PvefwError: it failed on one of them; the others are done.
    """
    with locks.local_lock(context.paths, LOCK, timeout=WAIT):
        devices = context.machine.devices()
        failures: list[PvefwError] = []
        for volume in esps.registered(context.paths, devices):
            try:
                if volume.device is None:
                    continue  # the refresh says so
                context.machine.privately(
                    partial(_reinstall, context, devices, volume), context.task
                )
            except PvefwError as error:
                context.task.log(f"ERROR: {error.message}")
                failures.append(error)
        try:
            refresh_locked(context)
        except PvefwError as error:
            failures.append(error)
        if failures:
            raise failures[0]


def _reinstall(context: Context, devices: Devices, volume: Volume) -> None:
    name = records.load(context.paths, volume.entry).loader or _present(context, volume)
    _install(context, devices, volume, name)


def _present(context: Context, volume: Volume) -> str:
    """The loader that is on an ESP, or the one that fits this machine."""
    with context.machine.mounted(volume.partition) as mount:
        probed = context.loaders.probe(esps.esp(volume, mount.path))
    suitable = firmware.suitable(context.paths)
    if suitable in probed.states or not probed.states:
        return suitable
    if len(probed.states) > 1:
        names = sorted(probed.states)
        raise ProviderError(
            f"{volume.who}: several boot loaders are on it: {', '.join(names)}",
            hint=f"Choose one, {' or '.join(names)}: "
            f"pvefw boot init {volume.partition.path} {names[0]}",
        )
    return next(iter(probed.states))


def clean(context: Context, *, dry_run: bool) -> list[str]:
    """Take those ESPs from the list that are not there.

    :returns: what was, or would be, removed.
    :raises ProgramError: what is on the disks cannot be seen, so nothing is known to be gone.
    """
    with locks.local_lock(context.paths, LOCK, timeout=WAIT):
        devices = context.machine.devices()
        gone = [
            volume.entry
            for volume in esps.registered(context.paths, devices)
            if volume.device is None and not volume.names_one_of(devices)
        ]
        if gone and not any(device.fstype for device in devices):
            raise ProgramError(
                "boot clean: lsblk sees no file system on any disk; the list stays as it is",
                hint="In a chroot, /dev, /sys and /run/udev have to be mounted. See: lsblk --fs",
            )
        if gone and not dry_run:
            kernel_files.remove(context.paths.esp_uuids, _listed(context.paths, gone))
            for entry in gone:
                if esps.is_uuid(entry):
                    records.forget(context.paths, entry)
        return gone
