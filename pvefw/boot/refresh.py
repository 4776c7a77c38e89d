"""``boot refresh``: every ESP is brought to the same plan, one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pvefw.boot import autoremove, choice, esps, kernels, records
from pvefw.boot.choice import KernelPlan
from pvefw.boot.context import LOCK, WAIT, Context
from pvefw.boot.esps import Volume
from pvefw.boot.one_esp import LeftWorse, refresh_one
from pvefw.core import notices
from pvefw.core.errors import Cancelled, PvefwError, StoreError
from pvefw.core.model import BootPlan, BootSyncedEvent
from pvefw.store import kernel_files, locks
from pvefw.store.node import Node
from pvefw.tasks import events


@dataclass(frozen=True)
class Refreshed:
    """How a refresh ended."""

    synced: Sequence[str]
    failed: Mapping[str, PvefwError]
    changed: Sequence[str]


def refresh(context: Context, *, installing: str = "", take_over: bool = False) -> Refreshed:
    """Bring every registered ESP to the plan, and tell the observers.

    :param installing: the kernel whose package is being installed, or empty.
    :param take_over: whether what another tool has left, and what was chosen in the firmware, gives way.
    :raises PvefwError: one of them, at least, could not be brought there; the others are.
    """
    with locks.local_lock(context.paths, LOCK, timeout=WAIT):
        return refresh_locked(context, installing=installing, take_over=take_over)


def refresh_locked(context: Context, *, installing: str = "", take_over: bool = False) -> Refreshed:
    """As :func:`refresh`, for whoever holds the lock."""
    spent = choice.settle(context.paths)
    if spent:
        context.task.log(
            f"the one-time boot of kernel {spent} is over: the host has rebooted since"
        )
        running = kernels.running()
        if running != spent:
            _notify(
                context, events.NOTICE, notices.boot_unexpected(context.paths.node, spent, running)
            )
    try:
        autoremove.protect(context.paths, context.task)
    except PvefwError as error:  # the ESPs matter more
        context.task.warn(error.message)
    if not kernel_files.entries(context.paths.esp_uuids):
        context.task.log(f"no ESP is configured in {context.paths.esp_uuids}; nothing to do")
        return Refreshed([], {}, [])
    everything = esps.volumes(context.paths, context.machine.devices())
    planned = choice.plan(context.paths, installing=installing)
    planned = replace(planned, plan=replace(planned.plan, take_over=take_over))
    for note in planned.notes:
        context.task.log(note)
    for warning in planned.warnings:
        context.task.warn(warning)
    context.loaders.warn(context.task)
    plan = planned.plan
    names = ", ".join(kernel.version for kernel in plan.kernels)
    once = f", once: {plan.next_boot}" if plan.next_boot else ""
    context.task.log(f"kernels: {names}; default: {plan.default}{once}")
    result = context.machine.privately(lambda: _each(context, everything, planned), context.task)
    _tell(context, plan, result)
    _raise(result, len(everything))
    return result


def _each(context: Context, everything: Sequence[Volume], planned: KernelPlan) -> Refreshed:
    synced, changed = [], []
    failed: dict[str, PvefwError] = {}
    for at, volume in enumerate(everything):
        try:
            with volume.named():
                if refresh_one(context, volume, planned):
                    changed.append(volume.entry)
            synced.append(volume.entry)
        except Cancelled:
            raise
        except LeftWorse as error:
            failed[volume.entry] = error
            _note(context, volume, error)
            for other in everything[at + 1 :]:
                failed[other.entry] = StoreError(f"{other.who}: left as it is: {error.message}")
            break
        except PvefwError as error:
            failed[volume.entry] = error
            context.task.log(f"ERROR: {error.message}")
            _note(context, volume, error)
    return Refreshed(synced, failed, changed)


def _note(context: Context, volume: Volume, error: PvefwError) -> None:
    """Keep why it failed, for whoever asks later. The error itself and the other ESPs matter more."""
    record = records.load(context.paths, volume.entry)
    try:
        records.save(context.paths, volume.entry, replace(record, failure=error.message))
    except StoreError as trouble:
        context.task.warn(trouble.message)


def _tell(context: Context, plan: BootPlan, result: Refreshed) -> None:
    if not result.changed and not result.failed:
        return
    event = BootSyncedEvent(
        node=context.paths.node,
        kernels=[kernel.version for kernel in plan.kernels],
        synced=list(result.synced),
        failed={uuid: error.message for uuid, error in result.failed.items()},
    )
    _notify(context, "on_boot_synced", event)


def _notify(context: Context, hook: str, event: object) -> None:
    try:
        node = Node.open(context.paths)
    except StoreError as error:  # a kernel that is installed boots without observers, too
        context.task.warn(f"could not notify the observers: {error.message}")
    else:
        events.tell(node, hook, event, context.task)


def _raise(result: Refreshed, count: int) -> None:
    """Say what failed: the one error as it is, several as one."""
    errors = list(result.failed.values())
    if not errors:
        return
    hints = "\n".join(dict.fromkeys(error.hint for error in errors if error.hint))
    if len(errors) == 1:
        others = f" ({count - 1} of {count} ESPs are up to date)" if count > 1 else ""
        raise StoreError(errors[0].message + others, hint=hints)
    raise StoreError(
        f"ESPs: {len(errors)} of {count} failed: {'; '.join(error.message for error in errors)}",
        hint=hints,
    )
