"""systemd units of pvefw's own: written, checked, and enabled where systemd runs (systemd.unit(5))."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pvefw.core.errors import ProgramError
from pvefw.host import leftovers, programs
from pvefw.store import files
from pvefw.store.paths import Paths

DIRECTORY = "etc/systemd/system"
SHIPPED = ("usr/lib/systemd/system", "lib/systemd/system")
"""Where packages put units (systemd.unit(5), "Unit File Load Path")."""
PLACES = (DIRECTORY, *SHIPPED)
"""Where units are, the first that has one before the others."""
_ENABLED = ("etc", "run", "usr/lib", "lib")
"""Where a unit is enabled: by an administrator, until the next boot, by a distribution."""


def program() -> str:
    """The command line that runs pvefw: what systemd, cron and other programs' hooks have to call."""
    for ours in (Path(sys.argv[0]).absolute(), Path(sys.executable).with_name("pvefw")):
        if ours.name == "pvefw" and ours.is_file():
            return str(ours)
    return shutil.which("pvefw") or f"{sys.executable} -m pvefw"


def has_systemd(paths: Paths) -> bool:
    """Whether systemd is installed below the root."""
    return any(
        paths.below(place).exists() for place in ("usr/lib/systemd/systemd", "lib/systemd/systemd")
    )


def runs_systemd(paths: Paths) -> bool:
    """Whether it is the host's own systemd, and it is running (sd_booted(3))."""
    return paths.root == Path("/") and Path("/run/systemd/system").is_dir()


def install(
    paths: Paths, units: Mapping[str, str], *, enable: Sequence[str], start: Sequence[str] = ()
) -> list[Path]:
    """Have systemd check units, write them, and enable them where this is the running host.

    Those that a package has brought are enabled only. A copy would hide the package's and outlive it, so
    one that was written earlier is removed.

    :param units: a unit's name to its text.
    :param enable: those that are to be part of the next boot.
    :param start: those of them that are to be started now.
    :returns: what was written.
    :raises StoreError: they cannot be written.
    :raises ProgramError: systemd rejects them, or cannot be asked.
    """
    ours = {name: text for name, text in units.items() if not is_shipped(paths, name)}
    _verify(ours)
    for name in units:
        target = paths.below(DIRECTORY) / name
        if name in ours:
            files.replace(target, ours[name].encode())
        else:
            files.remove(target)
    if runs_systemd(paths):
        programs.run(["systemctl", "daemon-reload"])
        programs.run(["systemctl", "enable", *enable])
        if start:
            programs.run(["systemctl", "start", *start])
    return [paths.below(DIRECTORY) / name for name in ours]


def is_enabled(paths: Paths, name: str) -> bool:
    """Whether a unit is wanted by another one: it is started at boot, or with that one."""
    wants = (paths.root.glob(f"{folder}/systemd/system/*.wants") for folder in _ENABLED)
    # below another root, the link leads nowhere
    return any(os.path.lexists(place / name) for places in wants for place in places)


def is_shipped(paths: Paths, name: str) -> bool:
    """Whether a package has brought a unit."""
    return any(paths.below(f"{folder}/{name}").exists() for folder in SHIPPED)


def _verify(units: Mapping[str, str]) -> None:
    """Let systemd check units where it is installed, before anything has read them.

    :param units: a unit's name to its text.
    :raises ProgramError: it finds a mistake; its own words.
    """
    if not units or shutil.which("systemd-analyze") is None:
        return
    with leftovers.directory() as folder:
        copies = [folder / name for name in units]
        for copy, text in zip(copies, units.values(), strict=True):
            files.replace(copy, text.encode())
        checked = programs.run(["systemd-analyze", "verify", *map(str, copies)], check=False)
    about = [
        line.replace(f"{folder}/", "")
        for line in checked.stderr.splitlines()
        if any(name in line.partition(": ")[0] for name in units)
    ]
    if about:
        raise ProgramError(f"systemd-analyze verify: {' / '.join(about)}")
