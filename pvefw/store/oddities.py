"""What makes no sense in a file that others write, too: a warning, never the end of the work.

Proxmox VE reads its files that way: a line that it cannot use costs that line, and not the guests that
start after a power cut. Whoever can show a warning listens meanwhile: the terminal, a task's log.
"""

import codecs
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator

Listener = Callable[[str], None]

MARK = "\ufeff"
"""The byte order mark in a decoded file."""
_MOST = 20
"""Warnings of one file: one that is no text has a thousand lines, and each makes no sense."""

_listeners: list[Callable[[str, str], None]] = []


@contextlib.contextmanager
def listening(listener: Listener, heard: set[str] | None = None) -> Iterator[None]:
    """Hand every warning to a listener until the body ends, each once: files are read more than once.

    Whoever listens meanwhile hears them instead: a task's log, which the terminal shows, too.

    :param heard: those that are known already; what is heard is added.
    """
    known = set() if heard is None else heard
    counted = Counter[str]()

    def hear(file: str, warning: str) -> None:
        if warning in known:
            return
        known.add(warning)
        counted[file] += 1
        if counted[file] <= _MOST:
            listener(warning)
        elif counted[file] == _MOST + 1:
            listener(
                f"{file}: more of it makes no sense; only the first {_MOST} warnings are shown"
            )

    _listeners.append(hear)
    try:
        yield
    finally:
        _listeners.pop()


def report(file: object, line: int, what: str, assumed: str) -> None:
    """Warn of something odd in a file.

    :param line: from 1; 0 where it is not about one line.
    :param what: ``'soon' is not a whole number``.
    :param assumed: ``the property is ignored``.
    """
    if _listeners:
        where = f"{file}:{line}" if line else str(file)
        what = what.removeprefix(f"{where}: ")
        _listeners[-1](_shown(str(file)), _shown(f"{where}: {what}; {assumed}"))


def _shown(text: str) -> str:
    """Nothing from a file may steer a terminal, or begin a line of a log."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def without_mark(data: bytes) -> bytes:
    """A file of ours without the byte order mark that an editor on another system began it with."""
    return data.removeprefix(codecs.BOM_UTF8)


# --- bytes that are no UTF-8 ----------------------------------------------------------------------


def decoded(data: bytes) -> str:
    """A file as text that :func:`encoded` turns into the same bytes, whatever they are."""
    return data.decode(errors="surrogateescape")


def encoded(text: str) -> bytes:
    """The reverse of :func:`decoded`."""
    return text.encode(errors="surrogateescape")


def readable(text: str) -> str:
    """A part of a decoded file for people and programs: where it is no UTF-8, its bytes as Latin-1."""
    return text if text.isascii() or _is_utf8(text) else encoded(text).decode("latin-1")


def _is_utf8(text: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in text)
