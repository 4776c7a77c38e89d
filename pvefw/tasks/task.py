"""Runs work as a task: UPID, live log, cancellation that still cleans up, an end that is recorded."""

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pvefw.core import masking, text
from pvefw.core.errors import Cancelled, NotFound, PvefwError, StoreError, UsageError
from pvefw.core.model import TaskEvent
from pvefw.host import foreign
from pvefw.host.clock import Clock, SystemClock
from pvefw.host.durable import make_directory
from pvefw.store import files, oddities
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.tasks import events, registry, retention
from pvefw.tasks.interruption import interruptible
from pvefw.tasks.registry import TaskEntry
from pvefw.tasks.upid import Upid, process_start, safe_id

Echo = Callable[[str], None]
INTERRUPTED = "interrupted by signal"
_NOTHING_KEPT = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""The disk is full, broken, or was mounted read-only because it is broken: guests are to be stopped all
the same."""
_LONGEST_STATUS = 1000
"""Characters: Proxmox VE looks for the last line of a log in its last 4096 bytes."""


class RunningTask:
    """The task that runs; what :class:`pvefw.core.model.Task` promises, from any thread."""

    def __init__(self, upid: Upid, log: "_Log", clock: Clock) -> None:
        self.upid = upid
        self.warnings = 0
        self.ended: TaskEntry | None = None
        """How it ended, once it has."""
        self.refused = False
        """Whether it was struck off again: nothing had begun."""
        self._log = log
        self._clock = clock
        self._secrets = masking.Secrets()
        self._stopped = False
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def log(self, message: str) -> None:
        """Add one line to the log."""
        self._log.write(message)

    def warn(self, message: str) -> None:
        """Add a warning to the log, and let the task end with ``TASK WARNINGS``."""
        with self._lock:
            self.warnings += 1
        self._log.write(f"WARN: {message}")

    def secret(self, value: str) -> None:
        """Mask a value from now on, until the task is over."""
        self._secrets.add(value)

    def wait(self, seconds: float) -> None:
        """Sleep; raise :class:`Cancelled` as soon as the task is cancelled."""
        if self._stopped or self._clock.wait(self._stop, seconds):
            raise Cancelled

    @property
    def cancelled(self) -> bool:
        """Whether the task is being cancelled, or over."""
        return self._stopped

    def cancel(self) -> None:
        """Tell every thread of the task to end."""
        self._stopped = True
        self._stop.set()


@contextlib.contextmanager
def run_task(
    paths: Paths,
    type_: str,
    id_: str = "",
    *,
    user: str = "root@pam",
    echo: Echo | None = None,
    clock: Clock | None = None,
    refusable: bool = False,
) -> Iterator[RunningTask]:
    """Run the body as a task.

    Ctrl-C, SIGTERM and SIGHUP raise :class:`Cancelled` in the main thread, once: clean-up that follows is
    not interrupted again. When the task has ended, the observers are notified.

    A disk that is full, broken or read-only does not stop the work: the terminal says that the log is
    lost.

    :param type_: the task's type: ``acmenewcert``.
    :param id_: what it is about, where that is one thing: a VMID, an account.
    :param echo: gets every line of the log as it is written.
    :param refusable: strike the task off again where it names something that does not exist, or is wrong
        use, before its log has a line: what somebody has mistyped is no failure of this node.
    :raises StoreError: the task cannot be entered, for another reason than such a disk.
    """
    clock = clock or SystemClock()
    upid = _new_upid(paths, type_, safe_id(id_), user, clock)
    log = _Log(upid.log_path(paths), echo)
    task = RunningTask(upid, log, clock)
    heard: set[str] = set()
    with _observed(paths, task, log, heard), contextlib.closing(log):
        with log.going_on_without():
            registry.begin(paths, upid)
        again = partial(task.log, "Still cleaning up, please wait")
        with (
            interruptible(task.cancel, again),
            _recorded(paths, task, log, clock, refusable=refusable),
            oddities.listening(task.warn, heard),
        ):
            yield task


def _new_upid(paths: Paths, type_: str, id_: str, user: str, clock: Clock) -> Upid:
    """An id that was never used, also where a process starts two tasks alike within one second."""
    pid, start = os.getpid(), int(clock.now().timestamp())
    while True:
        upid = Upid(paths.node, pid, process_start(pid) or 0, start, type_, id_, user)
        if not upid.log_path(paths).exists():
            return upid
        start += 1


@contextlib.contextmanager
def _recorded(
    paths: Paths, task: RunningTask, log: "_Log", clock: Clock, *, refusable: bool
) -> Iterator[None]:
    """Write how the body ends into the log and the task lists."""
    try:
        yield
        status = f"WARNINGS: {task.warnings}" if task.warnings else "OK"
    except BaseException as error:
        status = _reason(error)
        task.refused = refusable and log.is_empty and isinstance(error, UsageError | NotFound)
        raise
    finally:
        task.cancel()  # hooks that were left behind are to end, and signals come too late
        with log.going_on_without():
            if task.refused:
                registry.forget(paths, task.upid)
            else:
                log.end(status)
                end = int(clock.now().timestamp())
                task.ended = TaskEntry(task.upid, end, status)
                registry.finish(paths, task.upid, end, status)


def _reason(error: BaseException) -> str:
    """An exception as the status of a task: one line."""
    if isinstance(error, Cancelled | KeyboardInterrupt):
        return INTERRUPTED
    name, words = type(error).__name__, masking.redact_known(text.of(error))
    status = words if isinstance(error, PvefwError) else f"{name}: {words}" if words else name
    return text.one_line(status)[:_LONGEST_STATUS] or name


@contextlib.contextmanager
def _observed(paths: Paths, task: RunningTask, log: "_Log", heard: set[str]) -> Iterator[None]:
    """Tell the observers when the task has ended; what fails there changes nothing in its end."""
    try:
        yield
    finally:
        if task.ended is not None:
            with oddities.listening(lambda warning: log.say(f"WARN: {warning}"), heard):
                _tell_ended(paths, task.ended, log)


def _tell_ended(paths: Paths, entry: TaskEntry, log: "_Log") -> None:
    try:
        node = Node.open(paths)
    except StoreError as error:
        log.say(f"WARN: could not notify the observers: {error.message}")
        return
    for failure in events.tell_task_ended(node, _event(entry)):
        log.say(f"WARN: {failure.reason}")
    retention.start_if_due(node, entry.upid.type, log.say)


def _event(entry: TaskEntry) -> TaskEvent:
    upid = entry.upid
    return TaskEvent(
        upid=str(upid),
        node=upid.node,
        type=upid.type,
        id=upid.id,
        user=upid.user,
        start=datetime.fromtimestamp(upid.start, UTC),
        end=datetime.fromtimestamp(entry.end or upid.start, UTC),
        status=entry.status or "",
    )


class _Log:
    """The task's log file and terminal; losing either does not stop the work."""

    def __init__(self, path: Path, echo: Echo | None) -> None:
        self._echo = echo
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._closed = False
        self._broken = False
        self._told = False
        self.is_empty = True
        with self.going_on_without():
            self._descriptor = _create(path)

    def write(self, message: str) -> None:
        """Add a line, whatever is in it; that of a thread that outlived the task goes nowhere."""
        line = text.log_line(masking.redact_known(message))
        with self._lock:
            self.is_empty = False
            if not self._closed:
                self._append(line)
                self.say(line)

    def say(self, line: str) -> None:
        """Show a line on the terminal, until that has gone: a closed pipe, a hang-up."""
        if self._echo:
            try:
                self._echo(text.one_line(masking.redact_known(line)))
            except (OSError, ValueError):  # ValueError: a plugin has closed it
                self._echo = None

    @contextlib.contextmanager
    def going_on_without(self) -> Iterator[None]:
        """Let the body fail because the disk takes nothing; the terminal says so once."""
        try:
            yield
        except StoreError as error:
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno not in _NOTHING_KEPT:
                raise
            self._lost(error.message)

    def end(self, status: str) -> None:
        """Add the line that says how the task ended."""
        ended = status == "OK" or status.startswith("WARNINGS: ")
        with self._lock:
            self._append(f"TASK {status}" if ended else f"TASK ERROR: {status}")

    def close(self) -> None:
        """Close the file; nothing is added to it any more."""
        with self._lock:
            self._closed = True
            if self._descriptor is not None:
                os.close(self._descriptor)

    def _append(self, line: str) -> None:
        if self._descriptor is None:
            return
        # what could not be written may have left half a line: the next one begins after it
        before = "\n" if self._broken else ""
        data = f"{before}{line}\n".encode(errors="replace")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            self._broken = False
        except OSError as error:
            self._broken = True
            self._lost(f"the task's log can no longer be written: {error.strerror}")

    def _lost(self, reason: str) -> None:
        if not self._told:
            self._told = True
            self.say(f"WARN: {reason}")


def _create(path: Path) -> int:
    """Create a log file, as Proxmox VE does: for its owner and group only."""
    try:
        make_directory(path.parent)
        return foreign.open_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    except OSError as error:
        raise files.failed("write", path, error) from error
