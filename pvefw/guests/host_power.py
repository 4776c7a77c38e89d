"""Use cases: start the guests as the host has booted, and stop them as it is about to go down."""

from collections.abc import Collection, Sequence

from pvefw.core.errors import ProviderError, PvefwError, StoreError
from pvefw.core.model import GuestState
from pvefw.guests import actions, plan, units
from pvefw.guests.bulk import Bulk
from pvefw.guests.plan import Listed, StopOptions
from pvefw.guests.scheduler import Outcome
from pvefw.store import guest_notes, guest_reference
from pvefw.store.guest_reference import Reference


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
        outcomes = bulk.run(
            actions.to_start(bulk, listed, also=suspended, serve_others=True), failures
        )
        done = True
        return outcomes
    finally:
        with actions.noted(bulk.task):
            guest_notes.note_started(bulk.paths, bulk.good(), all_=done)
        with actions.noted(bulk.task):
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
        names = guest_reference.names(sorted(lost, key=str))
        raise ProviderError(
            f"{bulk.command}: no guest is running, although {names} were started at boot: "
            "something else has stopped them",
            hint="See who: journalctl -b _PID=1; check the units: pvefw install-units",
        )
    if suspend and jobs:
        listed, failures = _suspended(bulk, listed, failures)
        jobs = plan.to_stop(listed, None, options)
    return actions.stop(bulk, jobs, failures)


def _suspended(
    bulk: Bulk, listed: list[Listed], failures: list[PvefwError]
) -> tuple[list[Listed], list[PvefwError]]:
    """Suspend what can be suspended; the guests as they are then."""
    jobs = [job for job in actions.to_suspend(bulk, listed, None, to_disk=True) if not job.blocked]
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
        with actions.noted(bulk.task):
            guest_notes.note_suspended(bulk.paths, [*before, *bulk.good()])
        with actions.noted(bulk.task):
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
