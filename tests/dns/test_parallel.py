"""Several calls at once, and none that cannot be left behind."""

import threading

import pytest
from servers.world import Task
from waiting import is_asleep, wait_until

from pvefw.core.errors import Cancelled
from pvefw.dns import parallel
from pvefw.dns.parallel import Once


def test_results_keep_their_order(task):
    futures = parallel.run(lambda number: number * 2, range(100), task, limit=7)
    assert [future.result() for future in futures] == [number * 2 for number in range(100)]


def test_no_more_than_the_limit_run_at_once(task):
    running, most, together = [], [], threading.Barrier(3)

    def call(number):
        running.append(number)
        most.append(len(running))
        together.wait(10)
        running.remove(number)

    parallel.run(call, range(21), task, limit=3)
    assert max(most) == 3


def test_failures_are_in_the_futures(task):
    def call(number):
        if number == 1:
            raise ValueError(number)
        return number

    first, second, third = parallel.run(call, range(3), task)
    assert (first.result(), third.result()) == (0, 2)
    assert isinstance(second.exception(), ValueError)


class Watched(Task):
    """A task that knows whether its cancellation was seen."""

    seen = False

    @property
    def cancelled(self):
        self.seen = self.seen or super().cancelled
        return super().cancelled


def test_cancelling_lets_running_calls_end_and_begins_no_more():
    task = Watched()
    begun, ended, ended_in_time = [], [], []
    go_on = threading.Event()

    def call(number):
        begun.append(number)
        task.cancel()
        go_on.wait(10)
        ended.append(number)

    def run():
        with pytest.raises(Cancelled):
            parallel.run(call, range(10), task, limit=2)
        ended_in_time.extend(ended)

    running = threading.Thread(target=run)
    running.start()
    wait_until(lambda: task.seen, "the cancellation is seen")
    wait_until(lambda: is_asleep(running) or not running.is_alive(), "it waits for them")
    go_on.set()
    running.join()
    assert begun
    assert len(begun) <= 2
    assert sorted(ended_in_time) == sorted(begun)


def test_one_thread_makes_what_many_want():
    once, made, found = Once(), [], []
    go = threading.Event()

    def make():
        go.wait(5)
        made.append(1)
        return "made"

    threads = [
        threading.Thread(target=lambda: found.append(once.get("key", make))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert (made, found) == ([1], ["made"] * 8)
