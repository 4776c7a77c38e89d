"""One action on many guests: it is carried out, logged and judged, with an honest outcome for each."""

import contextlib
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field

from pvefw import instances
from pvefw.core import notices
from pvefw.core.errors import (
    Cancelled,
    ConfigError,
    NotFound,
    NothingRuns,
    ProviderError,
    PvefwError,
    StoreError,
    Unavailable,
)
from pvefw.core.model import GuestPowerEvent, Task
from pvefw.guests import backends, plan, readiness
from pvefw.guests.backends import Backends
from pvefw.guests.plan import Listed
from pvefw.guests.runner import Runner
from pvefw.guests.scheduler import Action, Job, Outcome, Result, Scheduler, Step, what_undid
from pvefw.guests.watching import Watcher
from pvefw.host.clock import Clock, SystemClock
from pvefw.store import guest_reference
from pvefw.store.guest_reference import Reference
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.tasks import events

_MOST_BY_DEFAULT = 8
_BEGINS = {
    Action.START: "starting",
    Action.SHUTDOWN: "shutting down",
    Action.STOP: "stopping hard",
    Action.MIGRATE: "moving",
    Action.SUSPEND: "suspending",
    Action.RESUME: "resuming",
    Action.READY: "waiting until it is ready",
}
_ENDS = {
    Action.START: "started",
    Action.SHUTDOWN: "stopped",
    Action.STOP: "stopped by force",
    Action.MIGRATE: "moved",
    Action.SUSPEND: "suspended",
    Action.RESUME: "resumed",
}
LIMITED = (Action.SHUTDOWN, Action.SUSPEND)
"""What a guest has limited time for, and may take all of."""
_LOOK_AGAIN = 1.0


def workers(node: Node, given: int | None) -> int:
    """How many guests at once: as given, as in ``datacenter.cfg``, or one for each CPU, at most 8.

    A file that cannot be read does not keep guests from starting: nothing is taken to be set.
    """
    if not given:
        with contextlib.suppress(StoreError):
            given = node.max_workers
    return given or min(os.cpu_count() or 1, _MOST_BY_DEFAULT)


@dataclass
class Bulk:
    """One bulk action on this node's guests."""

    node: Node
    """As it was when the action began."""
    backends: Backends
    workers: int
    task: Task
    command: str
    """For messages: ``startall``."""
    clock: Clock = field(default_factory=SystemClock)
    with_local_disks: bool = False
    only_known: bool = False
    """Whether words that name no guest are left out with a warning."""
    outcomes: Sequence[Outcome] = ()
    """Of the last :meth:`run`, also where it has failed."""
    _began: float = 0.0
    _observed: bool = False
    _observers: Executor = field(init=False, repr=False)

    @property
    def paths(self) -> Paths:
        """The node's files."""
        return self.node.paths

    def guests(self, *, that_run: bool = False) -> tuple[list[Listed], list[PvefwError]]:
        """All guests; a backend that cannot be asked is logged and counts as a failure at the end.

        :param that_run: only they matter: a hypervisor that does not run has none, and is no failure.
        """
        down: list[NothingRuns] = []
        listed, failures = self.backends.list(down if that_run else None)
        for error in down:
            self.task.log(f"no guest runs: {error.message}")
        if not down:
            backends.note(self.paths, listed)
        listed, twins = _without_twins(listed)
        failures += twins
        for failure in failures:
            self.task.warn(failure.message)
        return listed, failures

    def selected(
        self, wanted: Sequence[str] | None
    ) -> tuple[list[Listed], list[str] | None, list[PvefwError]]:
        """All guests, the words of ``--vms`` that name some, and all failures.

        What no backend knows may be a guest of one that did not answer: the others are served.

        :param wanted: the words; ``None`` for all guests.
        :raises NotFound: a word names several, or none, all were asked, and it is not left out.
        """
        listed, failures = self.guests()
        if wanted is None or not (failures or self.only_known):
            return listed, None if wanted is None else list(wanted), failures
        words, unknown = [], list(failures)
        for word in wanted:
            try:
                plan.by_id(listed, [word], self.command)
            except plan.NoSuchGuest:
                error = NotFound(f"{word}: it is no guest of the backends that answered")
                self.task.warn(error.message)
                unknown += [error] if failures else []
            else:
                words.append(word)
        return listed, words, unknown

    def run(self, jobs: Sequence[Job], failures: Sequence[PvefwError] = ()) -> list[Outcome]:
        """Do it.

        :raises ProviderError: at least one guest is not as it was to be; all of them are listed.
        """
        self._began = self.clock.monotonic()
        self._observed = self._has_observers()
        scheduler = Scheduler(jobs, self.workers)
        runner = Runner(scheduler, self._execute, self.clock, self._log_begin, self._log_end)
        states = {job.id: job.guest.state for job in jobs}
        watcher = Watcher(self.backends, states, runner.observe, self.clock)
        # observers are notified beside the work: one that hangs must not keep guests from starting
        with watcher, ThreadPoolExecutor(1, "observers") as self._observers:
            try:
                outcomes = runner.run()
            except (Cancelled, KeyboardInterrupt):
                self._observers.shutdown(wait=False, cancel_futures=True)
                self._say_what_was(scheduler)
                raise
        self.outcomes = outcomes
        self.outcomes = self._verified(outcomes)
        self._judge(self.outcomes, failures)
        return list(self.outcomes)

    def good(self) -> list[Reference]:
        """The guests with which all went well."""
        return [outcome.job.id for outcome in self.outcomes if outcome.result.good]

    def _has_observers(self) -> bool:
        """Whether somebody is to be told; who cannot be read of must not keep guests from starting."""
        try:
            return bool(instances.load_used(self.node, "observer"))
        except PvefwError as error:
            self.task.warn(f"could not notify the observers: {error.message}")
            return False

    # --- one step ------------------------------------------------------------------------------

    def _execute(self, step: Step) -> None:
        job, task = step.job, self.task
        backend = self.backends.of(job.id)
        hooks = backend.hooks
        timeout = float("inf") if step.timeout is None else step.timeout
        match step.action:
            case Action.START:
                hooks.guest_start(guest=job.guest, timeout=timeout, task=task)
            case Action.SHUTDOWN:
                hooks.guest_shutdown(guest=job.guest, timeout=timeout, task=task)
            case Action.STOP:
                hooks.guest_stop(guest=job.guest, timeout=timeout, task=task)
            case Action.READY:
                if not readiness.wait(backend, job.guest, timeout, task, self.clock):
                    raise Unavailable("it is not ready")
            case Action.MIGRATE:
                options = plan.migrate_options(job.guest.state, self.with_local_disks)
                hooks.guest_migrate(guest=job.guest, target=job.target, options=options, task=task)
            case Action.SUSPEND:
                hooks.guest_suspend(
                    guest=job.guest, to_disk=job.to_disk, timeout=timeout, task=task
                )
            case Action.RESUME:
                hooks.guest_resume(guest=job.guest, timeout=timeout, task=task)

    def _log_begin(self, step: Step) -> None:
        job = step.job
        where = f" to {job.target}" if job.target else ""
        limit = f", at most {step.timeout:g} s" if step.action in LIMITED else ""
        again = " again" if step.why and step.action is not Action.STOP else ""
        why = f": {step.why}" if step.why else ""
        self.task.log(f"{who(job)}: {_BEGINS[step.action]}{where}{limit}{again}{why}")

    def _log_end(self, outcome: Outcome) -> None:
        job = outcome.job
        match outcome.result:
            case Result.OK:
                seconds = (outcome.ended or 0.0) - (outcome.began or 0.0)
                self.task.log(f"{who(job)}: {_ENDS[job.action]} after {seconds:.1f} s")
            case Result.HARD:
                self.task.warn(f"{who(job)}: force-stopped: {outcome.reason}")
            case Result.CANCELLED if outcome.began is None:
                return  # listed once, at the end
            case _:  # in the list at the end, too
                self.task.log(f"{who(job)}: {outcome.result.value}: {outcome.reason}")
        self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        if not self._observed:
            return
        job = outcome.job
        hard = outcome.result is Result.HARD
        status = "ok" if outcome.result.good else f"{outcome.result.value}: {outcome.reason}"
        event = GuestPowerEvent(
            node=self.node.name,
            guest=job.guest,
            action="stop" if hard else job.action.value,  # type: ignore[arg-type]  # a literal
            outcome=status,
        )
        self._observers.submit(events.tell, self.node, "on_guest", event, self.task)

    # --- the end -------------------------------------------------------------------------------

    def _verified(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Look again: a guest that was started may have stopped since, and the other way round."""
        if not any(
            outcome.result.good and outcome.job.action is not Action.MIGRATE for outcome in outcomes
        ):
            return list(outcomes)
        looked = self._looked_at(outcomes)
        if looked != list(outcomes):  # a backup may pause a guest for a moment
            self.task.wait(_LOOK_AGAIN)
            looked = self._looked_at(outcomes)
        for before, after in zip(outcomes, looked, strict=True):
            if before is not after:
                self.task.log(f"{who(after.job)}: failed: {after.reason}")
        return looked

    def _looked_at(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        try:
            listed, failures = self.backends.list()
        except PvefwError as error:
            self.task.warn(f"could not read the guests' state: {error.message}")
            return list(outcomes)
        states = {entry.id: entry.guest.state for entry in listed}
        made = []
        for outcome in outcomes:
            state = states.get(outcome.job.id)
            reason = ""
            if outcome.result.good and (state is not None or not failures):
                reason = what_undid(outcome.job, state)
            failed = Outcome(outcome.job, Result.FAILED, reason, outcome.began, outcome.ended)
            made.append(failed if reason else outcome)
        return made

    def _judge(self, outcomes: Sequence[Outcome], failures: Sequence[PvefwError]) -> None:
        """Say how it went.

        :raises ProviderError: not all went well.
        """
        seconds = self.clock.monotonic() - self._began
        good = sum(outcome.result.good for outcome in outcomes)
        self.task.log(f"{good} of {len(outcomes)} guests done in {seconds:.1f} s")
        bad = [
            f"{outcome.job.id} {outcome.result.value}: {outcome.reason}"
            for outcome in outcomes
            if not outcome.result.good
        ]
        bad += [
            f"{outcome.job.id} {_ENDS[outcome.job.action]}, but out of order: {problem}"
            for outcome in outcomes
            if outcome.result.good and (problem := plan.unreadable(outcome.job.guest))
        ]
        bad += [failure.message for failure in failures]
        if bad:
            if self._observed:
                notice = notices.bulk_failed(self.node.name, self.command, bad)
                events.tell(self.node, events.NOTICE, notice, self.task)
            raise ProviderError(
                f"{self.command}: {len(bad)} failed: " + "; ".join(bad),
                hint="The task's log says what was done to each guest.",
            )

    def _say_what_was(self, scheduler: Scheduler) -> None:
        """After an interruption: what was done, what was under way and does what now, what not begun."""
        outcomes = list(scheduler.outcomes.values())
        done = [outcome.job.id for outcome in outcomes if outcome.result.good]
        self.task.log(f"interrupted: done: {guest_reference.names(done)}")
        half = [
            outcome for outcome in outcomes if outcome.began is not None and not outcome.result.good
        ]
        try:
            states = {entry.id: entry.guest.state for entry in self.backends.list()[0]}
        except PvefwError:
            states = {}
        for outcome in half:
            state = states.get(outcome.job.id)
            now = f"it is {state.value} now" if state else "what it does now is not known"
            self.task.log(f"{who(outcome.job)}: {outcome.reason}; {now}")
        rest = [outcome.job.id for outcome in outcomes if outcome.began is None]
        self.task.log(f"interrupted: not begun: {guest_reference.names(rest)}")


def who(job: Job) -> str:
    """A guest, for the task's log: its id and name."""
    return f"{job.id} ({job.guest.name})" if job.guest.name else str(job.id)


def _without_twins(listed: Sequence[Listed]) -> tuple[list[Listed], list[PvefwError]]:
    """The guests whose ids are their own; several of one id cannot be told apart, and are left alone."""
    counts = Counter(entry.id for entry in listed)
    twins: list[PvefwError] = [
        ConfigError(
            f"{id_}: {' and '.join(e.guest.name or 'a guest' for e in listed if e.id == id_)} "
            "have the same number; neither is touched"
        )
        for id_, count in counts.items()
        if count > 1
    ]
    return [entry for entry in listed if counts[entry.id] == 1], twins
