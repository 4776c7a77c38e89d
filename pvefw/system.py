"""The operating system, in one place: programs, time, and calls that must end.

Nothing else in pvefw starts a program or reads a clock, so tests can stand in for both.
"""

import contextlib
import contextvars
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic as _monotonic
from typing import Protocol, TypeVar

from pvefw.errors import Cancelled, ProgramError

_Result = TypeVar("_Result")

# --- programs ---------------------------------------------------------------------------------

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LAST_WORDS = 3


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ended."""

    argv: Sequence[str]
    returncode: int
    stdout: str
    stderr: str


def clean_environment() -> dict[str, str]:
    """The environment that programs get: a path, a locale, a home; nothing of pvefw's own."""
    return {
        "PATH": os.environ.get("PATH", _PATH),
        "LANG": "C.UTF-8",
        "HOME": os.environ.get("HOME", "/"),
    }


def run(
    argv: Sequence[str],
    *,
    input: str | None = None,  # noqa: A002 - subprocess calls it so
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 60.0,
    check: bool = True,
) -> Completed:
    """Run a program to its end, without a shell, in a process group of its own.

    :param argv: the program, found on the path, and its arguments; never a secret: all can see it.
    :param input: text for standard input; empty without it.
    :param env: added to :func:`clean_environment`.
    :param timeout: seconds; then the whole group is killed.
    :param check: raise when the exit status is not 0.
    :raises ProgramError: the program is missing, failed (with its last words), or took too long.
    """
    if not argv or shutil.which(argv[0]) is None:
        raise ProgramError(f"{argv[0] if argv else 'an empty command'}: no such program")
    process = subprocess.Popen(
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**clean_environment(), **(env or {})},
        cwd=cwd,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        out, err = process.communicate(input, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise ProgramError(f"{argv[0]} did not end within {timeout:g} seconds") from error
    finally:
        if process.poll() is None:
            _kill_group(process)
    done = Completed(tuple(argv), process.returncode, out, err)
    if check and done.returncode != 0:
        raise ProgramError(f"{argv[0]} failed with status {done.returncode}: {last_words(done)}")
    return done


def _kill_group(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def last_words(done: Completed) -> str:
    """The last lines that a program said, on one line, for an error message."""
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return " / ".join(lines[-_LAST_WORDS:]) or "it said nothing"


# --- time -------------------------------------------------------------------------------------


class Clock(Protocol):
    """Time, as code that waits sees it."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Sleep until the event is set or the seconds are over; whether it is set."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return _monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(max(seconds, 0.0))


# --- calls that must end ------------------------------------------------------------------------


class DidNotReturn(Exception):
    """A call was left behind, its time was up. No TimeoutError: the function may raise those."""


_LOOK_AROUND = 0.2
"""Seconds after which a thread that waits looks whether it was cancelled."""
_GRACE = 10.0
"""Seconds that a cancelled call gets to finish what it was doing."""


def call_within(
    function: Callable[[], _Result],
    seconds: float | None,
    name: str,
    cancelled: Callable[[], bool] = lambda: False,
) -> _Result:
    """Call a function that we do not trust to return, in a thread of its own.

    The caller stays interruptible: when it is cancelled, the function gets ten seconds to finish,
    so that clean-up does not run into it, and is then left behind.

    :param seconds: how long it may take; ``None`` for as long as it likes.
    :param name: the thread's name.
    :param cancelled: for callers in other threads than the main one, which no signal reaches.
    :raises DidNotReturn: its time is up; the thread is left behind.
    :raises Cancelled: the caller was cancelled.
    """
    outcome: list[_Result] = []
    failure: list[BaseException] = []
    done = threading.Event()
    context = contextvars.copy_context()

    def target() -> None:
        try:
            outcome.append(context.run(function))
        except BaseException as error:  # noqa: BLE001 - handed to the caller as it is
            failure.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
        _wait_for(done, seconds, cancelled)
    except (Cancelled, KeyboardInterrupt):
        done.wait(_GRACE)
        raise
    if not done.is_set():
        raise DidNotReturn(name)
    if failure:
        raise failure[0]
    return outcome[0]


def _wait_for(done: threading.Event, seconds: float | None, cancelled: Callable[[], bool]) -> None:
    if threading.current_thread() is threading.main_thread():
        done.wait(seconds)  # a signal interrupts it
        return
    until = None if seconds is None else _monotonic() + seconds
    while until is None or _monotonic() < until:
        left = _LOOK_AROUND if until is None else min(_LOOK_AROUND, until - _monotonic())
        if done.wait(max(left, 0.0)):
            return
        if cancelled():
            raise Cancelled
