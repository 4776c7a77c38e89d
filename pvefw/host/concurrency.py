"""Threads, in one place: a call that must end within a time, and calls side by side."""

import contextvars
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TypeVar

from pvefw.core.errors import Cancelled
from pvefw.host import descriptors

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


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
    grace: float = _GRACE,
) -> _Result:
    """Call a function that we do not trust to return, in a thread of its own.

    The caller stays interruptible: when it is cancelled, the function gets some time to finish, so that
    clean-up does not run into it, and is then left behind.

    :param seconds: how long it may take; ``None`` for as long as it likes.
    :param name: the thread's name.
    :param cancelled: for callers in other threads than the main one, which no signal reaches.
    :param grace: seconds that a cancelled call gets.
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
            descriptors.restore()  # it may have closed what is everybody's
            done.set()

    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
        _wait_for(done, seconds, cancelled)
    except (Cancelled, KeyboardInterrupt):
        done.wait(grace)
        raise
    if not done.is_set():
        raise DidNotReturn(name)
    if failure:
        raise failure[0]
    return outcome[0]


def side_by_side(
    function: Callable[[_Item], _Result], items: Sequence[_Item], at_once: int
) -> list[_Result]:
    """Call a function for every item, each in the caller's context.

    :param at_once: how many calls may run at the same time, at least 1. One item needs no thread.
    :returns: the results, in the order of the items.
    :raises Exception: the first failure in that order; calls that had not begun never do.
    """
    from concurrent.futures import ThreadPoolExecutor

    if len(items) <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(at_once, len(items))) as pool:
        calls = [pool.submit(contextvars.copy_context().run, function, item) for item in items]
        try:
            return [call.result() for call in calls]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _wait_for(done: threading.Event, seconds: float | None, cancelled: Callable[[], bool]) -> None:
    if threading.current_thread() is threading.main_thread():
        done.wait(seconds)  # a signal interrupts it
        return
    until = None if seconds is None else monotonic() + seconds
    while until is None or monotonic() < until:
        left = _LOOK_AROUND if until is None else min(_LOOK_AROUND, until - monotonic())
        if done.wait(max(left, 0.0)):
            return
        if cancelled():
            raise Cancelled
