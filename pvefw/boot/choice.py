"""What the administrator chose: pinned, next and manually selected kernels; and the plan that follows.

``next-boot-pin`` is a one-shot. Beside it we remember in which boot that very file was written: once the
host has been started again it is forgotten, whichever kernel came up.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pvefw.boot import cmdline, firmware, kernels, packages, signatures, versions
from pvefw.boot.kernels import Installed
from pvefw.core.errors import StoreError
from pvefw.core.model import BootPlan
from pvefw.host.fat import is_version
from pvefw.store import files, kernel_files, locks, oddities, this_boot
from pvefw.store.paths import Paths

_LOCK = "boot-choice"


@dataclass(frozen=True)
class Choice:
    """The kernels that the administrator named."""

    manual: Sequence[str] = ()
    """In the order of versions, oldest first."""
    pinned: str | None = None
    next_boot: str | None = None


def load(paths: Paths) -> Choice:
    """What is chosen now; what is not the version of a kernel is reported, and not chosen."""
    manual = [
        entry
        for entry in kernel_files.entries(paths.manual_kernels)
        if _is_sound(entry, paths.manual_kernels, f"remove {shlex.quote(oddities.readable(entry))}")
    ]
    pinned = _pin(paths.pinned_kernel, "unpin")
    next_boot = _pin(paths.next_boot_kernel, "unpin --next-boot")
    if next_boot and _spent(paths):
        next_boot = None
    return Choice(sorted(manual, key=versions.key), pinned, next_boot)


def _pin(path: Path, remedy: str) -> str | None:
    version = kernel_files.value(path)
    return version if version and _is_sound(version, path, remedy) else None


def _is_sound(version: str, where: Path, remedy: str) -> bool:
    if is_version(version):
        return True
    why = f"'{oddities.readable(version)}' is not the version of a kernel"
    oddities.report(where, 0, why, f"it is ignored; remove it: pvefw boot kernel {remedy}")
    return False


# --- manual and pinned kernels ----------------------------------------------------------------------


def add(paths: Paths, version: str) -> bool:
    """Select a kernel manually; whether it was not yet.

    :raises NotFound: it is not installed.
    """
    kernels.installed(paths).find(version)
    with locks.local_lock(paths, _LOCK):
        return kernel_files.add(paths.manual_kernels, version)


def remove(paths: Paths, version: str) -> bool:
    """Take a manual selection back; whether there was one."""
    with locks.local_lock(paths, _LOCK):
        return kernel_files.remove(paths.manual_kernels, [version])


def pin(paths: Paths, version: str, *, next_boot: bool) -> None:
    """Boot this kernel from now on, or once.

    :raises NotFound: it is not installed.
    """
    kernels.installed(paths).find(version)
    with locks.local_lock(paths, _LOCK):
        if next_boot:
            # should the power fail between: a pin without a note counts from when it is seen
            kernel_files.set_value(paths.next_boot_kernel, version)
            _note(paths)
        else:
            kernel_files.set_value(paths.pinned_kernel, version)


def unpin(paths: Paths, *, next_boot: bool) -> bool:
    """Take all pins back, or only that for the next boot; whether there was one."""
    with locks.local_lock(paths, _LOCK):
        unwanted = [paths.next_boot_kernel] if next_boot else [*pins(paths)]
        there = any(path.exists() for path in unwanted)
        for path in unwanted:
            files.remove(path)
        _forget_note(paths)
        return there


def pins(paths: Paths) -> Sequence[Path]:
    """The files with pins: for good, and for the next boot."""
    return paths.pinned_kernel, paths.next_boot_kernel


# --- the one-shot ------------------------------------------------------------------------------------


def _note_path(paths: Paths) -> Path:
    return paths.boot_state / "next-boot.json"


def _note(paths: Paths) -> None:
    note = {"file": _identity(paths.next_boot_kernel), "boot_id": this_boot.id_(paths)}
    files.replace(_note_path(paths), json.dumps(note).encode())


def _forget_note(paths: Paths) -> None:
    """One that cannot be removed does no harm: it is about another file than the next one."""
    path = _note_path(paths)
    try:
        files.remove(path)
    except StoreError as error:
        oddities.report(path, 0, error.message, "it is ignored")


def _identity(path: Path) -> list[int] | None:
    """What tells this file from the next one: another tool may write the same version again."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_ino, status.st_mtime_ns]


def _noted(paths: Paths) -> str | None:
    """In which boot the pin that is there was set, or ``None`` where nobody took note."""
    note = files.read_object_if_possible(_note_path(paths))
    if note.get("file") != _identity(paths.next_boot_kernel):
        return None
    return note.get("boot_id")


def _spent(paths: Paths) -> bool:
    """Whether the host has been started since the one-shot was set."""
    noted = _noted(paths)
    return noted is not None and noted != this_boot.id_(paths)


def settle(paths: Paths) -> str | None:
    """Forget a one-shot that is spent, and take note of one that Proxmox VE's own tool has set.

    :returns: the version that was forgotten.
    """
    with locks.local_lock(paths, _LOCK):
        version = kernel_files.value(paths.next_boot_kernel)
        if not version:
            _forget_note(paths)  # somebody else has taken the pin back
            return None
        if _spent(paths):
            files.remove(paths.next_boot_kernel)
            _forget_note(paths)
            return version
        if _noted(paths) is None:
            try:
                _note(paths)
            except StoreError as error:
                oddities.report(_note_path(paths), 0, error.message, "each refresh arms it again")
        return None


# --- the plan -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KernelPlan:
    """The plan, and what could not be planned as it was chosen."""

    plan: BootPlan
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    """What was assumed, and is worth saying where it is acted on."""
    not_in_boot: str = ""
    """The version of the running kernel where ``/boot`` does not hold it; else empty."""
    why_not_in_boot: str = ""


def plan(paths: Paths, *, installing: str = "", available: Installed | None = None) -> KernelPlan:
    """What every ESP has to offer now.

    :param installing: the kernel whose package is being installed, or empty.
    :raises NotFound: there is no complete kernel.
    :raises ConfigError: the command line, or what was chosen, is damaged.
    """
    chosen = load(paths)
    available = available or kernels.installed(paths)
    named = [version for version in (chosen.pinned, chosen.next_boot) if version]
    wanted = {*chosen.manual, *named}
    running = kernels.running()
    offered = kernels.choose(available, running, wanted, installing, packages.installed(paths))
    there = {kernel.version for kernel in offered}
    default = chosen.pinned if chosen.pinned in there else offered[0].version
    next_boot = chosen.next_boot if chosen.next_boot in there else None
    line = cmdline.wanted(paths)
    notes, odd = _of_the_command_line(paths, line)
    why = _not_in_boot(paths, available, running)
    return KernelPlan(
        BootPlan(
            offered,
            default or "",
            next_boot,
            line.text,
            paths.root,
            pinned=default == chosen.pinned,
            running_cmdline=not line.written,
        ),
        [
            *_warnings(available, chosen, there, default or ""),
            *([why] if why else []),
            *odd,
            *signatures.refused_kernels(paths, offered),
        ],
        notes,
        running if why else "",
        why,
    )


def _of_the_command_line(
    paths: Paths, line: cmdline.CommandLine
) -> tuple[Sequence[str], Sequence[str]]:
    """What is to be said about where the command line is from: notes, and warnings."""
    if line.written:
        return [], []
    note = f"{paths.cmdline} does not exist: kernels get the running command line: {line.text}"
    if not line.left_out:
        return [note], []
    warning = (
        f"this is a rescue boot, so {' '.join(line.left_out)} of its command line is not used; "
        "set what kernels get: pvefw boot cmdline set 'root=…'"
    )
    return [note], [warning]


def _not_in_boot(paths: Paths, available: Installed, running: str) -> str:
    """Why ``/boot`` cannot give the running kernel of this system to an ESP; empty where it can."""
    if running in available.versions or not cmdline.runs_from(paths.root):
        return ""
    if not cmdline.names_its_loader() and not firmware.has_loader_info(paths):
        return ""  # it never came from there: a hypervisor started it
    why = available.incomplete.get(running, f"it is not in {paths.kernels}")
    return f"kernel {running} is running, but {why}"


def _warnings(available: Installed, chosen: Choice, there: set[str], default: str) -> list[str]:
    """One line for each kernel that was chosen but cannot be offered, or is half installed."""
    lines = []
    for purpose, version, then in (
        ("pinned", chosen.pinned, f"{default} is the default"),
        ("chosen for the next boot", chosen.next_boot, "no one-time boot is set"),
    ):
        if version and version not in there:
            why = available.incomplete.get(version, "it is not installed")
            lines.append(f"kernel {version} is {purpose}, but {why}: {then}")
    lines += [
        f"kernel {version} is selected manually, but it is not installed: "
        f"pvefw boot kernel remove {version}"
        for version in chosen.manual
        if version not in there and version not in available.incomplete
    ]
    lines += [
        f"kernel {version} is left out: {why}"
        for version, why in available.incomplete.items()
        if version not in (chosen.pinned, chosen.next_boot)
    ]
    return lines
