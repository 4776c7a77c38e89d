"""Asking again: as told, with growing pauses, not for ever, not when cancelled."""

import pytest
from servers.world import Task

from pvefw.core.errors import Cancelled, CredentialsRejected, RateLimited, Unavailable
from pvefw.dns.retry import persistently


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
