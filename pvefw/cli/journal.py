"""Says to systemd's journal how bad a line is, where the journal reads our output (sd-daemon(3))."""

import os
import re
import sys
from io import TextIOWrapper
from typing import TextIO

_PRIORITIES = (
    (re.compile(r"WARN: |[^\s:]+: warning: |Task WARNINGS|\S+: not renewed: "), 4),
    (re.compile(r"Task ERROR: |pvefw: "), 3),
)
"""By how a line begins: LOG_WARNING and LOG_ERR of syslog(3). Other lines keep the unit's own."""


def mark_lines() -> None:
    """Begin each line of standard output and error with its priority, if the journal gets it."""
    journal = os.environ.get("JOURNAL_STREAM")
    if journal:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if _is(stream, journal):
                setattr(sys, name, _Marked(stream))


def _is(stream: TextIO, journal: str) -> bool:
    """Whether this is the stream of which systemd says that it leads to the journal (systemd.exec(5))."""
    try:
        there = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return journal == f"{there.st_dev}:{there.st_ino}"


class _Marked(TextIOWrapper):
    """A stream whose lines begin with ``<4>`` if they warn and with ``<3>`` if they tell of an error.

    Lines that are indented belong to the one before them.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream.buffer, encoding="utf-8", errors="replace", line_buffering=True)
        self._priority = ""
        self._begins = True
        self._stream = stream
        """Kept: it would close what both of them write to."""

    def write(self, text: str) -> int:
        if not isinstance(text, str):  # how libraries ask whether a stream takes bytes
            raise TypeError(f"write() takes a text, not {type(text).__name__}")
        marked = "".join(map(self._marked, text.splitlines(keepends=True)))
        super().write(marked)
        return len(text)

    def _marked(self, line: str) -> str:
        begins, self._begins = self._begins, line.endswith("\n")
        if not begins or not line.strip():
            return line
        if not line.startswith(" "):
            numbers = [number for start, number in _PRIORITIES if start.match(line)]
            self._priority = f"<{numbers[0]}>" if numbers else ""
        return self._priority + line
