"""Asking again: as told, with growing pauses, not for ever, not when cancelled."""

import pytest
from servers.world import Task

from pvefw.core.errors import Cancelled, CredentialsRejected, RateLimited, Unavailable
from pvefw.core.model import TxtRecord
from pvefw.dns.retry import by_parts, persistently


class Clock:
    """Time that passes only where the task waits."""

    def __init__(self):
        self.time = 0.0

    def monotonic(self):
        return self.time


class PatientTask(Task):
    def __init__(self, clock):
        super().__init__()
        self._clock = clock

    def wait(self, seconds):
        self.waited.append(seconds)
        self._clock.time += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def task(clock):
    return PatientTask(clock)


def failing(*errors):
    left = list(errors)

    def call():
        if left:
            raise left.pop(0)
        return "done"

    return call


def test_the_provider_s_own_time_is_kept(task, clock):
    call = failing(RateLimited("slow down", retry_after=7.0), RateLimited("slow down"))
    assert persistently(call, 60, task, clock) == "done"
    assert task.waited == [7.0, 1.0]
    assert "slow down; trying again in 7 seconds" in task.text


def test_pauses_grow_until_the_time_is_up(task, clock):
    call = failing(*[Unavailable("out of order")] * 100)
    with pytest.raises(Unavailable, match="out of order"):
        persistently(call, 60, task, clock)
    assert task.waited == [0.5, 1, 2, 4, 8, 15, 15]
    assert clock.time <= 60


def test_a_time_beyond_the_deadline_is_not_waited_for(task, clock):
    with pytest.raises(RateLimited):
        persistently(failing(RateLimited("tomorrow", retry_after=86400)), 60, task, clock)
    assert task.waited == []


def test_what_will_not_help_is_not_repeated(task, clock):
    with pytest.raises(CredentialsRejected):
        persistently(failing(CredentialsRejected("no")), 60, task, clock)


def test_cancelling_ends_it(clock):
    task = Task()
    task.cancel()
    with pytest.raises(Cancelled):
        persistently(failing(Unavailable("x")), 60, task, clock)


# --- by parts --------------------------------------------------------------------------------------


class Limited:
    """A provider that limits its requests, and a plugin that begins with the first record."""

    def __init__(self, clock, limit=5, window=10.0):
        self.clock, self.limit, self.window = clock, limit, window
        self.begun, self.used = 0.0, 0
        self.records, self.calls = [], []

    def request(self):
        if self.clock.time >= self.begun + self.window:
            self.begun, self.used = self.clock.time, 0
        self.used += 1
        if self.used > self.limit:
            raise RateLimited("429", retry_after=self.begun + self.window - self.clock.time)

    def add(self, records):
        self.calls.append(len(records))
        for record in records:
            self.request()
            if record not in self.records:
                self.records.append(record)


RECORDS = tuple(TxtRecord(f"{number}.example.", "value") for number in range(20))


def test_a_tight_limit_lets_all_records_through(task, clock):
    """From the first record each time, twenty records never pass a limit of five."""
    provider = Limited(clock)
    by_parts(provider.add, RECORDS, 60, task, clock)
    assert sorted(provider.records) == sorted(RECORDS)
    assert provider.calls[0] == 20


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 19])
def test_any_limit_is_enough(limit, task, clock):
    provider = Limited(clock, limit)
    by_parts(provider.add, RECORDS, 60, task, clock)
    assert sorted(provider.records) == sorted(RECORDS)


def test_without_a_limit_it_is_one_call(task, clock):
    provider = Limited(clock, limit=100)
    by_parts(provider.add, RECORDS, 60, task, clock)
    assert provider.calls == [20]


def test_a_server_that_is_down_gets_all_of_them_again(task, clock):
    """Only a limit makes calls smaller: each call publishes the zone."""
    calls, errors = [], [Unavailable("down"), Unavailable("down")]

    def add(records):
        calls.append(len(records))
        if errors:
            raise errors.pop()

    by_parts(add, RECORDS, 60, task, clock)
    assert calls == [20, 20, 20]


def test_without_progress_it_ends(task, clock):
    def add(records):
        raise RateLimited("429", retry_after=7.0, unchanged=True)

    with pytest.raises(RateLimited) as caught:
        by_parts(add, RECORDS, 60, task, clock)
    assert clock.time <= 60
    assert caught.value.unchanged


def test_what_was_added_in_parts_is_changed(task, clock):
    """One part went through: the others' ``unchanged`` must not keep core from cleaning up."""
    errors = [
        RateLimited("429", retry_after=1.0, unchanged=True),
        None,
        CredentialsRejected("no", unchanged=True),
    ]

    def add(records):
        error = errors.pop(0)
        if error:
            raise error

    with pytest.raises(CredentialsRejected) as caught:
        by_parts(add, RECORDS, 60, task, clock)
    assert not caught.value.unchanged
