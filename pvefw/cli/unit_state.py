"""Whether the units of pvefw would run: found out from files, and from systemd where it runs."""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pvefw.host import programs
from pvefw.store import files, units
from pvefw.store.paths import Paths

GROUP = "pvefw.units"
"""The entry-point group of what other distributions write."""
_PROGRAM = "<pvefw>"
"""In place of the command line that runs pvefw: what was written names the one of its day."""
_RUNS = re.compile(r"^Exec(?:Start|Stop)=[-@:+!]*(\S+)", re.MULTILINE)
_COMMANDS = re.compile(r"^(?:\S+ ){5}root (\S+)|^@reboot root (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class _Written:
    """What a command writes that other programs run."""

    command: str
    """The words after ``pvefw``."""
    texts: Mapping[str, str]
    """By name; in each, :data:`_PROGRAM`."""
    place: str = units.DIRECTORY


def installed(paths: Paths) -> dict[str, str]:
    """The units of pvefw that exist below the root, and the text of each; what is masked has none."""
    return _installed(paths, _written(paths))


def _installed(paths: Paths, written: Sequence[_Written]) -> dict[str, str]:
    names = [name for each in written if each.place for name in each.texts]
    unit_files = {}
    for name in names:
        for place in units.PLACES:
            path = paths.below(f"{place}/{name}")
            if path.is_symlink() or path.exists():
                masked = path.is_symlink() and str(path.readlink()) == "/dev/null"
                unit_files[name] = "" if masked else (files.read_if_exists(path) or b"").decode()
                break
    return unit_files


def _written(paths: Paths) -> list[_Written]:
    """What commands write: pvefw's own, and those of other distributions where units of theirs are.

    A distribution that writes units says so by an entry point of :data:`GROUP`: the command's name, with
    dots, and a function that takes the command line of pvefw and returns units by name.
    """
    from pvefw.boot import hooks
    from pvefw.certs import following, timer
    from pvefw.guests import units as guest_units

    ours = [
        _Written("renew install-timer", timer.texts(_PROGRAM)),
        _Written("boot install-hooks", hooks.texts(_PROGRAM)),
        _Written("boot install-hooks", hooks.scripts(_PROGRAM), ""),
        _Written("install-units", guest_units.texts(_PROGRAM)),
        _Written("store join", following.texts(_PROGRAM)),
    ]
    known = {name for each in ours for name in each.texts}
    there = {path.name for place in units.PLACES for path in paths.root.glob(f"{place}/pvefw-*")}
    if there <= known:
        return ours
    return [*ours, *_of_others()]


def _of_others() -> Iterator[_Written]:
    """What commands of other distributions write; a broken one keeps nothing else from being seen."""
    from pvefw.core import loading, metadata

    for point in metadata.entry_points(GROUP):
        who = f"{point.name} ({point.distribution.name} {point.distribution.version})"
        with contextlib.suppress(Exception, SystemExit):
            texts: Any = loading.load(point, who)
            yield _Written(point.name.replace(".", " "), texts(_PROGRAM))


def troubles(paths: Paths) -> list[str]:
    """What keeps units that are installed from running, a sentence each with what to do.

    With ``--root``, cron's line names the program of the machine on which it was written.
    """
    from pvefw.certs import timer

    written = _written(paths)
    unit_files = _installed(paths, written)
    lines = [line for name, text in unit_files.items() for line in _unit(paths, name, text)]
    lines += _of_another_release(paths, written)
    cron = files.read_if_exists(paths.below(timer.CRON)) or b""
    commands = [quoted or two for quoted, two in _COMMANDS.findall(cron.decode(errors="replace"))]
    gone = [command for command in commands if not Path(command).exists()]
    return [*lines, *_programs(paths, timer.CRON, gone)]


def _of_another_release(paths: Paths, written: Sequence[_Written]) -> Iterator[str]:
    """What an earlier release wrote here: an upgrade replaces a package's own files only."""
    for each in written:
        for name, text in each.texts.items():
            path = paths.below(f"{each.place}/{name}".lstrip("/"))
            if path.is_symlink() or not path.is_file():
                continue
            there = (files.read_if_exists(path) or b"").decode(errors="replace")
            if not _form(text).fullmatch(there):
                yield (
                    f"{path} is not what this release writes: it is an earlier one's, or was edited; "
                    f"write it again: pvefw {each.command}"
                )


def _form(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text).replace(re.escape(_PROGRAM), r"\S[^\n]*?"))


def _unit(paths: Paths, name: str, text: str) -> Iterator[str]:
    written = paths.below(f"{units.DIRECTORY}/{name}")
    if not text:
        yield f"{name} is masked; run: systemctl unmask {name}"
        return
    yield from _programs(paths, name, _RUNS.findall(text))
    if "[Install]" not in text:
        return
    if not units.is_enabled(paths, name):
        if written.exists():  # a package's own may be meant to wait for install-units
            yield f"{name} is not enabled; run: systemctl enable --now {name}"
    elif units.runs_systemd(paths):  # pragma: no cover - it needs a running systemd
        yield from _now(name)


def _programs(paths: Paths, where: str, commands: Sequence[str]) -> Iterator[str]:
    for command in dict.fromkeys(commands):
        if command.startswith("/") and not paths.below(command.lstrip("/")).exists():
            yield f"{where} runs {command}, which does not exist; install it again"


def _now(name: str) -> Iterator[str]:
    """What the running systemd says of a unit that is enabled."""
    shown = programs.run(
        ["systemctl", "show", "--property=ActiveState", "--value", name], check=False
    )
    state = shown.stdout.strip()
    if state == "failed":
        yield f"{name} has failed; see: systemctl status {name}"
    elif state == "inactive" and name.endswith(".timer"):
        yield f"{name} does not run; run: systemctl start {name}"
