"""Asking a provider again that is busy or out of order."""

from collections.abc import Callable
from typing import TypeVar

from pvefw.core.errors import ProviderError, RateLimited, Unavailable
from pvefw.core.model import Task
from pvefw.host.clock import Clock

_Result = TypeVar("_Result")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0


def persistently(call: Callable[[], _Result], seconds: float, task: Task, clock: Clock) -> _Result:
    """Call until it works, fails for good, or the time is up.

    :param seconds: after which no new attempt begins.
    :raises ProviderError: the last one, in the plugin's words; ``unchanged`` only if each of them was.
    :raises Cancelled: the task was cancelled between two attempts.
    """
    deadline = clock.monotonic() + seconds
    pause, unchanged = _FIRST_PAUSE, True
    while True:
        try:
            return call()
        except ProviderError as error:
            unchanged = error.unchanged = unchanged and error.unchanged
            if not isinstance(error, RateLimited | Unavailable):
                raise
            told = error.retry_after if isinstance(error, RateLimited) else None
            wanted = pause if told is None else told
            if clock.monotonic() + wanted > deadline:
                raise
            task.log(f"{error.message}; trying again in {wanted:g} seconds")
        task.wait(wanted)
        pause = min(pause * 2, _LONGEST_PAUSE)
