"""The order of a bulk action, as a plain state machine: no thread, no clock, no hypervisor.

Whoever drives it hands in the time, carries out the steps that it asks for, and tells how they ended:
:mod:`pvefw.guests.runner` with threads, :mod:`pvefw.guests.simulation` with none.

What holds for every action:

* Groups one after the other; within one in the order of the jobs, as many at once as workers.
* A job's ``pause`` counts from its beginning; until it is over, or the guest is ready, or the job has
  failed, nothing else begins. After the last job nobody waits.
* A job begins when those that it is ``after`` are through. Where it needs them and one failed, it is
  blocked.
* An attempt that fails for now is made again while there is time; one that does not end is given up.
* What a guest is seen doing counts: one that stops while it is shut down is done, whoever stopped it;
  one that was started and stops again has failed. A hook under way has the last word for a moment.
"""

import heapq
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pvefw.core.errors import Cancelled, ProviderError, RateLimited, Unavailable
from pvefw.core.model import Guest, GuestState
from pvefw.store.guest_reference import Reference

HARD_STOP_SECONDS = 60.0
GRACE = 10.0
"""Seconds that a hook may take beyond its time-out before it is given up."""
_RETRY_SECONDS = (1.0, 2.0, 4.0)
_LAST_WORD = 2.0
"""Seconds that a hook gets to say itself what its guest was seen doing: it may know why."""


class Action(StrEnum):
    """What is done to a guest."""

    START = "start"
    SHUTDOWN = "shutdown"
    STOP = "stop"
    MIGRATE = "migrate"
    SUSPEND = "suspend"
    RESUME = "resume"
    READY = "ready"
    """Waiting for its readiness; it runs beside everything else."""


class Result(StrEnum):
    """How a bulk action ended for one guest."""

    OK = "ok"
    HARD = "stopped by force"
    FAILED = "failed"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"

    @property
    def good(self) -> bool:
        """Whether the guest is as it was to be."""
        return self in (Result.OK, Result.HARD)


@dataclass(frozen=True, slots=True)
class Job:
    """One guest's part in a bulk action."""

    id: Reference
    guest: Guest
    action: Action
    """What is to be done; never ``READY``, which comes of others."""
    group: int = 0
    """Its place among the groups, which are in ascending order."""
    timeout: float | None = None
    """Seconds; ``None`` where it may take as long as it likes."""
    pause: float = 0.0
    """Seconds after its beginning in which nothing else begins."""
    probe: bool = False
    """Whether its readiness ends the pause early."""
    hard: bool = False
    """Whether it is stopped by force when it did not shut down."""
    after: Sequence[Reference] = ()
    """Ids of jobs that must be through before this one begins."""
    needs: bool = False
    """Whether they must have gone well."""
    blocked: str = ""
    """Why it cannot begin at all, known beforehand."""
    target: str = ""
    """Where it moves to."""
    to_disk: bool = False
    """Whether it is suspended to disk, instead of to memory."""
    note: str = ""
    """What people are to know of it before it begins."""


@dataclass(frozen=True, slots=True)
class Step:
    """What the scheduler wants done now."""

    action: Action
    job: Job
    timeout: float | None
    number: int
    """Tells this attempt from others."""
    why: str = ""
    """Why the attempt before it failed, where there was one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended for one guest."""

    job: Job
    result: Result
    reason: str = ""
    began: float | None = None
    """Seconds since the beginning of the whole; ``None`` where it never began."""
    ended: float | None = None


@dataclass(slots=True)
class _Run:
    """A job under way."""

    job: Job
    began: float
    until: float
    """When the time of its present action is over."""
    step: Step
    attempts: int = 1
    """How many so far; negative while it waits for the next one."""
    shutdown_failed: str = ""
    ran: bool = False
    """Whether it was seen running since it began to start."""
    stopped: bool = False
    """Whether it was seen stopping, and its hook has the last word."""


@dataclass(slots=True)
class Scheduler:
    """The state machine. Call :meth:`step` and :meth:`finished` with a time that never goes back.

    :param jobs: sorted by group; within one, in the order in which they are to begin.
    :param workers: how many may be under way at once.
    """

    jobs: Sequence[Job]
    workers: int
    outcomes: dict[Reference, Outcome] = field(default_factory=dict)
    _fresh: list[Outcome] = field(default_factory=list)
    _runs: dict[Reference, _Run] = field(default_factory=dict)
    _groups: "deque[list[Job]]" = field(default_factory=deque)
    _left_in_group: int = 0
    _waiting: dict[Reference, set[Reference]] = field(default_factory=dict)
    _dependents: dict[Reference, list[tuple[int, Job]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _startable: list[tuple[int, Reference]] = field(default_factory=list)
    _by_id: dict[Reference, Job] = field(default_factory=dict)
    _position: dict[Reference, int] = field(default_factory=dict)
    _timers: list[tuple[float, int, Reference]] = field(default_factory=list)
    _ready: list[Step] = field(default_factory=list)
    _gate: float = float("-inf")
    _gate_owner: Reference | None = None
    _origin: float | None = None
    _serial: int = 0
    _cancelled: bool = False

    def __post_init__(self) -> None:
        for position, job in enumerate(self.jobs):
            self._by_id[job.id] = job
            self._position[job.id] = position
            if not self._groups or self._groups[-1][0].group != job.group:
                self._groups.append([])
            self._groups[-1].append(job)

    @property
    def done(self) -> bool:
        """Whether every guest has its outcome."""
        return len(self.outcomes) == len(self.jobs)

    @property
    def under_way(self) -> Sequence[Job]:
        """What has begun and not ended."""
        return [run.job for run in self._runs.values()]

    def wakeup(self) -> float | None:
        """When :meth:`step` has to be called again even if nothing ends before."""
        times = [self._timers[0][0]] if self._timers else []
        if self._startable and len(self._runs) < self.workers:
            times.append(self._gate)
        return min(times, default=None)

    # --- what the driver calls ---------------------------------------------------------------

    def step(self, now: float) -> list[Step]:
        """What is to be done now."""
        if self._origin is None:
            self._origin = now
        self._expire(now)
        self._open_groups(now)
        while self._startable and len(self._runs) < self.workers and now >= self._gate:
            _, id_ = heapq.heappop(self._startable)
            self._begin(self._by_id[id_], now)
            self._open_groups(now)
        steps, self._ready = self._ready, []
        return steps

    def finished(self, step: Step, now: float, error: BaseException | None = None) -> None:
        """A step ended; what was given up meanwhile is ignored."""
        if step.action is Action.READY:
            if error is None and self._gate_owner == step.job.id:
                self._gate = now
            return
        run = self._runs.get(step.job.id)
        if run is None or run.step.number != step.number:
            return
        if error is None:
            self._succeeded(run, now)
        elif isinstance(error, Cancelled):
            self._settle(run, Result.CANCELLED, "interrupted", now)
        else:
            self._failed(run, error, now)

    def observed(self, id_: Reference, state: GuestState, now: float) -> None:
        """A guest was seen to change its state, whoever did it."""
        run, outcome = self._runs.get(id_), self.outcomes.get(id_)
        if run is not None:
            self._observed_under_way(run, state, now)
        elif outcome is not None:
            self._observed_afterwards(outcome, state, now)

    def cancel(self, now: float) -> None:
        """Begin nothing any more. What is under way ends by itself, or is left with :meth:`abandon`."""
        self._cancelled = True
        self._startable.clear()
        for job in self.jobs:
            if job.id not in self.outcomes and job.id not in self._runs:
                self._record(Outcome(job, Result.CANCELLED, "not begun"))
        for run in list(self._runs.values()):
            if run.attempts < 0:  # between two attempts
                self._settle(run, Result.CANCELLED, "interrupted", now)

    def abandon(self, now: float) -> None:
        """Give up what is still under way after :meth:`cancel`."""
        for run in list(self._runs.values()):
            self._settle(run, Result.CANCELLED, "interrupted; it did not answer", now)

    def news(self) -> list[Outcome]:
        """The outcomes since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh

    # --- beginning ---------------------------------------------------------------------------

    def _open_groups(self, now: float) -> None:
        while self._left_in_group == 0 and self._groups and not self._cancelled:
            group = self._groups.popleft()
            self._left_in_group = len(group)
            for job in group:
                self._admit(job, now)

    def _admit(self, job: Job, now: float) -> None:
        """Let a job begin as soon as what it is after is through."""
        bad = [
            needed for needed in job.after if needed in self.outcomes and self._bars(job, needed)
        ]
        if job.blocked or bad:
            self._block(job, job.blocked or self._because(bad[0]), now)
            return
        open_ = {
            needed for needed in job.after if needed in self._by_id and needed not in self.outcomes
        }
        if not open_:
            heapq.heappush(self._startable, (self._position[job.id], job.id))
            return
        self._waiting[job.id] = open_
        for needed in open_:
            self._dependents[needed].append((self._position[job.id], job))

    def _bars(self, job: Job, other: Reference) -> bool:
        return job.needs and not self.outcomes[other].result.good

    def _because(self, other: Reference) -> str:
        return f"it waits for {other}, which {_PAST[self.outcomes[other].result]}"

    def _block(self, job: Job, reason: str, now: float) -> None:
        self._waiting.pop(job.id, None)
        self._record(Outcome(job, Result.BLOCKED, reason, None, self._since(now)))
        self._through(job, now)

    def _begin(self, job: Job, now: float) -> None:
        if job.pause:
            self._gate, self._gate_owner = now + job.pause, job.id
        until = float("inf") if job.timeout is None else now + job.timeout
        step = self._new_step(job.action, job, job.timeout)
        run = _Run(job, now, until, step)
        self._runs[job.id] = run
        self._guard(run)

    def _new_step(self, action: Action, job: Job, timeout: float | None, why: str = "") -> Step:
        self._serial += 1
        step = Step(action, job, timeout, self._serial, why)
        self._ready.append(step)
        return step

    def _guard(self, run: _Run) -> None:
        """Give the present attempt up when it does not end."""
        if run.until != float("inf"):
            heapq.heappush(self._timers, (run.until + GRACE, run.step.number, run.job.id))

    # --- ending ------------------------------------------------------------------------------

    def _expire(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            _, number, id_ = heapq.heappop(self._timers)
            run = self._runs.get(id_)
            if run is None or run.step.number != number:
                continue
            if run.stopped:
                self._stopped(run, now)
            elif run.attempts < 0:  # it was waiting to be tried again
                self._again(run, now)
            else:
                self._failed(run, ProviderError("the hypervisor does not answer"), now)

    def _again(self, run: _Run, now: float) -> None:
        run.attempts = -run.attempts + 1
        left = max(run.until - now, 0.0)
        run.step = self._new_step(run.step.action, run.job, left, run.step.why)
        self._guard(run)

    def _succeeded(self, run: _Run, now: float) -> None:
        job = run.job
        if job.probe and self._gate_owner == job.id and now < self._gate:
            self._new_step(Action.READY, job, self._gate - now)
        if run.step.action is Action.STOP and job.action is Action.SHUTDOWN:
            self._settle(run, Result.HARD, run.shutdown_failed, now)
        else:
            self._settle(run, Result.OK, "", now)

    def _failed(self, run: _Run, error: BaseException, now: float) -> None:
        if self._may_retry(run, error, now):
            self._retry_later(run, error, now)
            return
        reason = getattr(error, "message", "") or str(error) or type(error).__name__
        if run.step.action is Action.SHUTDOWN and run.job.hard and not self._cancelled:
            run.shutdown_failed = reason
            run.step = self._new_step(Action.STOP, run.job, HARD_STOP_SECONDS, reason)
            run.until, run.attempts = now + HARD_STOP_SECONDS, 1
            self._guard(run)
            return
        if run.shutdown_failed and reason != run.shutdown_failed:
            reason = f"{run.shutdown_failed}; then: {reason}"
        self._settle(run, Result.FAILED, reason, now)

    def _observed_under_way(self, run: _Run, state: GuestState, now: float) -> None:
        match run.job.action, state:
            case Action.START, GuestState.RUNNING:
                run.ran = True
            case Action.START, GuestState.STOPPED if run.ran:
                run.stopped = True
            case Action.SHUTDOWN | Action.STOP, GuestState.STOPPED:
                run.stopped = True
        if run.stopped and run.attempts < 0:
            self._stopped(run, now)
        elif run.stopped:
            heapq.heappush(self._timers, (now + _LAST_WORD, run.step.number, run.job.id))

    def _stopped(self, run: _Run, now: float) -> None:
        """It was seen stopping, and nobody says more about it."""
        if run.job.action is Action.START:
            self._settle(run, Result.FAILED, UNDONE[Action.START][1], now)
        else:
            self._succeeded(run, now)

    def _observed_afterwards(self, outcome: Outcome, state: GuestState, now: float) -> None:
        """What went well may be undone before all is over; whoever needs it is then blocked."""
        job = outcome.job
        if not outcome.result.good or job.action not in UNDONE:
            return
        undone, reason = UNDONE[job.action]
        if state is not undone:
            return
        self._record(Outcome(job, Result.FAILED, reason, outcome.began, self._since(now)))
        if self._gate_owner == job.id:
            self._gate = min(self._gate, now)
        if self._cancelled:
            return
        # those of later groups are looked at when theirs opens
        open_ = {*self._waiting, *(id_ for _, id_ in self._startable)}
        for other in [self._by_id[id_] for id_ in open_]:
            if job.id in other.after and other.needs:
                self._startable = [place for place in self._startable if place[1] != other.id]
                heapq.heapify(self._startable)
                self._block(other, self._because(job.id), now)

    def _may_retry(self, run: _Run, error: BaseException, now: float) -> bool:
        return (
            isinstance(error, Unavailable | RateLimited)
            and run.step.action is not Action.MIGRATE
            and not self._cancelled
            and now + self._retry_delay(run, error) < run.until
        )

    @staticmethod
    def _retry_delay(run: _Run, error: BaseException) -> float:
        asked = getattr(error, "retry_after", None)
        step = min(abs(run.attempts) - 1, len(_RETRY_SECONDS) - 1)
        return asked if asked is not None else _RETRY_SECONDS[step]

    def _retry_later(self, run: _Run, error: BaseException, now: float) -> None:
        at = now + self._retry_delay(run, error)
        self._serial += 1
        run.step = Step(run.step.action, run.job, None, self._serial, str(error))
        run.attempts = -run.attempts
        heapq.heappush(self._timers, (at, self._serial, run.job.id))

    def _settle(self, run: _Run, result: Result, reason: str, now: float) -> None:
        job = run.job
        del self._runs[job.id]
        began = run.began - (self._origin or 0.0)
        self._record(Outcome(job, result, reason, began, self._since(now)))
        if not result.good and self._gate_owner == job.id:
            self._gate = now
        self._through(job, now)

    def _through(self, job: Job, now: float) -> None:
        """Whoever waits for this one may go on, or never will."""
        self._left_in_group -= 1
        if self._cancelled:
            return
        for position, other in self._dependents.pop(job.id, ()):
            open_ = self._waiting.get(other.id)
            if open_ is None:
                continue
            if self._bars(other, job.id):
                self._block(other, self._because(job.id), now)
                continue
            open_.discard(job.id)
            if not open_:
                del self._waiting[other.id]
                heapq.heappush(self._startable, (position, other.id))

    def _record(self, outcome: Outcome) -> None:
        self.outcomes[outcome.job.id] = outcome
        self._fresh.append(outcome)

    def _since(self, now: float) -> float:
        return now - (self._origin or 0.0)


UNDONE: Mapping[Action, tuple[GuestState, str]] = {
    Action.START: (GuestState.STOPPED, "it ran, and has stopped again"),
    Action.SHUTDOWN: (GuestState.RUNNING, "it had stopped, and runs again"),
    Action.SUSPEND: (GuestState.RUNNING, "it was suspended, and runs again"),
    Action.RESUME: (GuestState.STOPPED, "it ran, and has stopped again"),
}
"""The state that undoes what was done, and what to call it."""
_AT_THE_END: Mapping[tuple[Action, GuestState | None], str] = {
    (Action.START, GuestState.PAUSED): "it ran, and is paused now",
    (Action.START, None): "it ran, and is no longer on this node",
    (Action.RESUME, GuestState.PAUSED): "it ran, and is paused again",
    (Action.RESUME, None): "it ran, and is no longer on this node",
    (Action.SHUTDOWN, GuestState.PAUSED): "it had stopped, and is paused now",
    (Action.SUSPEND, None): "it was suspended, and is no longer on this node",
}
"""What else was not asked for, where it is so when all is over."""


def what_undid(job: Job, state: GuestState | None) -> str:
    """Why what went well is not so at the end; empty where it is.

    :param state: of the guest; ``None`` where this node does not have it.
    """
    undone, reason = UNDONE.get(job.action, (None, ""))
    if undone is not None and state is undone:
        return reason
    return _AT_THE_END.get((job.action, state), "")


_PAST: Mapping[Result, str] = {
    Result.FAILED: "failed",
    Result.BLOCKED: "is blocked itself",
    Result.CANCELLED: "was cancelled",
}
