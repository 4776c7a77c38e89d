"""Asking a provider again that is busy or out of order."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from pvefw.core.errors import ProviderError, RateLimited, Unavailable
from pvefw.core.model import Task, TxtRecord
from pvefw.host.clock import Clock

_Result = TypeVar("_Result")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0


class _Pacing:
    """When the next attempt begins, and when there is none."""

    def __init__(self, seconds: float, task: Task, clock: Clock) -> None:
        self._seconds, self._task, self._clock = seconds, task, clock
        self._unchanged = True
        self._begin()

    def _begin(self) -> None:
        self._deadline = self._clock.monotonic() + self._seconds
        self._pause = _FIRST_PAUSE

    def progress(self) -> None:
        """Something was done: the time begins again."""
        self._unchanged = False
        self._begin()

    def wait_after(self, error: ProviderError) -> None:
        """Wait until the next attempt, or raise the error where it is final or the time is up."""
        self._unchanged = error.unchanged = self._unchanged and error.unchanged
        if not isinstance(error, RateLimited | Unavailable):
            raise error
        asked = error.retry_after if isinstance(error, RateLimited) else None
        pause = self._pause if asked is None else asked
        if self._clock.monotonic() + pause > self._deadline:
            raise error
        self._task.log(f"{error.message}; trying again in {pause:g} seconds")
        self._task.wait(pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)


def persistently(call: Callable[[], _Result], seconds: float, task: Task, clock: Clock) -> _Result:
    """Call until it works, fails for good, or the time is up.

    :param seconds: after which no new attempt begins.
    :raises ProviderError: the last one, in the plugin's words; ``unchanged`` only if each of them was.
    :raises Cancelled: the task was cancelled between two attempts.
    """
    pacing = _Pacing(seconds, task, clock)
    while True:
        try:
            return call()
        except ProviderError as error:
            pacing.wait_after(error)


def by_parts(
    call: Callable[[Sequence[TxtRecord]], None],
    records: Sequence[TxtRecord],
    seconds: float,
    task: Task,
    clock: Clock,
) -> None:
    """Call with all records, and with ever fewer at once where the provider limits its requests.

    What was done is not done again, so that any limit that lets one record through lets all through.

    :param call: adds or removes some of the records, in one go.
    :param seconds: without any progress, after which no new attempt begins.
    :raises ProviderError: the last one, in the plugin's words; ``unchanged`` only if nothing was done.
    :raises Cancelled: the task was cancelled between two attempts.
    """
    left, size = records, len(records)
    pacing = _Pacing(seconds, task, clock)
    while left:
        try:
            call(left[:size])
        except ProviderError as error:
            pacing.wait_after(error)
            if isinstance(error, RateLimited):
                size = max(size // 2, 1)
        else:
            left = left[size:]
            pacing.progress()
