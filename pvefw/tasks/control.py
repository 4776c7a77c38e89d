"""Watches a task that runs, and stops it. Its process is held by a descriptor: pids are used again."""

import contextlib
import os
import select
import signal
from collections.abc import Iterator

from pvefw.core.errors import PvefwError
from pvefw.store.paths import Paths
from pvefw.tasks import history, registry
from pvefw.tasks.registry import TaskEntry
from pvefw.tasks.upid import Upid, runs

_LOOK = 0.2
"""Seconds after which a log is looked at again."""


def follow(paths: Paths, upid: Upid, *, start: int = 0) -> Iterator[str]:
    """The lines of a task's log as they are written, until the task has ended.

    :param start: how many lines to leave out.
    :raises NotFound: there is no log of it on this node.
    """
    with _process(upid) as process, history.open_log(paths, upid) as file:
        begun, over = "", _is_over(paths, upid, process, 0)
        while True:
            before, begun = begun, ""
            for line, whole in history.lines(file, before):
                if not whole:
                    begun = line
                elif start > 0:
                    start -= 1
                else:
                    yield line
            if over:
                break
            # once more after its end: it may have written until then
            over = _is_over(paths, upid, process, _LOOK)
    if begun and not start:
        yield begun


def stop(paths: Paths, upid: Upid, patience: float) -> TaskEntry:
    """Ask a task to end, as Ctrl-C does: it cleans up first. One that has ended is left alone.

    :param patience: seconds to wait for its end.
    :returns: how it ended, or that it still runs.
    :raises NotFound: nothing is known of it on this node.
    :raises PvefwError: it is somebody else's.
    """
    history.status(paths, upid)
    with _process(upid) as process:
        if process is not None and not _is_over(paths, upid, process, 0):
            try:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(process, signal.SIGTERM)
            except PermissionError as error:
                raise PvefwError(
                    f"task stop: {upid}: the task is another user's", hint="Run it as root."
                ) from error
            while patience > 0 and not _is_over(paths, upid, process, _LOOK):
                patience -= _LOOK
    return history.status(paths, upid)


@contextlib.contextmanager
def _process(upid: Upid) -> Iterator[int | None]:
    """The task's process; ``None`` where it has ended."""
    try:
        descriptor = os.pidfd_open(upid.pid)
    except (OSError, OverflowError):
        yield None
        return
    try:
        yield descriptor if runs(upid) else None
    finally:
        os.close(descriptor)


def _is_over(paths: Paths, upid: Upid, process: int | None, seconds: float) -> bool:
    """Whether a task has ended; looks again as soon as its process has, at the latest after a time.

    A process may go on when its task is over: then the lists say so.
    """
    if process is None:
        return True
    poll = select.poll()
    poll.register(process, select.POLLIN)
    if poll.poll(seconds * 1000):
        return True
    listed = [entry for entry in registry.active(paths) if entry.upid == upid]
    return not listed or listed[0].end is not None
