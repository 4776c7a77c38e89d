"""Several calls at once, and none that cannot be left behind."""

import threading
import time

import pytest

from pvefw.core.errors import Cancelled
from pvefw.dns import parallel
from pvefw.dns.parallel import Once


def test_results_keep_their_order(task):
    futures = parallel.run(lambda number: number * 2, range(100), task, limit=7)
    assert [one.result() for one in futures] == [number * 2 for number in range(100)]


def test_no_more_than_the_limit_run_at_once(task):
    running, most = [], []

    def call(number):
        running.append(number)
        most.append(len(running))
        time.sleep(0.01)
        running.remove(number)

    parallel.run(call, range(20), task, limit=3)
    assert max(most) == 3


def test_failures_are_in_the_futures(task):
    def call(number):
        if number == 1:
            raise ValueError(number)
        return number

    first, second, third = parallel.run(call, range(3), task)
    assert (first.result(), third.result()) == (0, 2)
    assert isinstance(second.exception(), ValueError)


def test_cancelling_lets_running_calls_end_and_begins_no_more(task):
    begun, ended = [], []

    def call(number):
        begun.append(number)
        task.cancel()
        time.sleep(0.5)
        ended.append(number)

    with pytest.raises(Cancelled):
        parallel.run(call, range(10), task, limit=2)
    assert begun
    assert len(begun) <= 2
    assert sorted(ended) == sorted(begun)


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
    for one in threads:
        one.start()
    go.set()
    for one in threads:
        one.join()
    assert (made, found) == ([1], ["made"] * 8)
