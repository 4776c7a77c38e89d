"""``--detach``: a command's task goes on by itself, whatever becomes of the terminal or the caller.

The command is run again, in a process of its own. That shares our terminal until its task has begun, so
questions, input and errors are as ever. Then it leaves the terminal and announces the task's id, which we
print. A command that makes no task is not changed by that.
"""

import contextlib
import os
from collections.abc import Sequence

from pvefw.cli.streams import say
from pvefw.host import descriptors, programs
from pvefw.tasks.upid import Upid

_KILLED = 1
"""The exit status where a signal ended it."""


def run_apart(arguments: Sequence[str]) -> int | None:
    """Run the command in a process apart, until its task has begun or it has ended.

    :returns: the exit status; ``None`` where this is that process.
    :raises ProgramError: it cannot be started.
    """
    if programs.ANNOUNCEMENT in os.environ:
        return None
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as announcement:
        try:
            process = programs.start_apart(arguments, writing)
        finally:
            os.close(writing)
        upid = announcement.read().decode()
    if not upid:
        status = process.wait()
        return status if status >= 0 else _KILLED
    process.returncode = 0  # it is meant to outlive us: no warning that it was left alone
    say(upid)
    return 0


def leave(upid: Upid) -> None:
    """In the process apart: leave the terminal, and announce the task. A second task finds that done."""
    descriptor = os.environ.pop(programs.ANNOUNCEMENT, None)
    if descriptor is None:
        return
    with contextlib.suppress(PermissionError):  # it leads a session already
        os.setsid()  # a terminal that is closed hangs up its own session only
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    os.close(nowhere)
    descriptors.let_go()
    os.write(int(descriptor), str(upid).encode())
    os.close(int(descriptor))
