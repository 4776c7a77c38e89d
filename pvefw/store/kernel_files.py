"""What Proxmox VE keeps in ``/etc/kernel``: lists with one entry a line, and files with one value.

In a list, ``#`` begins a comment, on a line of its own or behind a blank. Comments, empty lines and lines
that we do not understand survive, and so do the line ends.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from pvefw.store import files, oddities

_COMMENT = re.compile(r"(?:^|\s)\s*#.*", re.DOTALL)


def entries(path: Path) -> list[str]:
    """The entries of a list, each once, in the order of the file; none where there is no file."""
    return list(dict.fromkeys(entry for line in _lines(path) if (entry := _entry(line))))


def add(path: Path, entry: str) -> bool:
    """Add an entry at the end of a list.

    :returns: whether it was not there.
    :raises StoreError: it cannot be written.
    """
    lines = _lines(path)
    if entry in map(_entry, lines):
        return False
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    _write(path, [*lines, f"{entry}\n"])
    return True


def remove(path: Path, unwanted: Sequence[str]) -> bool:
    """Remove entries from a list.

    :returns: whether one of them was there.
    :raises StoreError: it cannot be written.
    """
    lines = _lines(path)
    kept = [line for line in lines if _entry(line) not in unwanted]
    if kept == lines:
        return False
    _write(path, kept)
    return True


def value(path: Path) -> str | None:
    """The one line of a file, or ``None`` where there is no file or nothing in it.

    Several lines are one with blanks between, and carriage returns are left out; both are reported.
    """
    lines = _lines(path)
    if any("\r" in line for line in lines):
        why = "its lines end with carriage returns, as on Windows"
        oddities.report(path, 0, why, "they are ignored")
    words = [text for line in lines if (text := line.strip())]
    if len(words) > 1:
        why = f"it has {len(words)} lines, and must have one"
        oddities.report(path, 0, why, "they are joined")
    return " ".join(words) or None


def set_value(path: Path, text: str) -> None:
    """Write a file with one line.

    :raises StoreError: it cannot be written.
    """
    _write(path, [f"{text}\n"])


def _entry(line: str) -> str:
    """What a line of a list names; empty for comments."""
    return _COMMENT.sub("", line).strip()


def _lines(path: Path) -> list[str]:
    """A file's lines with their ends."""
    text = oddities.decoded(files.read_if_exists(path) or b"")
    return text.splitlines(keepends=True)


def _write(path: Path, lines: Sequence[str]) -> None:
    files.replace(path, oddities.encoded("".join(lines)))
