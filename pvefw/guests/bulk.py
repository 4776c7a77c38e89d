"""Use cases: start, stop and move many guests, with an honest outcome for each of them."""

import contextlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

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
from pvefw.core.model import GuestPowerEvent, GuestState, Task
from pvefw.guests import backends, elsewhere, plan, readiness, units
from pvefw.guests.backends import Backends
from pvefw.guests.plan import Listed, StopOptions
from pvefw.guests.runner import Runner
from pvefw.guests.scheduler import Action, Job, Outcome, Result, Scheduler, Step, what_undid
from pvefw.guests.simulation import Moment, simulate
from pvefw.guests.watching import Watcher
from pvefw.host.clock import Clock, SystemClock
from pvefw.store import guest_notes, pmxcfs
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
_LIMITED = (Action.SHUTDOWN, Action.SUSPEND)
_LOOK_FOR_QUORUM = 1.0
_LOOK_AGAIN = 1.0
SUSPEND_SECONDS = 600.0
"""To write a guest's memory to disk takes its time."""
RESUME_SECONDS = 600.0


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

    def chosen(
        self,
        listed: Sequence[Listed],
        wanted: Sequence[str] | None,
        failures: Sequence[PvefwError],
    ) -> tuple[list[str] | None, list[PvefwError]]:
        """The words of ``--vms`` that name guests, and all failures.

        What no backend knows may be a guest of one that did not answer: the others are served.

        :raises NotFound: a word names no guest, and all were asked, or it names several.
        """
        if wanted is None or not failures:
            return None if wanted is None else list(wanted), list(failures)
        words, unknown = [], list(failures)
        for word in wanted:
            try:
                plan.by_id(listed, [word], self.command)
            except plan.NoSuchGuest:
                error = NotFound(f"{word}: it is no guest of the backends that answered")
                self.task.warn(error.message)
                unknown.append(error)
            else:
                words.append(word)
        return words, unknown

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
        limit = f", at most {step.timeout:g} s" if step.action in _LIMITED else ""
        again = " again" if step.why and step.action is not Action.STOP else ""
        why = f": {step.why}" if step.why else ""
        self.task.log(f"{_who(job)}: {_BEGINS[step.action]}{where}{limit}{again}{why}")

    def _log_end(self, outcome: Outcome) -> None:
        job = outcome.job
        match outcome.result:
            case Result.OK:
                seconds = (outcome.ended or 0.0) - (outcome.began or 0.0)
                self.task.log(f"{_who(job)}: {_ENDS[job.action]} after {seconds:.1f} s")
            case Result.HARD:
                self.task.warn(f"{_who(job)}: force-stopped: {outcome.reason}")
            case Result.CANCELLED if outcome.began is None:
                return  # listed once, at the end
            case _:  # in the list at the end, too
                self.task.log(f"{_who(job)}: {outcome.result.value}: {outcome.reason}")
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
                self.task.log(f"{_who(after.job)}: failed: {after.reason}")
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
        self.task.log(f"interrupted: done: {_names(done)}")
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
            self.task.log(f"{_who(outcome.job)}: {outcome.reason}; {now}")
        rest = [outcome.job.id for outcome in outcomes if outcome.began is None]
        self.task.log(f"interrupted: not begun: {_names(rest)}")


def _who(job: Job) -> str:
    return f"{job.id} ({job.guest.name})" if job.guest.name else str(job.id)


def _names(ids: Iterable[Reference]) -> str:
    return ", ".join(map(str, ids)) or "none"


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


@contextlib.contextmanager
def _noted(task: Task) -> Iterator[None]:
    """A note that cannot be written, on a full disk say, hides no guest's outcome."""
    try:
        yield
    except StoreError as error:
        task.warn(f"could not note what was done: {error.message}")


# --- the commands ----------------------------------------------------------------------------------


def wait_for_quorum(paths: Paths, task: Task) -> None:
    """Wait until the cluster takes changes, for as long as that takes: no guest of it starts before.

    As Proxmox VE does. What is read before that may be old.
    """
    if pmxcfs.has_quorum(paths.etc_pve):
        return
    task.log("waiting for quorum: the cluster file system takes no changes")
    while not pmxcfs.has_quorum(paths.etc_pve):
        task.wait(_LOOK_FOR_QUORUM)
    task.log("the cluster has quorum")


def start_all(bulk: Bulk, wanted: Sequence[str] | None, *, force: bool) -> list[Outcome]:
    """Start guests.

    :raises ProviderError: some could not be started.
    """
    listed, failures = bulk.guests()
    wanted, failures = bulk.chosen(listed, wanted, failures)
    return bulk.run(to_start(bulk, listed, wanted, force=force), failures)


def to_start(
    bulk: Bulk,
    listed: Sequence[Listed],
    wanted: Sequence[str] | None = None,
    *,
    force: bool = False,
    also: Collection[Reference] = (),
    serve_others: bool = False,
) -> list[Job]:
    """Jobs that start guests; what they are after may run on another node."""
    absence = elsewhere.look(bulk.paths, bulk.backends, listed).absence
    return plan.to_start(
        listed, wanted, force=force, also=also, absence=absence, serve_others=serve_others
    )


def stop_all(bulk: Bulk, wanted: Sequence[str] | None, options: StopOptions) -> list[Outcome]:
    """Stop guests.

    :raises ProviderError: some still run.
    """
    listed, failures = bulk.guests()
    wanted, failures = bulk.chosen(listed, wanted, failures)
    return _stop(bulk, plan.to_stop(listed, wanted, options), failures)


def _stop(bulk: Bulk, jobs: Sequence[Job], failures: Sequence[PvefwError]) -> list[Outcome]:
    if any(job.action is not Action.MIGRATE for job in jobs):
        for circle in plan.in_circles([Listed(job.id, job.guest) for job in jobs]):
            bulk.task.warn(f"guests: {circle}; these stop in no certain order")
    try:
        return bulk.run(jobs, failures)
    finally:
        with _noted(bulk.task):
            guest_notes.note_stopped(bulk.paths, bulk.good())


def migrate_all(bulk: Bulk, wanted: Sequence[str] | None, targets: Sequence[str]) -> list[Outcome]:
    """Move guests, after all that can be known beforehand was looked at.

    :param targets: one node, or several among which the guests are spread by free memory.
    :raises ProviderError: some did not move; they go on where they were.
    """
    from pvefw.guests import targets as checks

    listed, failures = bulk.guests()
    wanted, failures = bulk.chosen(listed, wanted, failures)
    chosen = plan.named(listed, wanted, "migrateall")
    jobs = checks.to_migrate(bulk.backends, listed, chosen, targets, bulk.with_local_disks)
    return move(bulk, jobs, failures)


def move(bulk: Bulk, jobs: Sequence[Job], failures: Sequence[PvefwError]) -> list[Outcome]:
    """Move guests as planned.

    :raises ProviderError: some did not move; they go on where they were.
    """
    for job in jobs:
        if job.note:
            bulk.task.log(f"{_who(job)}: {job.note}")
    return _stop(bulk, jobs, failures)


def to_suspend(
    bulk: Bulk, listed: Sequence[Listed], wanted: Sequence[str] | None, *, to_disk: bool
) -> list[Job]:
    """Jobs that suspend guests; those of a backend that cannot are blocked."""
    jobs = plan.to_suspend(listed, wanted, to_disk=to_disk, timeout=SUSPEND_SECONDS)
    return _where_possible(bulk, jobs, "guest_suspend")


def to_resume(bulk: Bulk, listed: Sequence[Listed], wanted: Sequence[str] | None) -> list[Job]:
    """Jobs that let suspended guests continue; those of a backend that cannot are blocked."""
    jobs = plan.to_resume(listed, wanted, timeout=RESUME_SECONDS)
    return _where_possible(bulk, jobs, "guest_resume")


def _where_possible(bulk: Bulk, jobs: Sequence[Job], hook: str) -> list[Job]:
    """The jobs; those whose backend does not have an optional hook are blocked."""

    def reason(job: Job) -> str:
        backend = bulk.backends.of(job.id)
        able = hook in backend.implemented
        return "" if able else f"{backend.name} can neither suspend nor resume guests"

    return [replace(job, blocked=reason(job)) for job in jobs]


def suspend_all(bulk: Bulk, wanted: Sequence[str] | None, *, to_disk: bool) -> list[Outcome]:
    """Suspend guests.

    :raises ProviderError: some run on.
    """
    listed, failures = bulk.guests()
    wanted, failures = bulk.chosen(listed, wanted, failures)
    return _stop(bulk, to_suspend(bulk, listed, wanted, to_disk=to_disk), failures)


def resume_all(bulk: Bulk, wanted: Sequence[str] | None) -> list[Outcome]:
    """Let suspended guests continue.

    :raises ProviderError: some do not run.
    """
    listed, failures = bulk.guests()
    wanted, failures = bulk.chosen(listed, wanted, failures)
    return bulk.run(to_resume(bulk, listed, wanted), failures)


# --- dry run ---------------------------------------------------------------------------------------


def planned(jobs: Sequence[Job], workers_: int) -> list[dict[str, object]]:
    """What a bulk action would do, and when at the earliest: a row for each guest, in order of time."""

    def instant(_step: Step) -> tuple[float, None]:
        return 0.0, None

    def slow(step: Step) -> tuple[float, None]:
        return step.timeout or 0.0, None

    stopping = any(job.action in _LIMITED for job in jobs)
    # a start takes no time to speak of; a shutdown may take all that it is allowed
    moments, outcomes = simulate(Scheduler(jobs, workers_), instant)
    latest: list[Moment] = []
    if stopping:
        latest, _ = simulate(Scheduler(jobs, workers_), slow)
    ends = {moment.step.job.id: moment.second + (moment.step.timeout or 0.0) for moment in latest}
    begins = [moment for moment in moments if moment.step.action is not Action.READY]
    rows = [_row(moment.step.job, moment.second, ends.get(moment.step.job.id)) for moment in begins]
    blocked = [outcome for outcome in outcomes if outcome.result is Result.BLOCKED]
    return rows + [{**_row(outcome.job, None, None), "note": outcome.reason} for outcome in blocked]


def _row(job: Job, second: float | None, latest: float | None) -> dict[str, object]:
    notes = [job.note] if job.note else []
    if job.after:
        notes.append(f"after {_names(job.after)}")
    if job.probe:
        notes.append(f"ready: {job.guest.ready}")
    if job.hard:
        notes.append("force-stop after the timeout")
    return {
        "id": str(job.id),
        "name": job.guest.name,
        "action": job.action.value,
        "target": job.target,
        "second": _short(second),
        "pause": _short(job.pause) if job.action is Action.START else None,
        "timeout": _short(job.timeout),
        "latest": _short(latest),
        "note": ", ".join(notes),
    }


def _short(seconds: float | None) -> float | None:
    """Without a fraction where there is none."""
    return int(seconds) if seconds is not None and seconds == int(seconds) else seconds


# --- boot and shutdown -----------------------------------------------------------------------------


def boot(bulk: Bulk) -> list[Outcome]:
    """Wait ``startall-onboot-delay``, then start guests, and note which.

    :raises ProviderError: some could not be started.
    """
    _warn_of_others(bulk)
    seconds = _delay(bulk) if _has_backends(bulk) else 0
    if seconds:
        bulk.task.log(f"waiting {seconds} s before the first guest (startall-onboot-delay)")
        bulk.task.wait(float(seconds))
    listed, failures = bulk.guests()
    suspended, done = guest_notes.suspended(bulk.paths), False
    try:
        outcomes = bulk.run(to_start(bulk, listed, also=suspended, serve_others=True), failures)
        done = True
        return outcomes
    finally:
        with _noted(bulk.task):
            guest_notes.note_started(bulk.paths, bulk.good(), all_=done)
        with _noted(bulk.task):
            guest_notes.note_suspended(
                bulk.paths, _still_suspended(suspended.difference(bulk.good()), listed, failures)
            )


def _delay(bulk: Bulk) -> int:
    """Seconds to wait before the first guest; none where that cannot be read."""
    try:
        return int(bulk.node.get("startall-onboot-delay", "0"))
    except StoreError as error:
        bulk.task.warn(
            f"startall-onboot-delay cannot be read, so there is no delay: {error.message}"
        )
        return 0


def shut_down(bulk: Bulk, options: StopOptions, *, suspend: bool = False) -> list[Outcome]:
    """Stop all guests, as the host is about to go down.

    :param suspend: suspend them to disk, from where ``boot-guests`` lets them continue; those that
        cannot be suspended are shut down.
    :raises ProviderError: some still run; or none does, though guests were started at boot and we have
        not stopped them.
    """
    _warn_of_others(bulk)
    _has_backends(bulk)
    listed, failures = bulk.guests(that_run=True)
    jobs = plan.to_stop(listed, None, options)
    lost = guest_notes.started(bulk.paths)
    if lost and not jobs and not failures:
        names = _names(sorted(lost, key=str))
        raise ProviderError(
            f"{bulk.command}: no guest is running, although {names} were started at boot: "
            "something else has stopped them",
            hint="See who: journalctl -b _PID=1; check the units: pvefw install-units",
        )
    if suspend and jobs:
        listed, failures = _suspended(bulk, listed, failures)
        jobs = plan.to_stop(listed, None, options)
    return _stop(bulk, jobs, failures)


def _suspended(
    bulk: Bulk, listed: list[Listed], failures: list[PvefwError]
) -> tuple[list[Listed], list[PvefwError]]:
    """Suspend what can be suspended; the guests as they are then."""
    jobs = [job for job in to_suspend(bulk, listed, None, to_disk=True) if not job.blocked]
    before = _still_suspended(guest_notes.suspended(bulk.paths), listed, failures)
    try:
        # before, too: who is killed half-way through has guests on disk that nobody knows of
        guest_notes.note_suspended(bulk.paths, [*before, *(job.id for job in jobs)])
    except StoreError as error:
        bulk.task.warn(f"no guest is suspended, as boot-guests could not know of it: {error}")
        return listed, failures
    try:
        bulk.run(jobs)
    except ProviderError as error:
        bulk.task.warn(f"not suspended, but shut down: {error.message}")
    finally:
        with _noted(bulk.task):
            guest_notes.note_suspended(bulk.paths, [*before, *bulk.good()])
        with _noted(bulk.task):
            guest_notes.note_stopped(bulk.paths, bulk.good())
    return bulk.guests(that_run=True)


def _still_suspended(
    noted: Collection[Reference], listed: Sequence[Listed], failures: Sequence[PvefwError]
) -> set[Reference]:
    """Those of the guests that were suspended that have to continue some time: they do not run.

    :param failures: of backends that were not asked: theirs may be suspended.
    """
    states = {entry.id: entry.guest.state for entry in listed}
    return {
        id_
        for id_ in noted
        if (states[id_] is GuestState.STOPPED if id_ in states else bool(failures))
    }


def _has_backends(bulk: Bulk) -> bool:
    """Whether this node has hypervisors: the units of a package run where nothing is configured, too."""
    if bulk.backends.bound:
        return True
    bulk.task.log(f"node {bulk.node.name} has no guest backend")
    return False


def _warn_of_others(bulk: Bulk) -> None:
    for name in units.other_managers(bulk.paths):
        bulk.task.warn(f"{name} is enabled, and starts and stops guests, too: {units.advice(name)}")
