"""``boot refresh``: every ESP is brought to the same plan, one after the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pvefw.boot import choice, esps, records, signatures, sync
from pvefw.boot.difference import Difference, compare, merged
from pvefw.boot.esp_files import EspFiles, Listing, shown
from pvefw.boot.esps import Registered
from pvefw.boot.loaders import Found, Loaders
from pvefw.boot.machine import Machine, Mounted
from pvefw.boot.records import EspRecord, Sources
from pvefw.core.errors import Cancelled, NotFound, PvefwError, StoreError
from pvefw.core.model import BootPlan, BootSyncedEvent, BootTree, Esp, Task
from pvefw.host.fat import folded
from pvefw.store import kernel_files, locks
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.tasks import events

LOCK = "boot"
WAIT = 1800.0
"""Seconds that a refresh waits for another one: of a hook, or of an administrator."""
MakeFiles = Callable[..., EspFiles]


class LeftWorse(PvefwError):
    """An ESP that booted before does not any more, so the others must not be treated alike."""


@dataclass
class Context:
    """What a refresh works with."""

    paths: Paths
    machine: Machine
    loaders: Loaders
    task: Task
    files: MakeFiles = EspFiles
    sources: Sources = field(init=False)

    def __post_init__(self) -> None:
        self.sources = Sources(self.paths, choice.boot_id(self.paths))


@dataclass
class Looked:
    """One mounted ESP, against the plan."""

    esp: Esp
    found: Found
    tree: BootTree
    listing: Listing
    change: Difference
    to_arm: Sequence[str]
    """Loaders that would boot something else once than the plan says."""
    missing_loader: str = ""
    """What was put on it by ``init`` but is no longer there."""
    refused: Sequence[str] = ()
    """Why Secure Boot will not start its loaders."""


@dataclass(frozen=True)
class Result:
    """How a refresh ended."""

    synced: Sequence[str]
    failed: Mapping[str, PvefwError]
    changed: Sequence[str]


# --- one ESP ------------------------------------------------------------------------------------------


def look(
    context: Context,
    one: Registered,
    mount: Mounted,
    plan: BootPlan,
    record: EspRecord,
    believed: Mapping[str, str],
) -> Looked:
    """Compare a mounted ESP with what its loaders want there. Nothing is changed.

    :param believed: digests of its files that need not be computed.
    :raises PvefwError: no loader is on it, or one of them cannot say what it wants.
    """
    try:
        esp = esps.esp(one, mount.path)
        found = context.loaders.probe(esp)
        names = _responsible(context, one, found, record)
        tree = merged(
            {
                name: context.loaders.get(name).hooks.boot_render(esp=esp, plan=plan)
                for name in names
            }
        )
        files = context.files(mount.path)
        listing = files.listing()
        _check_folders(one, listing, tree)
        change = compare(files, listing, tree, context.sources, believed)
        refused = signatures.refused_loaders(context.paths, mount.path)
    except OSError as error:
        raise StoreError(
            f"{one.who}: it cannot be read: {error.strerror or error}",
            hint="See the kernel's log for errors of that disk: dmesg",
        ) from error
    return Looked(
        esp,
        found,
        tree,
        listing,
        change,
        _to_arm(context, found, plan),
        "" if found.states else names[0],
        refused,
    )


def _check_folders(one: Registered, listing: Listing, tree: BootTree) -> None:
    for target in (*tree.copies, *tree.texts):
        if folded(target) in listing.directories:
            raise StoreError(
                f"{one.who}: {shown(target)} is a folder there, and must be a file",
                hint="Look what is in it, and remove it.",
            )


def _responsible(
    context: Context, one: Registered, found: Found, record: EspRecord
) -> Sequence[str]:
    """The loaders whose files are kept on this ESP: all that are on it."""
    if found.states:
        return sorted(found.states, key=lambda name: (name != record.loader, name))
    if record.loader:
        return [record.loader]
    why = f": {'; '.join(found.failures)}" if found.failures else ""
    known = ", ".join(context.loaders.bound) or "none"
    raise NotFound(
        f"{one.who}: no boot loader is on it that an installed plugin knows{why}",
        hint=f"Installed: {known}. Put one there: pvefw boot init {one.device and one.device.path}",
    )


def _to_arm(context: Context, found: Found, plan: BootPlan) -> list[str]:
    return [
        name
        for name, state in found.states.items()
        if state.next_boot != plan.next_boot and "boot_arm" in context.loaders.get(name).implemented
    ]


def refresh_one(context: Context, one: Registered, plan: BootPlan) -> bool:
    """Bring one ESP to the plan.

    :returns: whether anything had to be changed.
    :raises PvefwError: it failed; what was bootable still is.
    :raises LeftWorse: it is not.
    """
    device, uuid = one.device, one.entry
    if device is None or one.problem:
        raise NotFound(f"{one.who}: {one.problem}", hint=one.advice)
    record = records.load(context.paths, uuid)
    if record.under_way:
        context.task.log(f"{one.who}: the last change was interrupted; checking the file system")
        said = context.machine.repair(device)
        if said:
            context.task.log(f"{one.who}: {said}")
    believed = {} if record.under_way else record.believed(context.machine.seal(device))
    with context.machine.mounted(device) as mount:
        looked = look(context, one, mount, plan, record, believed)
        for warning in (*looked.tree.warnings, *looked.refused):
            context.task.warn(f"{one.who}: {warning}")
        changed = bool(looked.change or looked.to_arm)
        digests = dict(looked.change.digests)
        if changed:
            digests |= _bring(context, one, mount, looked, plan)
        else:
            context.task.log(f"{one.who}: nothing has changed")
    seal = context.machine.seal(device)
    records.save(context.paths, uuid, EspRecord(record.loader, False, seal, digests))
    if looked.missing_loader:
        raise NotFound(
            f"{one.who}: the boot loader {looked.missing_loader} is no longer on it",
            hint="Put it there again: pvefw boot reinit",
        )
    return changed


def _bring(
    context: Context, one: Registered, mount: Mounted, looked: Looked, plan: BootPlan
) -> Mapping[str, str]:
    """Make the change; the digests of what was copied."""
    files = context.files(mount.path)
    room = _make_room(context, one, mount, looked, plan)
    records.begin(context.paths, one.entry)
    mount.make_writable()
    change = sync.Change(files, one.who, context.sources, context.task)
    if room is not None:
        context.task.log(f"{one.who}: making room first")
        change.apply(*room)
        files = context.files(mount.path)
        looked.listing = files.listing()
        looked.change = compare(
            files, looked.listing, looked.tree, context.sources, looked.change.digests
        )
    for line in looked.change.lines():
        context.task.log(f"{one.who}: {line}")
    change.apply(looked.change, looked.listing)
    _arm(context, one, mount, looked, plan)
    return {**looked.change.digests, **change.digests}


def _arm(context: Context, one: Registered, mount: Mounted, looked: Looked, plan: BootPlan) -> None:
    """Arrange the boot that happens once, and look whether the loader sees what it should."""
    esp = esps.esp(one, mount.path)
    found = context.loaders.probe(esp)
    for name in _to_arm(context, found, plan):
        context.task.log(f"{one.who}: {name}: {plan.next_boot or 'nothing'} is booted once")
        context.loaders.get(name).hooks.boot_arm(esp=esp, plan=plan, task=context.task)
    for name, state in found.states.items():
        missing = [one.version for one in plan.kernels if one.version not in state.kernels]
        if not missing:
            continue
        before = looked.found.states.get(name)
        message = f"{one.who}: {name} does not find {', '.join(missing)} after the refresh"
        hint = f"This is a fault in the plugin {name}, or of the disk."
        if before is not None and before.kernels and not state.kernels:
            raise LeftWorse(f"{message}, and nothing else", hint=f"{hint} Do not reboot.")
        raise StoreError(message, hint=hint)


# --- room ---------------------------------------------------------------------------------------------


def _make_room(
    context: Context, one: Registered, mount: Mounted, looked: Looked, plan: BootPlan
) -> tuple[Difference, Listing] | None:
    """What has to be done before the change, so that it fits; ``None`` where it does as it is.

    :raises StoreError: it does not fit in either way; with the numbers.
    """
    files = context.files(mount.path)
    try:
        need = sync.need(files, looked.listing, looked.change)
        if need.fits:
            return None
        smaller = _only_what_is_there(looked, plan)
        if smaller is not None:
            trees = {
                name: context.loaders.get(name).hooks.boot_render(esp=looked.esp, plan=smaller)
                for name in looked.found.states
            }
            first = compare(files, looked.listing, merged(trees), context.sources, {})
            first = replace(first, copies={})
            freed = sum(
                max(looked.listing.size(target) or 0, 0)
                for group in first.prune
                for target in group
            )
            before = sync.need(files, looked.listing, first)
            if before.fits and need.needed <= need.free + freed:
                return first, looked.listing
    except OSError as error:
        raise StoreError(f"{one.who}: it cannot be read: {error.strerror or error}") from error
    raise StoreError(
        f"{one.who}: it is too small: the refresh needs {need.needed / sync.MIB:.1f} MiB, "
        f"and {need.free / sync.MIB:.1f} MiB of {looked.esp.size / sync.MIB:.1f} MiB are free",
        hint="Nothing was written. Keep fewer kernels (pvefw boot kernel list), or use a larger ESP.",
    )


def _only_what_is_there(looked: Looked, plan: BootPlan) -> BootPlan | None:
    """The plan with those kernels only that are on the ESP already, and are right."""
    absent = set(looked.change.copies.values())
    there = [one for one in plan.kernels if not {one.vmlinuz, one.initrd} & absent]
    if not there or not looked.found.states:
        return None
    versions = [one.version for one in there]
    return replace(
        plan,
        kernels=there,
        default=plan.default if plan.default in versions else versions[0],
        next_boot=plan.next_boot if plan.next_boot in versions else None,
    )


# --- all of them ----------------------------------------------------------------------------------------


def refresh(context: Context, *, installing: str = "") -> Result:
    """Bring every registered ESP to the plan, and tell the observers.

    :param installing: the kernel whose package is being installed, or empty.
    :raises PvefwError: one of them, at least, could not be brought there; the others are.
    """
    with locks.local_lock(context.paths, LOCK, timeout=WAIT):
        return refresh_locked(context, installing=installing)


def refresh_locked(context: Context, *, installing: str = "") -> Result:
    """As :func:`refresh`, for whoever holds the lock."""
    spent = choice.settle(context.paths)
    if spent:
        context.task.log(f"kernel {spent} was to boot once; the host was started since")
    if not kernel_files.entries(context.paths.esp_uuids):
        context.task.log(f"no ESP is configured in {context.paths.esp_uuids}; nothing to do")
        return Result([], {}, [])
    everything = esps.volumes(context.paths, context.machine.devices())
    planned = choice.plan(context.paths, installing=installing)
    for warning in planned.warnings:
        context.task.warn(warning)
    context.loaders.warn(context.task)
    plan = planned.plan
    names = ", ".join(one.version for one in plan.kernels)
    once = f", once: {plan.next_boot}" if plan.next_boot else ""
    context.task.log(f"kernels: {names}; default: {plan.default}{once}")
    result = context.machine.privately(lambda: _each(context, everything, plan), context.task)
    try:
        context.sources.save()
    except StoreError as error:  # the next refresh has to read all kernels, no more than that
        context.task.warn(error.message)
    _tell(context, plan, result)
    _raise(result, len(everything))
    return result


def _each(context: Context, everything: Sequence[Registered], plan: BootPlan) -> Result:
    synced, changed = [], []
    failed: dict[str, PvefwError] = {}
    for at, one in enumerate(everything):
        try:
            if refresh_one(context, one, plan):
                changed.append(one.entry)
            synced.append(one.entry)
        except Cancelled:
            raise
        except LeftWorse as error:
            failed[one.entry] = error
            _note(context, one, error)
            for other in everything[at + 1 :]:
                failed[other.entry] = StoreError(f"{other.who}: left as it is: {error.message}")
            break
        except PvefwError as error:
            failed[one.entry] = error
            context.task.log(f"ERROR: {error.message}")
            _note(context, one, error)
    return Result(synced, failed, changed)


def _note(context: Context, one: Registered, error: PvefwError) -> None:
    """Keep why it failed, for whoever asks later. The error itself and the other ESPs matter more."""
    if not one.is_uuid:
        return
    record = records.load(context.paths, one.entry)
    try:
        records.save(context.paths, one.entry, replace(record, failure=error.message))
    except StoreError as trouble:
        context.task.warn(trouble.message)


def _tell(context: Context, plan: BootPlan, result: Result) -> None:
    if not result.changed and not result.failed:
        return
    event = BootSyncedEvent(
        node=context.paths.node,
        kernels=[one.version for one in plan.kernels],
        synced=list(result.synced),
        failed={uuid: error.message for uuid, error in result.failed.items()},
    )
    try:
        node = Node.open(context.paths)
    except StoreError as error:  # a kernel that is installed boots without observers, too
        context.task.warn(f"the observers are not told: {error.message}")
    else:
        events.tell(node, "on_boot_synced", event, context.task)


def _raise(result: Result, count: int) -> None:
    """Say what failed: the one error as it is, several as one."""
    errors = list(result.failed.values())
    if not errors:
        return
    hints = " ".join(dict.fromkeys(one.hint for one in errors if one.hint))
    if len(errors) == 1:
        others = f" ({count - 1} of {count} ESPs are up to date)" if count > 1 else ""
        raise StoreError(errors[0].message + others, hint=hints)
    raise StoreError(
        f"ESPs: {len(errors)} of {count} failed: {'; '.join(one.message for one in errors)}",
        hint=hints,
    )
