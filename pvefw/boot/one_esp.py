"""One ESP is brought to the plan: looked at, changed, armed, and remembered."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from pvefw.boot import esps, loader_files, manifest, records, sync
from pvefw.boot.choice import KernelPlan
from pvefw.boot.context import Context
from pvefw.boot.difference import compare
from pvefw.boot.disks import Device
from pvefw.boot.esps import Volume
from pvefw.boot.look import Looked, look, to_arm
from pvefw.boot.machine import Mounted
from pvefw.boot.records import EspRecord, Origins
from pvefw.boot.room import make_room
from pvefw.core.errors import NotFound, PvefwError, StoreError
from pvefw.core.model import BootPlan


class LeftWorse(PvefwError):
    """An ESP that booted before no longer does, so the others must not be treated alike."""


def refresh_one(context: Context, volume: Volume, planned: KernelPlan) -> bool:
    """Bring one ESP to the plan.

    :returns: whether anything had to be changed.
    :raises PvefwError: it failed; what was bootable still is.
    :raises LeftWorse: it is not.
    """
    device, plan = volume.device, planned.plan
    if device is None or volume.problem:
        raise NotFound(f"{volume.who}: {volume.problem}", hint=volume.advice)
    record = records.load(context.paths, volume.entry)
    suspect = record.under_way or _is_dirty(context, device)
    if suspect:
        _repair(context, volume, device, record)
    believed = {} if suspect else record.believed(context.machine.seal(device))
    with context.machine.mounted(device) as mount:
        looked = look(context, volume, mount, plan, record, believed)
        _keep_the_running_one(volume, looked, planned)
        _warn(context, volume, looked)
        changed = looked.is_behind
        origins = {**looked.change.origins, **looked.aged.origins}
        if changed:
            origins |= _bring(context, volume, mount, looked, plan)
        else:
            context.task.log(f"{volume.who}: nothing has changed")
        ours = _ours(context, volume, mount, looked)
    seal = context.machine.seal(device)
    kept = EspRecord(record.loader, False, seal, origins, manifest=sorted(ours))
    records.save(context.paths, volume.entry, kept)
    if looked.missing_loader:
        raise NotFound(
            f"{volume.who}: the boot loader {looked.missing_loader} is no longer on it",
            hint="Put it there again: pvefw boot reinit",
        )
    return changed


def _warn(context: Context, volume: Volume, looked: Looked) -> None:
    """Say what a refresh leaves as it is."""
    fallback = replace(looked.fallback, broken={**looked.fallback.left})
    for warning in (
        *looked.tree.warnings,
        *looked.refused,
        *looked.aged.refused,
        *fallback.lines(),
    ):
        context.task.warn(f"{volume.who}: {warning}")


def _is_dirty(context: Context, device: Device) -> bool:
    file_system = context.machine.file_system(device)
    return file_system is not None and file_system.dirty


def _repair(context: Context, volume: Volume, device: Device, record: EspRecord) -> None:
    what = "the last change was interrupted" if record.under_way else "it was not unmounted cleanly"
    context.task.log(f"{volume.who}: {what}; checking the file system")
    report = context.machine.repair(device)
    if report:
        context.task.log(f"{volume.who}: {report}")
    if _is_dirty(context, device):
        context.task.warn(
            f"{volume.who}: it was not unmounted cleanly, and could not be checked: "
            f"fsck.vfat -a {device.path} (package dosfstools)"
        )


def _keep_the_running_one(volume: Volume, looked: Looked, planned: KernelPlan) -> None:
    """Refuse to take the running kernel away while it runs.

    :raises StoreError: this ESP has it, and ``/boot`` does not.
    """
    version = planned.not_in_boot
    if version and any(version in state.kernels for state in looked.probed.states.values()):
        raise StoreError(
            f"{volume.who}: left as it is: {planned.why_not_in_boot}",
            hint="Is /boot mounted? Otherwise reinstall the package of that kernel, or boot another "
            "one from the menu; then: pvefw boot refresh",
        )


def _ours(context: Context, volume: Volume, mount: Mounted, looked: Looked) -> set[str]:
    """The manifest after the refresh: what was ours and is there, and what the loaders wanted."""
    known = set(records.load(context.paths, volume.entry).manifest)
    known |= set(looked.record.manifest) | manifest.keys((*looked.tree.copies, *looked.tree.texts))
    known |= manifest.keys(looked.fallback.ours)
    unchanged = not looked.change and not looked.aged.loaders and not looked.fallback.repair
    with volume.reading():
        listing = looked.listing if unchanged else context.files(mount.path).listing()
    return manifest.still_there(known, listing)


def _bring(
    context: Context, volume: Volume, mount: Mounted, looked: Looked, plan: BootPlan
) -> Origins:
    """Make the change; the origins of what was copied, and of what was right."""
    files = context.files(mount.path)
    first = make_room(context, volume, mount, looked, plan)
    left = {*looked.change.unfinished}
    records.begin(
        context.paths,
        volume.entry,
        manifest.keys((*looked.change.copies, *looked.change.texts)),
        [name for name in looked.listing.unfinished() if name not in left],
    )
    mount.make_writable()
    change = sync.Change(files, volume.who, context.task)
    if first is not None:
        context.task.log(f"{volume.who}: making room first")
        change.apply(first, looked.listing)
        looked.listing = files.listing()
        looked.change = compare(
            files, looked.listing, looked.tree, looked.record, looked.change.origins
        )
    for line in looked.change.lines():
        context.task.log(f"{volume.who}: {line}")
    change.apply(looked.change, looked.listing)
    _arm(context, volume, mount, looked, plan)
    if looked.aged.loaders:
        with noted(context, volume, mount):
            loader_files.Renewal(context, volume, looked, plan, files, change).run()
    if looked.fallback.repair:
        with noted(context, volume, mount):
            loader_files.repair_fallback(files, change, looked)
    return {**looked.change.origins, **change.origins}


def _arm(context: Context, volume: Volume, mount: Mounted, looked: Looked, plan: BootPlan) -> None:
    """Arrange the boot that happens once, and look whether the loader sees what it should."""
    esp = esps.esp(volume, mount.path)
    probed = context.loaders.probe(esp)
    for name in to_arm(context, probed, plan):
        state = probed.states[name]
        if state.next_boot != plan.next_boot:
            context.task.log(f"{volume.who}: {name}: {plan.next_boot or 'nothing'} is booted once")
        else:
            context.task.log(f"{volume.who}: {name}: {state.overruled}; removing that")
        with noted(context, volume, mount):
            context.loaders.get(name).hooks.boot_arm(esp=esp, plan=plan, task=context.task)
    for name, state in probed.states.items():
        missing = [kernel.version for kernel in plan.kernels if kernel.version not in state.kernels]
        if not missing:
            continue
        before = looked.probed.states.get(name)
        message = f"{volume.who}: {name} does not find {', '.join(missing)} after the refresh"
        hint = f"This is a fault in the plugin {name}, or of the disk."
        if before is not None and before.kernels and not state.kernels:
            raise LeftWorse(f"{message}, and nothing else", hint=f"{hint} Do not reboot.")
        raise StoreError(message, hint=hint)


@contextmanager
def noted(context: Context, volume: Volume, mount: Mounted) -> Iterator[None]:
    """Take what a loader writes by itself meanwhile into the manifest.

    :raises StoreError: the ESP cannot be read, or its record not be written.
    """
    files = context.files(mount.path)
    with volume.reading():
        before = files.stamps()
        try:
            yield
        finally:
            records.begin(context.paths, volume.entry, manifest.written(before, files.stamps()))
