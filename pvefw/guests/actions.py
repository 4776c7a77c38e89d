"""Use cases: start, stop, suspend, resume and move guests."""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from pvefw.core.errors import PvefwError, StoreError
from pvefw.core.model import Task
from pvefw.guests import elsewhere, plan
from pvefw.guests import targets as checks
from pvefw.guests.bulk import Bulk, who
from pvefw.guests.plan import Listed, StopOptions
from pvefw.guests.scheduler import Action, Job, Outcome
from pvefw.store import guest_notes, pmxcfs
from pvefw.store.guest_reference import Reference
from pvefw.store.paths import Paths

_LOOK_FOR_QUORUM = 1.0
SUSPEND_SECONDS = 600.0
"""To write a guest's memory to disk takes its time."""
RESUME_SECONDS = 600.0


@contextlib.contextmanager
def noted(task: Task) -> Iterator[None]:
    """A note that cannot be written, on a full disk say, hides no guest's outcome."""
    try:
        yield
    except StoreError as error:
        task.warn(f"could not note what was done: {error.message}")


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
    listed, wanted, failures = bulk.selected(wanted)
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
    listed, wanted, failures = bulk.selected(wanted)
    return stop(bulk, plan.to_stop(listed, wanted, options), failures)


def stop(bulk: Bulk, jobs: Sequence[Job], failures: Sequence[PvefwError]) -> list[Outcome]:
    """Stop guests as planned, by whatever action, and note which no longer run.

    :raises ProviderError: some still run.
    """
    if any(job.action is not Action.MIGRATE for job in jobs):
        for circle in plan.in_circles([Listed(job.id, job.guest) for job in jobs]):
            bulk.task.warn(f"guests: {circle}; these stop in no certain order")
    try:
        return bulk.run(jobs, failures)
    finally:
        with noted(bulk.task):
            guest_notes.note_stopped(bulk.paths, bulk.good())


def migrate_all(bulk: Bulk, wanted: Sequence[str] | None, targets: Sequence[str]) -> list[Outcome]:
    """Move guests, after all that can be known beforehand was looked at.

    :param targets: one node, or several among which the guests are spread by free memory.
    :raises ProviderError: some did not move; they go on where they were.
    """
    listed, wanted, failures = bulk.selected(wanted)
    chosen = plan.named(listed, wanted, "migrateall")
    jobs = checks.to_migrate(bulk.backends, listed, chosen, targets, bulk.with_local_disks)
    return move(bulk, jobs, failures)


def move(bulk: Bulk, jobs: Sequence[Job], failures: Sequence[PvefwError]) -> list[Outcome]:
    """Move guests as planned.

    :raises ProviderError: some did not move; they go on where they were.
    """
    for job in jobs:
        if job.note:
            bulk.task.log(f"{who(job)}: {job.note}")
    return stop(bulk, jobs, failures)


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
    listed, wanted, failures = bulk.selected(wanted)
    return stop(bulk, to_suspend(bulk, listed, wanted, to_disk=to_disk), failures)


def resume_all(bulk: Bulk, wanted: Sequence[str] | None) -> list[Outcome]:
    """Let suspended guests continue.

    :raises ProviderError: some do not run.
    """
    listed, wanted, failures = bulk.selected(wanted)
    return bulk.run(to_resume(bulk, listed, wanted), failures)
