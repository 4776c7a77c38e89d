"""What Proxmox VE keeps in ``/etc/kernel``: lists with one entry a line, and files with one value.

In both, ``#`` begins a comment, on a line of its own or behind a blank. In a list, comments, empty lines
and lines that we do not understand survive, and so do the line ends. The byte order mark that editors of
Windows put in front is no part of the text.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from pvefw.store import files, oddities

_COMMENT = re.compile(r"(?:^|\s)\s*#.*", re.DOTALL)
_VALUE = re.compile(
    r'(?P<value>(?:[^"#]|"[^"]*(?:"|$)|(?<!\s)(?<!^)#)*)(?P<comment>#.*)?', re.DOTALL
)
"""A line with a value: what stands between double quotes is no comment."""


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

    Several lines are one with blanks between, also where each ends with a backslash as in a shell;
    carriage returns and comments are left out. All of that is reported.
    """
    lines = _lines(path)
    if any("\r" in line for line in lines):
        why = "its lines end with carriage returns, as on Windows"
        oddities.report(path, 0, why, "they are ignored")
    parts = [_VALUE.fullmatch(line.strip()) for line in lines]
    if any(part and part["comment"] for part in parts):
        oddities.report(path, 0, "it has comments", "what follows a # is ignored")
    texts = [text for part in parts if part and (text := part["value"].strip())]
    if len(texts) > 1:
        why = f"it has {len(texts)} lines, and must have one"
        oddities.report(path, 0, why, "they are joined")
        texts = [text.removesuffix("\\").rstrip() for text in texts]
    return " ".join(texts) or None


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
    data = files.read_if_exists(path) or b""
    text = oddities.without_mark(data)
    if text != data:
        oddities.report(
            path, 0, "it begins with a byte order mark, as on Windows", "that is ignored"
        )
    return oddities.decoded(text).splitlines(keepends=True)


def _write(path: Path, lines: Sequence[str]) -> None:
    files.replace(path, oddities.encoded("".join(lines)))
