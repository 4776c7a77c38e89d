"""ESPs come and go: ``init``, ``reinit`` and ``clean``."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pvefw.boot import esps, firmware, records
from pvefw.boot.disks import BIOS_BOOT_TYPE, ESP_TYPE, Devices
from pvefw.boot.esps import Registered
from pvefw.boot.refresh import LOCK, WAIT, Context, refresh_locked
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


def init(context: Context, path: Path, loader: str = "") -> None:
    """Put a boot loader on an ESP, register it, and refresh all.

    :param path: the partition.
    :param loader: the plugin's name; empty to choose the one that fits this machine.
    :raises PvefwError: it cannot be done, or the refresh failed.
    """
    with locks.local_lock(context.paths, LOCK, timeout=WAIT):
        devices = context.machine.devices()
        one = _initial(devices, path)
        name = loader or firmware.suitable(context.paths)
        if not loader:
            context.task.log(
                f"{one.who}: {name} is the loader for {firmware.in_words(context.paths)}"
            )
        context.loaders.get(name)
        context.machine.privately(lambda: _install(context, devices, one, name), context.task)
        if not _listed(context.paths, [one.entry]):
            kernel_files.add(context.paths.esp_uuids, one.entry)
            context.task.log(f"{one.who}: added to {context.paths.esp_uuids}")
        refresh_locked(context)


def _listed(paths: Paths, entries: Sequence[str]) -> list[str]:
    """The lines of the list that name these ESPs, in whichever case."""
    wanted = {one.upper() for one in entries}
    return [one for one in kernel_files.entries(paths.esp_uuids) if one.upper() in wanted]


def _initial(devices: Devices, path: Path) -> Registered:
    device = devices.find(path)
    who = f"init: {device.path}"
    if not device.is_partition:
        raise UsageError(f"{who}: it is not a partition but a {device.type}")
    if device.fstype != "vfat" or not device.uuid:
        raise UsageError(
            f"{who}: there is no FAT file system on it ({device.fstype or 'nothing'})",
            hint=f"Make one first: pvefw boot format {device.path}",
        )
    if device.partition_type != ESP_TYPE:
        raise UsageError(
            f"{who}: it is not an EFI system partition by its type "
            f"({device.partition_type or 'none'})",
            hint="Firmware would not find it. Set its type, with sgdisk for example: EF00",
        )
    one = esps.resolve(device.uuid, devices)
    if one.problem:
        raise UsageError(f"{who}: {one.problem}", hint=one.advice)
    return one


def _install(context: Context, devices: Devices, one: Registered, name: str) -> None:
    """Have the loader put on the ESP for each firmware that can start this disk."""
    loader = context.loaders.get(name)
    kinds = _startable(devices, one, loader.hooks.boot_firmware())
    if not kinds:
        raise Unsupported(
            f"{one.who}: nothing could start {name} from this disk",
            hint="BIOS needs a BIOS boot partition (sgdisk: EF02) on the same disk.",
        )
    ours, notes, done = firmware.current(context.paths), [], []
    records.begin(context.paths, one.entry)
    with context.machine.mounted(one.partition) as mount:
        mount.make_writable()
        for kind in kinds:
            context.task.log(f"{one.who}: installing {name} for {kind.upper()}")
            try:
                loader.hooks.boot_install(
                    esp=esps.esp(one, mount.path), firmware=kind, task=context.task
                )
                done.append(kind)
            except Unsupported as error:
                if kind is ours:
                    raise
                notes.append(error.message)
            except OSError as error:
                raise StoreError(f"{one.who}: {error.strerror or error}") from error
    for note in notes:
        context.task.log(f"{one.who}: {note}")
    if not done:
        raise Unsupported(f"{one.who}: {name} could not be installed: {'; '.join(notes)}")
    if ours not in done:
        context.task.warn(
            f"{one.who}: this machine was started by {ours.upper()}, which does not start {name}"
        )
    record = records.load(context.paths, one.entry)
    records.save(context.paths, one.entry, replace(record, loader=name, under_way=False))


def _startable(devices: Devices, one: Registered, offered: Sequence[Firmware]) -> list[Firmware]:
    """For what the loader is to be installed: what it can, and this disk has a place for."""
    disk = devices.disk_of(one.partition)
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
        for one in esps.registered(context.paths, devices):
            try:
                if one.device is None:
                    continue  # the refresh says so
                context.machine.privately(partial(_reinstall, context, devices, one), context.task)
            except PvefwError as error:
                context.task.log(f"ERROR: {error.message}")
                failures.append(error)
        try:
            refresh_locked(context)
        except PvefwError as error:
            failures.append(error)
        if failures:
            raise failures[0]


def _reinstall(context: Context, devices: Devices, one: Registered) -> None:
    name = records.load(context.paths, one.entry).loader or _present(context, one)
    _install(context, devices, one, name)


def _present(context: Context, one: Registered) -> str:
    """The loader that is on an ESP, or the one that fits this machine."""
    with context.machine.mounted(one.partition) as mount:
        found = context.loaders.probe(esps.esp(one, mount.path))
    suitable = firmware.suitable(context.paths)
    if suitable in found.states or not found.states:
        return suitable
    if len(found.states) > 1:
        raise ProviderError(
            f"{one.who}: several boot loaders are on it: {', '.join(sorted(found.states))}",
            hint="Choose one: pvefw boot init PARTITION LOADER",
        )
    return next(iter(found.states))


def clean(context: Context, *, dry_run: bool) -> list[str]:
    """Take those ESPs from the list that are not there.

    :returns: what was, or would be, removed.
    :raises ProgramError: what is on the disks cannot be seen, so nothing is known to be gone.
    """
    with locks.local_lock(context.paths, LOCK, timeout=WAIT):
        devices = context.machine.devices()
        gone = [one.entry for one in esps.registered(context.paths, devices) if one.device is None]
        if gone and not any(one.fstype for one in devices):
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
