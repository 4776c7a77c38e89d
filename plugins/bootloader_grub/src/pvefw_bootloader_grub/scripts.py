"""Debian's own scripts in ``/etc/grub.d``: their local changes are found, carried over, or refused.

The scripts are not run for an ESP; the menu is written from the plan. But administrators edit them to
protect the menu with a password, and to let some entries start without one, and a menu that loses half of
that either stops at ``Enter username:`` or protects nothing. dpkg knows the checksum of each script as it
was packaged, but not its text. So the text that was added is found by taking it away again.

Source: the manual of GRUB, section "Authentication and authorisation in GRUB".
"""

import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from hashlib import md5
from pathlib import Path

from pvefw.api import ProviderError, Sandbox, run
from pvefw_bootloader_grub import files, script

FOLDER = Path("etc/grub.d")
_MENU = "10_linux"
_HEADERS = ("00_header", "05_debian_theme")
"""What they print comes before the menu, and counts on an ESP, too."""
_CONFFILE = re.compile(r"^ /etc/grub\.d/(?P<name>\S+) (?P<md5>[0-9a-f]{32})", re.MULTILINE)
_OPTION = re.compile(
    r"(?P<before> ?)(?P<option>--unrestricted|--users (?:\\?\"\\?\"|''|[\w,]+))(?P<blank> ?)"
)
_FIRST_ENTRY = re.compile(r"\s*echo \"menuentry .*gnulinux-simple")
_EVERY_ENTRY = re.compile(r"\s*(?:CLASS=|echo \"(?:menuentry (?!.*gnulinux-simple)|submenu ))")
"""Where Debian's script writes them."""
_RECOVERY = re.compile(
    r"^\s*(?P<machine>[\w|]+)\*\) GRUB_CMDLINE_LINUX_RECOVERY="
    r"\"\$GRUB_CMDLINE_LINUX_RECOVERY (?P<words>[\w.= -]+)\"",
    re.MULTILINE,
)
"""What the script itself adds in recovery mode: ``dis_ucode_ldr`` on x86, since Debian 13."""
_WHOLE_NAMES = re.compile(r"case \"?\$\{?GRUB_DISTRIBUTOR\}?\"? in\s+([^()\n]+)\)")
_DEBIANS_WHOLE_NAMES = "Ubuntu|Kubuntu"
"""Of Debian 12; since Debian 13 ``*GNU/Linux``, too."""
_PROTECTS = re.compile(r"^\s*(?!#)[^#\n]*(?:superusers|password(?:_pbkdf2)?\s)", re.MULTILINE)
_PASSWORDS = {"export", "password", "password_pbkdf2"}
_LONGEST_BLOCK = 60
"""Lines; what is longer is no local change but another script."""
_SECONDS = 10.0


@dataclass(frozen=True)
class Changes:
    """What was added to the scripts, as it counts on an ESP."""

    text: bytes = b""
    """Commands for ``grub.cfg``."""
    options: Sequence[str] = ()
    """Of every entry for a kernel, and of the submenu that they are in."""
    first_options: Sequence[str] = ()
    """Of the first entry only."""
    recovery: Sequence[str] = ()
    """Options of the kernel in recovery mode, which Debian's own script adds."""
    warnings: list[str] = field(default_factory=list)


def changes(root: Path) -> Changes:
    """What an administrator has added.

    :raises ProviderError: something that cannot be carried over; it names the line.
    """
    folder = root / FOLDER
    digests = _digests(files.read(root / "var/lib/dpkg/status") or b"")
    parts = [
        _added_output(path, digests.get(path.name))
        for path in (folder / name for name in _HEADERS)
        if path.is_file()
    ]
    everywhere, first = _options(folder / _MENU, digests.get(_MENU))
    return Changes(
        b"\n".join(part for part in parts if part), everywhere, first, _recovery(folder / _MENU)
    )


def _recovery(path: Path) -> list[str]:
    matches = _RECOVERY.finditer(_text(path))
    fitting = [match for match in matches if platform.machine().startswith(match["machine"])]
    return [word for match in fitting for word in match["words"].split()]


def is_whole_name(root: Path, system: str) -> bool:
    """Whether the host's script calls a system by its name alone, not "… GNU/Linux"."""
    match = _WHOLE_NAMES.search(_text(root / FOLDER / _MENU))
    patterns = (match[1] if match else _DEBIANS_WHOLE_NAMES).split("|")
    return any(fnmatchcase(system, pattern.strip()) for pattern in patterns)


def protection(path: Path) -> bytes | None:
    """What an administrator's own script prints, where that is a password for the menu and no more.

    :returns: ``None`` where it is about something else.
    :raises ProviderError: it protects the menu, and does other things.
    """
    text = _text(path)
    if not _PROTECTS.search(text):
        return None
    output = _output(path, text, "it")
    if not all(map(_sets_passwords, script.commands(output.decode(errors="replace")))):
        raise ProviderError(
            f"{path}: it protects the menu with a password, and does more than that",
            hint="Move 'set superusers' and the passwords to /etc/grub.d/40_custom.",
        )
    return output


def _sets_passwords(words: Sequence[str]) -> bool:
    if words[0] == "set":
        return words[-1].startswith("superusers=")
    return words[0] in _PASSWORDS


def _digests(status: bytes) -> Mapping[str, str]:
    return {
        match["name"]: match["md5"] for match in _CONFFILE.finditer(status.decode(errors="replace"))
    }


def _text(path: Path) -> str:
    return (files.read(path) or b"").decode(errors="surrogateescape")


def _is(text: str, digest: str) -> bool:
    data = text.encode(errors="surrogateescape")
    return md5(data, usedforsecurity=False).hexdigest() == digest


# --- scripts whose output comes before the menu ---------------------------------------------------------


def _added_output(path: Path, digest: str | None) -> bytes:
    """What the lines print that were added to a script of Debian's."""
    text = _text(path)
    if digest is None or _is(text, digest):
        return b""
    addition = _added(text, digest)
    if addition is None:
        raise _not_carried(path, "it was changed in more than one place")
    first, last, added = addition
    where = f"line {first}" if first == last else f"lines {first} to {last}"
    if not added.endswith("\n"):
        raise _not_carried(path, f"{where}: {added!r} was added")
    return _output(path, added, where)


def _output(path: Path, text: str, where: str) -> bytes:
    """What a shell prints for it, as nobody; the text may hold a password, so it is no argument.

    :raises ProviderError: it needs what only grub-mkconfig has.
    """
    done = run(["sh", "-eu"], input=text, timeout=_SECONDS, check=False, sandbox=Sandbox())
    if done.returncode != 0:
        raise _not_carried(path, f"{where} cannot be run without the rest: {done.last_words}")
    return done.stdout.encode(errors="surrogateescape")


def _not_carried(path: Path, why: str) -> ProviderError:
    return ProviderError(
        f"{path}: its local change cannot be carried over to an ESP: {why}",
        hint="Put what it adds to the menu into /etc/grub.d/40_custom, and the packaged script back "
        f"(apt-get download grub-common; see {path}.dpkg-dist).",
    )


@lru_cache(maxsize=8)
def _added(text: str, digest: str) -> tuple[int, int, str] | None:
    """The one run of lines, or of words in a line, without which a script is as it was packaged.

    :returns: its first and last line, counted from 1, and the text.
    """
    lines = text.splitlines(keepends=True)
    for first in range(len(lines)):
        head = "".join(lines[:first])
        for last in range(first + 1, min(first + _LONGEST_BLOCK, len(lines)) + 1):
            if _is(head + "".join(lines[last:]), digest):
                return first + 1, last, "".join(lines[first:last])
    for at, line in enumerate(lines):
        head, tail = "".join(lines[:at]), "".join(lines[at + 1 :])
        for begin, end in _runs(line):
            if _is(head + line[:begin] + line[end:] + tail, digest):
                return at + 1, at + 1, line[begin:end]
    return None


def _runs(line: str) -> Iterator[tuple[int, int]]:
    """Where words of a line begin and end, with the blank before or after them."""
    edges = [
        0,
        *(match.start() for match in re.finditer(r"(?<=\S)(?=\s)|(?<=\s)(?=\S)|[\"']", line)),
    ]
    for begin in edges:
        for end in edges:
            if begin < end:
                yield begin, end


# --- the script that writes the entries ----------------------------------------------------------------


def _options(path: Path, digest: str | None) -> tuple[Sequence[str], Sequence[str]]:
    """What was added to all entries for kernels, and to the first one."""
    if not path.is_file():
        return (), ()
    lines = _text(path).splitlines(keepends=True)
    everywhere = [
        option for line in lines if _EVERY_ENTRY.match(line) for option in _added_options(line)
    ]
    first = [
        option for line in lines if _FIRST_ENTRY.match(line) for option in _added_options(line)
    ]
    bare = "".join(
        _OPTION.sub(lambda match: match["blank"] and match["before"], line)
        if _EVERY_ENTRY.match(line) or _FIRST_ENTRY.match(line)
        else line
        for line in lines
    )
    if digest is not None and not _is(bare, digest):
        addition = _added(bare, digest)
        why = "it was changed in more than one place"
        if addition is not None:
            why = f"line {addition[0]}: {addition[2].strip()!r} was added"
        raise _not_carried(path, why)
    return list(dict.fromkeys(everywhere)), list(dict.fromkeys(first))


def _added_options(line: str) -> list[str]:
    """The options of a menu entry, as words."""
    return [
        word
        for match in _OPTION.finditer(line)
        for word in script.words(match["option"].replace("\\", ""))
    ]
