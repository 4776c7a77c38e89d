"""Standard input, output and error, which a plugin may close: what is opened next would take their place.

A line of a log would then go into a connection or a file of ours.
"""

import contextlib
import fcntl
import os
import sys

_STREAMS = ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w"))
_FIRST_COPY = 10
_copies: dict[int, int] = {}


def keep() -> None:
    """Keep what the three are now, until :func:`let_go`."""
    for number, _, _ in _STREAMS:
        with contextlib.suppress(OSError):
            _copies[number] = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _FIRST_COPY)


def let_go() -> None:
    """Stop whoever is at the other end from waiting for us."""
    while _copies:
        os.close(_copies.popitem()[1])


def restore() -> None:
    """Open those that are closed: as they were kept, else to nowhere."""
    for number, name, mode in _STREAMS:
        try:
            os.fstat(number)
        except OSError:
            _open(number)
        stream = getattr(sys, name)
        if stream is not None and getattr(stream, "closed", False):
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _open(number: int) -> None:
    with contextlib.suppress(OSError):
        if number in _copies:
            os.dup2(_copies[number], number)
            return
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:  # it takes the lowest free number, this one mostly
        os.dup2(nowhere, number)
        os.close(nowhere)
