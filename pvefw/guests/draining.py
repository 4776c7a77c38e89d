"""Use cases: empty this node for maintenance, and bring its guests back.

A drained node has a note that all nodes see. While there is one, no other node of the same configuration
is drained.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from pvefw.core.errors import Locked, ProgramError, ProviderError, PvefwError
from pvefw.core.model import GuestState
from pvefw.guests import bulk as actions
from pvefw.guests import targets as checks
from pvefw.guests import units
from pvefw.guests.bulk import Bulk
from pvefw.guests.plan import Listed
from pvefw.guests.scheduler import Job
from pvefw.host.remote import Remote
from pvefw.store import drained, guest_notes, locks, this_boot
from pvefw.store import units as installed
from pvefw.store.drained import Drained
from pvefw.store.guest_reference import Reference
from pvefw.store.paths import Paths

_AGAIN_SECONDS = 30.0
_LOCK = "drain"
_CLUSTER_LOCK = "pvefw-drain"


def drain(bulk: Bulk, targets: Sequence[str], *, wait: bool) -> None:
    """Move every guest that runs here away, with what it is after, and note where they go.

    Repeating it moves what still runs here.

    :param targets: the nodes that the guests are spread over.
    :param wait: whether to try again until none is left; else what cannot move is a failure.
    :raises Locked: another node is drained; nothing is moved.
    :raises ProviderError: some guests still run here.
    """
    with locks.local_lock(bulk.paths, _LOCK, timeout=0):
        _claim(bulk)
        while not _try_to_drain(bulk, targets, wait=wait):
            bulk.task.log(f"again in {_AGAIN_SECONDS:g} s")
            bulk.task.wait(_AGAIN_SECONDS)
    bulk.task.log(f"{bulk.paths.node} is drained: {_moved(drained.read(bulk.paths))}")


def _claim(bulk: Bulk) -> None:
    """Note that this node is drained, where no other one is: two that begin at once do not both."""
    with locks.cluster_lock(bulk.paths, _CLUSTER_LOCK):
        check_alone(bulk.paths)
        note = drained.read(bulk.paths) or Drained(
            since=bulk.clock.now().isoformat(timespec="seconds")
        )
        drained.write(bulk.paths, replace(note, with_local_disks=bulk.with_local_disks))


def check_alone(paths: Paths) -> None:
    """Make sure that no other node is drained.

    :raises Locked: one is.
    """
    if others := drained.others(paths):
        raise Locked(
            f"node drain: {paths.node}: {', '.join(others)} is drained; only one node at a time may be",
            hint="Bring its guests back first; on that node: pvefw node return",
        )


def to_drain(bulk: Bulk, targets: Sequence[str]) -> tuple[list[Job], list[PvefwError]]:
    """Jobs that drain this node, and why a backend could not be asked."""
    listed, failures = bulk.guests(that_run=True)
    leaving = _leaving(listed)
    jobs = checks.to_migrate(bulk.backends, listed, leaving, targets, bulk.with_local_disks)
    return jobs, failures


def _leaving(listed: Sequence[Listed]) -> list[Listed]:
    """The guests that are not stopped, and what they are after, running or not."""
    here = {entry.id: entry for entry in listed}
    leaving = [entry for entry in listed if entry.guest.state is not GuestState.STOPPED]
    for entry in leaving:  # it grows meanwhile
        needed = [here[id_] for id_ in entry.needs if id_ in here]
        leaving += [other for other in needed if other not in leaving]
    return leaving


def _try_to_drain(bulk: Bulk, targets: Sequence[str], *, wait: bool) -> bool:
    """Move what can move; whether nothing is left running here."""
    jobs, failures = to_drain(bulk, targets)
    note = drained.read(bulk.paths) or Drained("")
    going = {job.id: job.target for job in jobs if not job.blocked}
    known_as = {job.id: job.guest.name for job in jobs if not job.blocked}
    note = replace(note, guests={**note.guests, **going}, names={**note.names, **known_as})
    drained.write(bulk.paths, note)
    try:
        actions.move(bulk, jobs, failures)
        if left := _leaving(bulk.guests(that_run=True)[0]):  # started meanwhile
            names = _names(entry.id for entry in left)
            raise ProviderError(
                f"node drain: {bulk.paths.node}: {names} still run here, or run here again",
                hint="Find out who starts them, and drain again.",
            )
    except ProviderError as error:
        if not wait:
            raise
        bulk.task.warn(error.message)
        return False
    return True


def _moved(note: Drained | None) -> str:
    """Who went where, for people; Ansible's playbook ``drain`` reads that no guest ran."""
    guests = note.guests if note else {}
    return ", ".join(f"{guest} to {node}" for guest, node in guests.items()) or "no guest ran"


def _names(guests: Iterable[Reference]) -> str:
    return ", ".join(map(str, guests))


# --- back -------------------------------------------------------------------------------------------


def bring_back(bulk: Bulk, remote: Remote) -> None:
    """Have the nodes that this one's guests went to send them back. A node that is not drained has none.

    :raises ProviderError: some are not back; the node is still drained.
    """
    with locks.local_lock(bulk.paths, _LOCK, timeout=0):
        note = drained.read(bulk.paths)
        if note is None:
            bulk.task.log(f"{bulk.paths.node} is not drained")
            return
        away = _away(bulk, note)
        bad = [why for node in away if (why := _send_back(bulk, remote, node, away[node], note))]
        if bad:
            raise ProviderError(
                f"node return: {bulk.paths.node}: not all guests are back: {'; '.join(bad)}",
                hint="Try again, or leave the rest where it is: pvefw node return --leave",
            )
        drained.remove(bulk.paths)
    bulk.task.log(f"{bulk.paths.node} has its guests back: {_names(note.guests) or 'none'}")


def _away(bulk: Bulk, note: Drained) -> dict[str, list[Reference]]:
    """The guests that are not here, by the node that they went to.

    :raises PvefwError: a backend cannot be asked: it is not known which are here.
    :raises ProviderError: another guest has the number of one that is away.
    """
    listed, failures = bulk.guests()
    if failures:
        raise failures[0]
    here = {entry.id: entry.guest.name for entry in listed}
    away: dict[str, list[Reference]] = {}
    for id_, node in note.guests.items():
        if id_ in here and here[id_] != note.names.get(id_, here[id_]):
            raise ProviderError(
                f"node return: {bulk.paths.node}: {note.names[id_]} cannot come back from {node}: "
                f"its number, {id_}, has another guest here, {here[id_]}",
                hint="Move that one away or remove it; or leave all where they are: "
                "pvefw node return --leave",
            )
        if id_ not in here:
            away.setdefault(node, []).append(id_)
    return away


def _send_back(
    bulk: Bulk, remote: Remote, node: str, guests: Sequence[Reference], note: Drained
) -> str:
    """Have a node send guests to this one; why it did not."""
    command = ["pvefw", "migrateall", bulk.paths.node, "--vms", ",".join(map(str, guests))]
    command += ["--with-local-disks"] if note.with_local_disks else []
    bulk.task.log(f"{node}: {' '.join(command)}")
    try:
        done = remote.run(node, command)
    except ProgramError as error:
        return f"{_names(guests)} from {node}: {error.message}"
    for line in done.stdout.splitlines():
        bulk.task.log(f"{node}: {line}")
    return ""


def leave(paths: Paths) -> None:
    """End the drain of this node; its guests stay where they are.

    :raises StoreError: the note cannot be removed.
    """
    with locks.local_lock(paths, _LOCK, timeout=0):
        drained.remove(paths)


# --- what can be seen of it -------------------------------------------------------------------------


def state(paths: Paths) -> dict[str, Any]:
    """What a maintenance has to know of this node; ``boot-guests`` is ``none`` where no unit runs it.

    :raises StoreError: a note cannot be read.
    """
    note = drained.read(paths)
    started = guest_notes.have_started(paths)
    words = {True: "done", False: "failed", None: "pending"}
    enabled = installed.is_enabled(paths, units.START)
    return {
        "node": paths.node,
        "boot": this_boot.id_(paths),
        "boot-guests": words[started] if enabled or started is not None else "none",
        "drained": note.since if note else "",
        "guests-away": {str(guest): host for guest, host in note.guests.items()} if note else {},
    }
