"""Runs work as a task: UPID, live log, cancellation that still cleans up, an end that is recorded."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from pvefw.errors import Cancelled, PvefwError
from pvefw.store import files
from pvefw.store.paths import Paths
from pvefw.system import Clock, SystemClock
from pvefw.tasks import registry
from pvefw.tasks.upid import Upid, process_start, safe_id

Echo = Callable[[str], None]
INTERRUPTED = "interrupted by signal"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class RunningTask:
    """The task that runs; what :class:`pvefw.model.Task` promises, from any thread."""

    def __init__(self, upid: Upid, log: "_Log", clock: Clock) -> None:
        self.upid = upid
        self.warnings = 0
        self._log = log
        self._clock = clock
        self._cancelled = threading.Event()
        self._lock = threading.Lock()

    def log(self, message: str) -> None:
        """Add lines to the log."""
        self._log.write(message)

    def warn(self, message: str) -> None:
        """Add a warning to the log, and let the task end with ``TASK WARNINGS``."""
        with self._lock:
            self.warnings += 1
        self._log.write(f"WARN: {message}")

    def wait(self, seconds: float) -> None:
        """Sleep; raise :class:`Cancelled` as soon as the task is cancelled."""
        if self._clock.wait(self._cancelled, seconds):
            raise Cancelled

    @property
    def cancelled(self) -> bool:
        """Whether the task is being cancelled."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Tell every thread of the task to end."""
        self._cancelled.set()


@contextlib.contextmanager
def run_task(
    paths: Paths,
    type_: str,
    id_: str = "",
    *,
    user: str = "root@pam",
    echo: Echo | None = None,
    clock: Clock | None = None,
) -> Iterator[RunningTask]:
    """Run the body as a task.

    Ctrl-C, SIGTERM and SIGHUP raise :class:`Cancelled` in the main thread, once: clean-up that follows is
    not interrupted again.

    :param type_: the task's type: ``acmenewcert``.
    :param id_: what it is about, where that is one thing: a VMID, an account.
    :param echo: gets every line of the log as it is written.
    :raises StoreError: the task cannot be entered.
    """
    clock = clock or SystemClock()
    pid = os.getpid()
    start = int(clock.now().timestamp())
    upid = Upid(paths.node, pid, process_start(pid) or 0, start, type_, safe_id(id_), user)
    log = _Log(paths, upid, echo)
    registry.begin(paths, upid)
    task = RunningTask(upid, log, clock)
    try:
        with _signals(task):
            yield task
        status = f"WARNINGS: {task.warnings}" if task.warnings else "OK"
    except BaseException as error:
        status = _reason(error)
        raise
    finally:
        log.end(status)
        registry.finish(paths, upid, int(clock.now().timestamp()), status)


def _reason(error: BaseException) -> str:
    """An exception as the status of a task: one line."""
    if isinstance(error, Cancelled | KeyboardInterrupt):
        return INTERRUPTED
    text = " ".join(str(error).split())
    return text if isinstance(error, PvefwError) else f"{type(error).__name__}: {text}"


class _Log:
    """The task's log file; losing it (a full disk) does not stop the work."""

    def __init__(self, paths: Paths, upid: Upid, echo: Echo | None) -> None:
        path = upid.log_path(paths)
        try:
            files.make_directory(path.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o640)
        except OSError as error:
            raise files.failed("write", path, error) from error
        self._echo = echo
        self._lock = threading.RLock()  # a signal handler logs, too, perhaps while we do
        self._lost = False

    def write(self, message: str) -> None:
        for line in message.splitlines() or [""]:
            with self._lock:
                self._append(line)
                if self._echo:
                    self._echo(line)

    def _append(self, line: str) -> None:
        if self._lost:
            return
        try:
            os.write(self._descriptor, f"{line}\n".encode(errors="replace"))
        except OSError as error:
            self._lost = True
            if self._echo:
                self._echo(f"WARN: the task's log cannot be written any more: {error.strerror}")

    def end(self, status: str) -> None:
        ended = status == "OK" or status.startswith("WARNINGS")
        with self._lock:
            self._append(f"TASK {status}" if ended else f"TASK ERROR: {status}")
        os.close(self._descriptor)


@contextlib.contextmanager
def _signals(task: RunningTask) -> Iterator[None]:
    """Turn signals into one :class:`Cancelled`, where we are the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def cancel(_number: int, _frame: FrameType | None) -> None:
        if task.cancelled:
            task.log("Still cleaning up, please wait")
            return
        task.cancel()
        raise Cancelled

    before: dict[int, Any] = {number: signal.signal(number, cancel) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
