"""``boot status``: every ESP against the plan, content and all. Nothing is changed."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pvefw.boot import choice, esps, firmware, kernels, records
from pvefw.boot.boot_entries import BootEntries, Judge, OurEsp
from pvefw.boot.context import LOCK, WAIT, Context
from pvefw.boot.disks import Device
from pvefw.boot.esps import Volume
from pvefw.boot.loaders import Probed
from pvefw.boot.look import Looked, look, of_others
from pvefw.core.errors import PvefwError
from pvefw.core.model import BootPlan, Firmware
from pvefw.store import files, kernel_files, locks
from pvefw.store.paths import Paths

_BOOT_TIME = re.compile(rb"^btime (\d+)$", re.MULTILINE)
"""When the kernel was started, seconds since the epoch (proc_stat(5))."""


@dataclass(frozen=True)
class EspStatus:
    """What is known of one ESP."""

    uuid: str
    device: str = ""
    state: str = "ok"
    """``ok``, ``drift``, ``missing`` or ``error``."""
    size: int = 0
    free: int = 0
    loaders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: Sequence[str] = ()
    is_behind: bool = False
    """Whether a refresh would change something."""
    names: Collection[str] | None = None
    """The folded names of its files; ``None`` where they were not looked at."""

    def as_dict(self) -> dict[str, Any]:
        """For output; the keys stay as they are."""
        return {
            "uuid": self.uuid,
            "device": self.device,
            "state": self.state,
            "size": self.size,
            "free": self.free,
            "loaders": {name: dict(loader) for name, loader in self.loaders.items()},
            "problems": list(self.problems),
        }


@dataclass(frozen=True)
class Status:
    """What is known of all."""

    esps: Sequence[EspStatus]
    kernels: Sequence[str] = ()
    default: str = ""
    next_boot: str | None = None
    problems: Sequence[str] = ()
    """What concerns all of them."""

    @property
    def ok(self) -> bool:
        return bool(self.esps) and not self.problems and all(esp.state == "ok" for esp in self.esps)

    def as_dict(self) -> dict[str, Any]:
        """For output; the keys stay as they are."""
        return {
            "ok": self.ok,
            "kernels": list(self.kernels),
            "default": self.default,
            "next-boot": self.next_boot,
            "problems": list(self.problems),
            "esps": [esp.as_dict() for esp in self.esps],
        }


def status(context: Context, *, installing: str = "") -> Status:
    """Look at every registered ESP, when nobody is working on them.

    :param installing: the kernel whose package is being installed, or empty.
    :raises PvefwError: they cannot be looked at at all.
    """
    with locks.local_lock(context.paths, LOCK, timeout=WAIT):
        return _status(context, installing)


def _status(context: Context, installing: str) -> Status:
    if not kernel_files.entries(context.paths.esp_uuids):
        return Status([])
    everything = esps.registered(context.paths, context.machine.devices())
    problems = [error.message for error in context.loaders.failures.values()]
    problems += context.loaders.problems
    plan = None
    try:
        planned = choice.plan(context.paths, installing=installing)
        plan = planned.plan
        problems += planned.warnings
    except PvefwError as error:
        problems.append(error.message)
    statuses = context.machine.privately(
        lambda: [_one(context, volume, plan) for volume in everything], context.task
    )
    problems += _mixed(statuses)
    problems += _entries(context, everything, statuses)
    if plan is None:
        return Status(statuses, default=_default(statuses), problems=problems)
    versions = [kernel.version for kernel in plan.kernels]
    return Status(statuses, versions, _default(statuses, plan), plan.next_boot, problems)


def _default(statuses: Sequence[EspStatus], plan: BootPlan | None = None) -> str:
    """What boots by default: what the loaders say; where they differ, which ESP is started decides."""
    pairs = [(state["default"], esp.uuid) for esp in statuses for state in esp.loaders.values()]
    esps_of = {default: [uuid for other, uuid in pairs if other == default] for default, _ in pairs}
    esps_of.pop(None, None)
    if len(esps_of) > 1:
        return "; ".join(f"{key} ({', '.join(uuids)})" for key, uuids in esps_of.items())
    return next(iter(esps_of), plan.default if plan else "")


def _entries(
    context: Context, everything: Sequence[Volume], statuses: Sequence[EspStatus]
) -> list[str]:
    """What keeps the firmware from starting an ESP, or comes before it."""
    variables = firmware.boot_variables(context.paths)
    if not variables:
        return []
    ours = [
        OurEsp(
            volume.device.partition_uuid if volume.device else "",
            status.names,
            records.load(context.paths, volume.entry).manifest,
        )
        for volume, status in zip(everything, statuses, strict=True)
    ]
    there = {device.partition_uuid for device in context.machine.devices()} - {""}
    return Judge(BootEntries.read(variables), ours, there).lines()


def _mixed(statuses: Sequence[EspStatus]) -> list[str]:
    """Different loaders on different ESPs: which one starts is the firmware's choice."""
    by_loader: dict[str, list[str]] = {}
    for esp in statuses:
        for name in esp.loaders:
            by_loader.setdefault(name, []).append(esp.uuid)
    everywhere = [esp for esp in statuses if esp.loaders]
    if all(len(uuids) == len(everywhere) for uuids in by_loader.values()):
        return []
    parts = [f"{name} on {', '.join(uuids)}" for name, uuids in sorted(by_loader.items())]
    return [f"the ESPs have different boot loaders: {'; '.join(parts)}"]


def _one(context: Context, volume: Volume, plan: BootPlan | None) -> EspStatus:
    if volume.device is None:
        remedy = "Put its disk back; if it is gone for good: pvefw boot clean"
        problems = [f"{volume.problem}. {remedy if volume.is_uuid else volume.advice}"]
        return EspStatus(volume.entry, state="missing", problems=problems)
    status = EspStatus(volume.entry, str(volume.device.path))
    if volume.problem:
        return replace(status, state="error", problems=[f"{volume.problem}. {volume.advice}"])
    unclean = _unclean(context, volume.device)
    try:
        with volume.reading(), context.machine.mounted(volume.device) as mount:
            esp = esps.esp(volume, mount.path)
            status = replace(status, size=esp.size, free=esp.free)
            if plan is None:
                return replace(status, loaders=_loaders(context.loaders.probe(esp)))
            record = records.load(context.paths, volume.entry)
            looked = look(context, volume, mount, plan, record, {})
    except PvefwError as error:
        problems = [error.message, *unclean]
        return EspStatus(volume.entry, status.device, "error", problems=problems)
    problems = [*unclean, *_not_started(context, looked), *_problems(looked, plan)]
    state = "drift" if problems else "ok"
    return replace(
        status,
        state=state,
        loaders=_loaders(looked.probed),
        problems=problems,
        is_behind=looked.is_behind or bool(unclean or looked.missing_loader),
        names=looked.listing.files.keys(),
    )


def _unclean(context: Context, device: Device) -> list[str]:
    """Whether the file system may be damaged: that is not known before it is checked."""
    file_system = context.machine.file_system(device)
    if file_system is None or not file_system.dirty:
        return []
    return ["it was not unmounted cleanly; to check and repair it: pvefw boot refresh"]


def _not_started(context: Context, looked: Looked) -> list[str]:
    """Whether this machine cannot be started from here: such an ESP is no redundancy."""
    ours = firmware.current(context.paths)
    kinds = {kind for state in looked.probed.states.values() for kind in state.firmware}
    if not kinds or ours in kinds:
        return []
    there = ", ".join(sorted(kind.upper() for kind in kinds))
    return [
        f"this machine is started by {ours.upper()}, but the boot loaders here are for {there} only"
    ]


def _problems(looked: Looked, plan: BootPlan) -> list[str]:
    """What is not as the plan wants it."""
    problems = looked.change.lines()
    if looked.missing_loader:
        problems.append(f"the boot loader {looked.missing_loader} is gone: pvefw boot reinit")
    problems += looked.refused
    problems += [*looked.aged.lines(), *looked.fallback.lines()]
    problems += _rivals(looked.probed)
    problems += [
        f"a boot loader does not answer: {failure}" for failure in looked.probed.failures.values()
    ]
    problems += [
        f"{name} boots {looked.probed.states[name].next_boot or 'nothing'} once, "
        f"but should boot {plan.next_boot or 'nothing'}"
        for name in looked.to_arm
    ]
    problems += [
        f"{name} boots {state.next_boot} once, which pvefw has not set: pvefw boot refresh --take-over"
        for name, state in looked.probed.states.items()
        if of_others(state) and name not in looked.to_arm
    ]
    if not looked.change:
        problems += _overruled(looked.probed, plan)
    return problems


def _rivals(probed: Probed) -> list[str]:
    """Loaders that the same firmware could start. GRUB for BIOS beside systemd-boot is none: a disk that
    Proxmox VE's installer has made boots in both ways.
    """
    by_firmware: dict[Firmware, list[str]] = {}
    for name, state in sorted(probed.states.items()):
        for kind in state.firmware:
            by_firmware.setdefault(kind, []).append(name)
    return [
        f"it has several boot loaders for {kind.upper()}: {', '.join(names)}"
        for kind, names in by_firmware.items()
        if len(names) > 1
    ]


def _overruled(probed: Probed, plan: BootPlan) -> list[str]:
    """What wins over the plan: a choice in the firmware, or in the loader's own configuration."""
    problems = []
    for name, state in probed.states.items():
        if state.overruled:
            remedy = "refresh" if plan.pinned else "refresh --take-over"
            problems.append(f"{name}: {state.overruled}: pvefw boot {remedy}")
        elif plan.pinned and state.default not in (None, plan.default):
            problems.append(
                f"{name} boots {state.default} by default, though {plan.default} is pinned"
            )
    return problems


def _loaders(probed: Probed) -> dict[str, Mapping[str, Any]]:
    return {
        name: {
            "firmware": [kind.value for kind in state.firmware],
            "kernels": list(state.kernels),
            "default": state.default,
            "next-boot": state.next_boot,
            "version": state.loader_version,
        }
        for name, state in probed.states.items()
    }


def present(context: Context) -> tuple[dict[str, list[str]], list[str]]:
    """Which loaders lie on which ESP, and what was looked at to know it."""
    try:
        everything = esps.registered(context.paths, context.machine.devices())
        pairs = context.machine.privately(
            lambda: [(volume, _loaders_on(context, volume)) for volume in everything], context.task
        )
    except PvefwError as error:
        return {}, [f"ESPs: not checked: {error.message}"]
    evidence = [
        f"{volume.who}: {words if isinstance(words, str) else ', '.join(words) or 'no known loader'}"
        for volume, words in pairs
    ]
    return {
        volume.entry: list(words) for volume, words in pairs if not isinstance(words, str)
    }, evidence or [f"{context.paths.esp_uuids}: no ESP is configured"]


def _loaders_on(context: Context, volume: Volume) -> list[str] | str:
    """The loaders on an ESP, or why that cannot be known."""
    if volume.device is None:
        return "not found"
    try:
        with context.machine.mounted(volume.device) as mount:
            return sorted(context.loaders.probe(esps.esp(volume, mount.path)).states)
    except PvefwError as error:
        return error.message


def summary(paths: Paths) -> dict[str, Any]:
    """What can be said at once, without mounting or asking anything.

    :returns: ``esps`` (of each ``uuid``, ``there``, ``interrupted``, ``failure``), ``pinned``,
        ``next-boot``, ``manual``, ``problem`` (why it cannot be said, or empty) and ``unexpected``
        (``wanted``, ``running`` and a ``line``, where another kernel than the pinned one was started).
    """
    try:
        chosen = choice.load(paths)
        uuids = kernel_files.entries(paths.esp_uuids)
    except PvefwError as error:
        return {
            "esps": [],
            "pinned": None,
            "next-boot": None,
            "manual": [],
            "problem": error.message,
            "unexpected": None,
        }
    return {
        "esps": [_known(paths, uuid) for uuid in uuids],
        "pinned": chosen.pinned,
        "next-boot": chosen.next_boot,
        "manual": list(chosen.manual),
        "problem": "",
        "unexpected": _unexpected(paths, chosen.pinned),
    }


def _unexpected(paths: Paths, pinned: str | None) -> dict[str, str] | None:
    """What runs instead of the kernel that was pinned when this host was started, if anything."""
    started = _BOOT_TIME.search(files.read_if_exists(paths.below("proc/stat")) or b"")
    running = kernels.running()
    if not pinned or pinned == running or started is None:
        return None
    if paths.pinned_kernel.stat().st_mtime >= int(started[1]):
        return None  # it was pinned since
    line = f"kernel {running} is running, though {pinned} is pinned"
    return {"wanted": pinned, "running": running, "line": line}


def _known(paths: Paths, uuid: str) -> dict[str, Any]:
    if not esps.is_uuid(uuid):
        return {"uuid": uuid, "there": False, "interrupted": False, "failure": "no volume id"}
    record = records.load(paths, uuid)
    return {
        "uuid": uuid,
        "there": (paths.below("dev/disk/by-uuid") / uuid.upper()).exists(),
        "interrupted": record.under_way,
        "failure": record.failure,
    }
