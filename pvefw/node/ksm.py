"""KSM, kernel samepage merging: what it saves, and turning it on and off.

The figures are those of the kernel, described in its documentation, ``admin-guide/mm/ksm.rst``. What
turns KSM on when memory gets short is a service: ``ksmtuned``, with ``ksm`` beside it on some systems.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from pvefw.core.errors import NotFound, ProgramError, PvefwError
from pvefw.core.model import Task
from pvefw.host import programs
from pvefw.store import files, units
from pvefw.store.paths import Paths

_TUNED = "ksmtuned.service"
SERVICES = (_TUNED, "ksm.service")
STOP, RUN, UNMERGE = 0, 1, 2
"""What can be written into ``run``: keep what is merged but merge no more; merge; undo all merging."""
_STATES = {STOP: "stopped", RUN: "running", UNMERGE: "unmerged"}
NOTE = (
    "From the time that a write takes, a guest can find out which pages others have in memory "
    "(a side channel). Where guests must not trust each other: pvefw ksm disable --unmerge"
)
_PAGE = os.sysconf("SC_PAGE_SIZE")
_UNITS = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")


@dataclass(frozen=True)
class Service:
    """What systemd knows of one of the services."""

    name: str
    active: str
    """``active``, ``inactive``, ``failed`` …; ``unknown`` where systemd does not run."""
    enabled: str
    """``enabled``, ``disabled`` …"""


# --- what the kernel says -------------------------------------------------------------------------


def status(paths: Paths) -> dict[str, object]:
    """The kernel's state and figures, what sharing saves in bytes, and the services.

    ``saved`` is the size of all pages that need not be there (``pages_sharing``, and the zero pages that
    were merged); ``profit`` is what is left of it after what KSM itself needs, by the kernel's own count
    (``None`` before Linux 6.4).

    :raises NotFound: this kernel has no KSM.
    :raises ProgramError: systemd cannot be asked.
    """
    run = _run(paths)
    figures = {name: _figure(paths, name) for name in _FIGURES}
    return {
        "state": _STATES.get(run, str(run)),
        "run": run,
        "saved": _saved(paths),
        "profit": _figure(paths, "general_profit"),
        "page-size": _PAGE,
        **{name.replace("_", "-"): value for name, value in figures.items()},
        "services": {
            service.name: {"active": service.active, "enabled": service.enabled}
            for service in services(paths)
        },
    }


_FIGURES = (
    "pages_shared",
    "pages_sharing",
    "pages_unshared",
    "pages_volatile",
    "ksm_zero_pages",
    "full_scans",
    "pages_to_scan",
    "sleep_millisecs",
)


def _run(paths: Paths) -> int:
    run = _figure(paths, "run")
    if run is None:
        why = "This kernel was built without KSM (CONFIG_KSM); nothing is merged."
        if paths.root != Path("/"):
            why = "A tree below --root has no kernel: ask the host itself, without --root."
        raise NotFound(f"ksm: node {paths.node}: {paths.ksm} does not exist", hint=why)
    return run


def _saved(paths: Paths) -> int:
    """Bytes in pages that need not be there.

    Before Linux 6.10, the kernel may count its zero pages down below nothing.
    """
    pages = (_figure(paths, name) or 0 for name in ("pages_sharing", "ksm_zero_pages"))
    return sum(max(count, 0) for count in pages) * _PAGE


def _figure(paths: Paths, name: str) -> int | None:
    """One of the kernel's figures; ``None`` where this kernel does not have it."""
    data = files.read_if_exists(paths.ksm / name)
    try:
        return None if data is None else int(data)
    except ValueError:
        return None


# --- the services ---------------------------------------------------------------------------------


def services(paths: Paths) -> list[Service]:
    """The services that are installed.

    :raises ProgramError: systemd cannot be asked.
    """
    there = [service for service in SERVICES if _installed(paths, service)]
    if not there:
        return []
    if not units.runs_systemd(paths):
        return [Service(name, "unknown", _enabled(paths, name)) for name in there]
    asked = ["systemctl", "show", "--property=Id,ActiveState,UnitFileState", *there]
    known = []
    for block in programs.run(asked, timeout=20.0).stdout.strip().split("\n\n"):
        properties = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        enabled = properties.get("UnitFileState") or "static"
        known.append(Service(properties["Id"], properties["ActiveState"], enabled))
    return known


def _installed(paths: Paths, name: str) -> bool:
    return any(paths.below(f"{unit}/{name}").exists() for unit in _UNITS)


def _enabled(paths: Paths, name: str) -> str:
    """Whether a service is started at boot, by the links that say so (systemd.unit(5))."""
    targets = paths.below("etc/systemd/system").glob("*.wants")
    return "enabled" if any((target / name).is_symlink() for target in targets) else "disabled"


def _switch(paths: Paths, task: Task, *, on: bool) -> list[Service]:
    """Have the services started, or stopped, now and at every boot; those that are installed.

    :raises ProgramError: systemd does not do it; its own words.
    """
    there = services(paths)
    if not there:
        task.log("No service manages KSM here")
        return []
    names = [service.name for service in there]
    verb = "enable" if on else "disable"
    runs = units.runs_systemd(paths)
    where = ["--now"] if runs else [f"--root={paths.root}"]
    programs.run(["systemctl", verb, *where, *names], timeout=120.0)
    task.log(f"{', '.join(names)}: {verb}d{' and ' + _NOW[on] if runs else ''}")
    now = services(paths)
    left = [
        service
        for service in now
        if not on and (service.enabled == "enabled" or service.active == "active")
    ]
    if left:
        raise ProgramError(
            f"ksm: {left[0].name}: it is still {left[0].active} and {left[0].enabled}",
            hint=f"See: systemctl status {left[0].name}",
        )
    return now


_NOW = {True: "started", False: "stopped"}


# --- on and off -----------------------------------------------------------------------------------


def disable(paths: Paths, task: Task, *, unmerge: bool) -> None:
    """Turn merging off, persistently.

    :param unmerge: also undo what is merged; without it, merged pages stay shared until they change.
    :raises NotFound: this kernel has no KSM.
    :raises StoreError: the kernel refuses.
    :raises ProgramError: systemd does not stop the service.
    """
    _run(paths)  # without KSM nothing is touched
    _switch(paths, task, on=False)
    _write(paths, task, UNMERGE if unmerge else STOP)


def enable(paths: Paths, task: Task) -> None:
    """Merge again: by ``ksmtuned`` where there is one, else at once.

    ``ksm.service`` alone turns merging on once, when the host boots.

    :raises PvefwError: as :func:`disable`.
    """
    _run(paths)
    names = [service.name for service in _switch(paths, task, on=True)]
    if _TUNED in names:
        if _figure(paths, "run") == UNMERGE:
            _write(paths, task, STOP)  # from here the service knows the way
        task.log("The service turns merging on when memory gets short")
    else:
        _write(paths, task, RUN)
        lasts = f"{names[0]} does so at every boot" if names else "This lasts until the next boot"
        task.log(lasts)


def unmerge(paths: Paths, task: Task) -> None:
    """Undo all merging, and merge no more until somebody turns it on again.

    :raises PvefwError: as :func:`disable`.
    """
    _run(paths)
    _write(paths, task, UNMERGE)
    busy = [service.name for service in services(paths) if service.active == "active"]
    if busy:
        task.warn(f"{', '.join(busy)} runs and may merge again: pvefw ksm disable --unmerge")


def _write(paths: Paths, task: Task, run: int) -> None:
    """Tell the kernel, and read back what came of it."""
    before = _saved(paths)
    files.tell_kernel(paths.ksm / "run", f"{run}\n")  # returns when the kernel has done it
    now = _run(paths)
    if now != run:
        raise PvefwError(
            f"ksm: node {paths.node}: the kernel keeps run at {now} instead of {run}",
            hint="Another program may set it, such as ksmtuned; see: systemctl status ksmtuned",
        )
    task.log(f"KSM is {_STATES[run]}")
    if run != UNMERGE:
        return
    left = _saved(paths)
    if left:
        raise PvefwError(
            f"ksm: node {paths.node}: {left // _PAGE} pages are still shared",
            hint="Memory may not suffice to give every process its own; stop some guests.",
        )
    task.log(f"No page is shared any longer; {mebibytes(before)} MiB more are in use")


def mebibytes(size: int) -> str:
    """A number of bytes, for people."""
    return f"{size / (1 << 20):,.1f}"
