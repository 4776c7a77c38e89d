"""The one place where tests wait: for something that can be seen, and not longer than it takes."""

import sys
import threading
import time
from collections.abc import Callable, Iterator

PAUSE = 0.01
"""Seconds between two looks."""


def looks(seconds: float) -> Iterator[None]:
    """Again and again, as often as it makes sense to look, until the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(PAUSE)


def wait_until(true: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Look again and again until something holds.

    :param seconds: far more than it takes on a machine that has nothing else to do.
    :raises AssertionError: it does not, in time.
    """
    for _ in looks(seconds):
        if true():
            return
    assert true(), f"{what}: not within {seconds:g} seconds"


def is_asleep(thread: threading.Thread) -> bool:
    """Whether a thread waits for an event, a queue or a future."""
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code is threading.Condition.wait.__code__
