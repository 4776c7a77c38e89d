"""Drives a scheduler in real time: a worker thread for each guest under way, and one clock."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from pvefw.core.errors import Cancelled
from pvefw.core.model import GuestState
from pvefw.guests.scheduler import Action, Outcome, Scheduler, Step
from pvefw.host.clock import Clock
from pvefw.store.guest_reference import Reference

_LONGEST_WAIT = 3600.0
_CANCEL_SECONDS = 10.0
"""How long hooks that are under way get to end when the task is cancelled."""

Execute = Callable[[Step], None]
"""Carries a step out; returns when it is done, or raises."""


@dataclass(slots=True)
class Runner:
    """Runs a bulk action to its end.

    :param execute: called in worker threads that are kept: a backend may have one connection each.
    :param began: told of each step as it begins, in the caller's thread.
    :param ended: told of each outcome, in the caller's thread.
    """

    scheduler: Scheduler
    execute: Execute
    clock: Clock
    began: Callable[[Step], None] = lambda _step: None
    ended: Callable[[Outcome], None] = lambda _outcome: None
    _inbox: "deque[Callable[[float], None]]" = field(default_factory=deque)
    """What the scheduler is to be told, with the time then."""
    _begun: "deque[Step]" = field(default_factory=deque)
    """Steps that no worker has yet: an interruption may come before."""
    _bell: threading.Event = field(default_factory=threading.Event)
    _idle: "deque[_Worker]" = field(default_factory=deque)
    _workers: "list[_Worker]" = field(default_factory=list)

    def run(self) -> list[Outcome]:
        """Until every guest has its outcome; they come in the order of the jobs.

        :raises Cancelled: the caller was interrupted; the scheduler then has all outcomes, too.
        """
        try:
            self._loop()
        except (Cancelled, KeyboardInterrupt):
            self._wind_up()
            raise
        finally:
            for worker in self._workers:
                worker.end()
        return [self.scheduler.outcomes[job.id] for job in self.scheduler.jobs]

    def _loop(self) -> None:
        while True:
            steps = self.scheduler.step(self.clock.monotonic())
            self._tell()
            self._begun.extend(steps)
            while self._begun:
                self.began(self._begun[0])
                self._hand_out(self._begun[0])
                self._begun.popleft()
            if self.scheduler.done:
                return
            self._wait(self.scheduler.wakeup())
            self._take_in()

    def _wait(self, wakeup: float | None) -> None:
        left = _LONGEST_WAIT if wakeup is None else wakeup - self.clock.monotonic()
        self.clock.wait(self._bell, min(left, _LONGEST_WAIT))

    def _take_in(self) -> None:
        self._bell.clear()
        while self._inbox:
            self._inbox.popleft()(self.clock.monotonic())

    def _tell(self) -> None:
        for outcome in self.scheduler.news():
            self.ended(outcome)

    def _wind_up(self) -> None:
        """After an interruption: begin nothing, let what is under way end, then leave it."""
        end = self.clock.monotonic() + _CANCEL_SECONDS + 1.0
        self.scheduler.cancel(self.clock.monotonic())
        for step in self._begun:
            self.scheduler.finished(step, self.clock.monotonic(), Cancelled())
        while self.scheduler.under_way and (left := end - self.clock.monotonic()) > 0:
            self.clock.wait(self._bell, left)
            self._take_in()
        self.scheduler.abandon(self.clock.monotonic())
        self._tell()

    def _hand_out(self, step: Step) -> None:
        try:
            worker = self._idle.popleft()
        except IndexError:
            worker = _Worker(self)
            self._workers.append(worker)
        worker.take(step)

    def observe(self, id_: Reference, state: GuestState) -> None:
        """A guest was seen to change its state; from any thread."""
        self._put(lambda now: self.scheduler.observed(id_, state, now))

    def _put(self, message: Callable[[float], None]) -> None:
        self._inbox.append(message)
        self._bell.set()

    def carry_out(self, step: Step, worker: "_Worker") -> None:
        """Called by a worker in its own thread."""
        error: BaseException | None = None
        try:
            self.execute(step)
        except BaseException as raised:  # noqa: BLE001 - becomes the guest's outcome
            error = raised
        self._idle.append(worker)  # before the result: what follows it finds a worker
        if step.action is not Action.READY or error is None:
            self._put(lambda now: self.scheduler.finished(step, now, error))


class _Worker:
    """A thread that carries out one step after another."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._steps: deque[Step | None] = deque()
        self._given = threading.Semaphore(0)
        threading.Thread(target=self._work, name="guest worker", daemon=True).start()

    def take(self, step: Step) -> None:
        self._steps.append(step)
        self._given.release()

    def end(self) -> None:
        self._steps.append(None)
        self._given.release()

    def _work(self) -> None:
        while True:
            self._given.acquire()
            step = self._steps.popleft()
            if step is None:
                return
            self._runner.carry_out(step, self)
