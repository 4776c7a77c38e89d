"""Runs a scheduler on simulated time: what ``--dry-run`` shows, and what tests and benchmarks measure."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from pvefw.guests.scheduler import Outcome, Scheduler, Step


@dataclass(frozen=True, slots=True)
class Moment:
    """A step, and when it began."""

    second: float
    step: Step


Simulated = Callable[[Step], tuple[float, BaseException | None]]
"""How many seconds a step takes, and how it ends."""


def simulate(scheduler: Scheduler, hypervisor: Simulated) -> tuple[list[Moment], list[Outcome]]:
    """Run it to its end.

    :returns: every step in the order in which they began, and the outcomes in the order of the jobs.
    """
    now = 0.0
    moments: list[Moment] = []
    ends: list[tuple[float, int, Step, BaseException | None]] = []
    while True:
        for step in scheduler.step(now):
            moments.append(Moment(now, step))
            seconds, error = hypervisor(step)
            heapq.heappush(ends, (now + seconds, step.number, step, error))
        if scheduler.done:
            return moments, [scheduler.outcomes[job.id] for job in scheduler.jobs]
        wakeup = scheduler.wakeup()
        if ends and (wakeup is None or ends[0][0] <= wakeup):
            now, _, step, error = heapq.heappop(ends)
            scheduler.finished(step, now, error)
        elif wakeup is not None:
            now = max(now, wakeup)
        else:
            raise AssertionError("the scheduler waits for nothing")
