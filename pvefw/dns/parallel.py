"""Several calls at once, for a caller that can be cancelled while it waits."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from pvefw.core.errors import Cancelled
from pvefw.core.model import Task

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_LOOK = 0.25
"""Seconds between two looks at whether the task is cancelled; a signal is seen at once."""
_GRACE = 10.0
"""Seconds that calls get to end when the task is cancelled, so that clean-up does not meet them."""


def run(
    function: Callable[[_Item], _Result], items: Sequence[_Item], task: Task, *, limit: int = 16
) -> list[Future[_Result]]:
    """Call a function for every item and wait for all of them.

    The threads are daemons: a call that never returns does not keep the process from ending.

    :param limit: how many calls may run at once.
    :returns: one future for each item, in their order, all of them done.
    :raises Cancelled: calls that had not begun never do, the others got ten seconds to end.
    """
    futures: list[Future[_Result]] = [Future() for _ in items]
    queue: SimpleQueue[tuple[Future[_Result], _Item]] = SimpleQueue()
    for pair in zip(futures, items, strict=True):
        queue.put(pair)
    for _ in range(min(limit, len(items))):
        threading.Thread(target=_work, args=(function, queue), daemon=True).start()
    try:
        while wait(futures, timeout=_LOOK).not_done:
            if task.cancelled:
                raise Cancelled
    except (Cancelled, KeyboardInterrupt):
        wait([future for future in futures if not future.cancel()], timeout=_GRACE)
        raise
    return futures


def _work(
    function: Callable[[_Item], _Result], queue: "SimpleQueue[tuple[Future[_Result], _Item]]"
) -> None:
    while True:
        try:
            future, item = queue.get_nowait()
        except Empty:
            return
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(function(item))
        except BaseException as error:  # noqa: BLE001 - the caller gets it from the future
            future.set_exception(error)


class Once(Generic[_Result]):
    """Remembers results by key; of several threads that ask for one at once, one makes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: dict[str, Future[_Result]] = {}

    def get(self, key: str, make: Callable[[], _Result]) -> _Result:
        """The result for a key; an error is remembered and raised again, too."""
        with self._lock:
            future = self._futures.get(key)
            mine = future is None
            if future is None:
                future = self._futures[key] = Future()
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:  # noqa: BLE001 - raised below, for every caller
                future.set_exception(error)
        return future.result()
