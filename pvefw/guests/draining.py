"""Use cases: empty this node for maintenance, and bring its guests back.

A drained node has a note that all nodes see. While there is one, no other node of the same configuration
is drained.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pvefw.core.errors import Locked, ProgramError, ProviderError, PvefwError
from pvefw.core.model import Guest, GuestState
from pvefw.guests import actions, units
from pvefw.guests import targets as checks
from pvefw.guests.bulk import Bulk
from pvefw.guests.plan import Listed
from pvefw.guests.scheduler import Job
from pvefw.host.remote import Remote
from pvefw.store import drained, files, guest_notes, guest_reference, locks, this_boot
from pvefw.store import units as installed
from pvefw.store.drained import Drained
from pvefw.store.guest_reference import Reference
from pvefw.store.paths import Paths

_AGAIN_SECONDS = 30.0
_ANSWER_SECONDS = 60.0
_LOCK = "drain"
_CLUSTER_LOCK = "pvefw-drain"


def drain(bulk: Bulk, targets: Sequence[str], *, wait: bool, named: bool = True) -> None:
    """Move every guest that runs here away, with what it is after, and note where they go.

    Repeating it moves what still runs here.

    :param targets: the nodes that the guests are spread over.
    :param wait: whether to try again until none is left; else what cannot move is a failure.
    :param named: whether each of these nodes was asked for; else it is enough that one can be reached.
    :raises Locked: another node is drained; nothing is moved.
    :raises ProviderError: some guests still run here.
    """
    with locks.local_lock(bulk.paths, _LOCK, timeout=0):
        new = _claim(bulk)
        try:
            while not _try_to_drain(bulk, targets, wait=wait, named=named):
                bulk.task.log(f"again in {_AGAIN_SECONDS:g} s")
                bulk.task.wait(_AGAIN_SECONDS)
        except BaseException:
            if new and not (drained.read(bulk.paths) or Drained("")).guests:
                drained.remove(bulk.paths)  # no guest has left: others may be drained
            raise
    bulk.task.log(f"{bulk.paths.node} is drained: {_moved(drained.read(bulk.paths))}")


def _claim(bulk: Bulk) -> bool:
    """Note that this node is drained, where no other one is: two that begin at once do not both.

    :returns: whether it was not before.
    """
    with locks.cluster_lock(bulk.paths, _CLUSTER_LOCK):
        check_alone(bulk.paths)
        before = drained.read(bulk.paths)
        note = before or Drained(since=bulk.clock.now().isoformat(timespec="seconds"))
        drained.write(bulk.paths, replace(note, with_local_disks=bulk.with_local_disks))
    return before is None


def check_alone(paths: Paths) -> None:
    """Make sure that no other node is drained.

    :raises Locked: one is.
    """
    if others := drained.others(paths):
        raise Locked(
            f"node drain: {paths.node}: {', '.join(others)} is drained; only one node at a time may be",
            hint="Bring its guests back first; on that node: pvefw node return. If there is no such "
            f"node any more, as it was renamed: pvefw --node {others[0]} node return --leave",
        )


def to_drain(
    bulk: Bulk, targets: Sequence[str], *, named: bool = True
) -> tuple[list[Job], list[PvefwError]]:
    """Jobs that drain this node, and why a backend could not be asked.

    :param named: as for :func:`drain`.
    :raises ProviderError: a target cannot be reached; where they were not named, none can.
    """
    listed, failures = bulk.guests(that_run=True)
    leaving = _leaving(listed)

    def without(error: PvefwError) -> None:
        bulk.task.warn(f"no guest goes there: {error.message}")

    jobs = checks.to_migrate(
        bulk.backends,
        listed,
        leaving,
        targets,
        bulk.with_local_disks,
        without=None if named else without,
    )
    return jobs, failures


def _leaving(listed: Sequence[Listed]) -> list[Listed]:
    """The guests that are not stopped, and what they are after, running or not."""
    here = {entry.id: entry for entry in listed}
    leaving = [entry for entry in listed if entry.guest.state is not GuestState.STOPPED]
    for entry in leaving:  # it grows meanwhile
        needed = [here[id_] for id_ in entry.needs if id_ in here]
        leaving += [other for other in needed if other not in leaving]
    return leaving


def _try_to_drain(bulk: Bulk, targets: Sequence[str], *, wait: bool, named: bool) -> bool:
    """Move what can move; whether nothing is left running here."""
    try:
        jobs, failures = to_drain(bulk, targets, named=named)
        _note_going(bulk.paths, jobs)
        actions.move(bulk, jobs, failures)
        if left := _leaving(bulk.guests(that_run=True)[0]):  # started meanwhile
            names = guest_reference.names(entry.id for entry in left)
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


def _note_going(paths: Paths, jobs: Sequence[Job]) -> None:
    """Note where guests go, before they do."""
    note = drained.read(paths) or Drained("")
    going = [job for job in jobs if not job.blocked]
    guests = {job.id: job.target for job in going}
    names = {job.id: job.guest.name for job in going}
    own = {job.id: job.guest.backend_id for job in going if job.guest.backend_id}
    note = replace(
        note,
        guests={**note.guests, **guests},
        names={**note.names, **names},
        backend_ids={**note.backend_ids, **own},
    )
    drained.write(paths, note)


def _moved(note: Drained | None) -> str:
    """Who went where, for people; Ansible's playbook ``drain`` reads that no guest ran."""
    guests = note.guests if note else {}
    return ", ".join(f"{guest} to {node}" for guest, node in guests.items()) or "no guest ran"


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
        away, bad = _away(bulk, note)
        bad += [why for node in away if (why := _send_back(bulk, remote, node, away[node], note))]
        if away and not bad:
            missing, _ = _away(bulk, note)
            bad += [
                f"{guest_reference.names(guests)}: {node} has sent them, but they are not here"
                for node, guests in missing.items()
            ]
        if bad:
            raise ProviderError(
                f"node return: {bulk.paths.node}: not all guests are back: {'; '.join(bad)}",
                hint="Try again, or leave the rest where it is: pvefw node return --leave",
            )
        drained.remove(bulk.paths)
    bulk.task.log(f"{bulk.paths.node} has its guests back: {guest_reference.names(note.guests)}")


def to_return(bulk: Bulk) -> list[dict[str, object]]:
    """What :func:`bring_back` would do: a row for each guest that this node has sent away.

    :raises PvefwError: a backend cannot be asked.
    """
    note = drained.read(bulk.paths)
    if note is None:
        return []
    away, bad = _away(bulk, note)
    rows: list[dict[str, object]] = [
        {"id": str(id_), "name": note.names.get(id_, ""), "from": node, "note": ""}
        for node, guests in away.items()
        for id_ in guests
    ]
    return rows + [{"id": "", "name": "", "from": "", "note": why} for why in bad]


def _away(bulk: Bulk, note: Drained) -> tuple[dict[str, list[Reference]], list[str]]:
    """The guests that are not here, by the node that they went to; and who cannot come back, and why.

    :raises PvefwError: a backend cannot be asked: it is not known which are here.
    """
    listed, failures = bulk.guests()
    if failures:
        raise failures[0]
    here = {entry.id: entry.guest for entry in listed}
    away: dict[str, list[Reference]] = {}
    bad = []
    for id_, node in note.guests.items():
        if id_ not in here:
            away.setdefault(node, []).append(id_)
        elif not _is_same(here[id_], id_, note):
            bad.append(
                f"{note.names[id_]} cannot come back from {node}: "
                f"its number, {id_}, has another guest here, {here[id_].name}; "
                "move that one away or remove it"
            )
    return away, bad


def _is_same(guest: Guest, id_: Reference, note: Drained) -> bool:
    """Whether a guest is the one that was sent away; it may be called otherwise now."""
    if guest.backend_id and id_ in note.backend_ids:
        return guest.backend_id == note.backend_ids[id_]
    return guest.name == note.names.get(id_, guest.name)


def _send_back(
    bulk: Bulk, remote: Remote, node: str, guests: Sequence[Reference], note: Drained
) -> str:
    """Have a node send guests to this one; why it did not."""
    gone: list[Reference] = []
    why = _ask_for(bulk, remote, node, guests, note)
    if why and (gone := _not_there(remote, node, guests)):
        rest = [id_ for id_ in guests if id_ not in gone]
        why = _ask_for(bulk, remote, node, rest, note) if rest else ""
    lost = f"{guest_reference.names(gone)}: no longer on {node}" if gone else ""
    return "; ".join(filter(None, [lost, why]))


def _ask_for(
    bulk: Bulk, remote: Remote, node: str, guests: Sequence[Reference], note: Drained
) -> str:
    command = ["pvefw", "migrateall", bulk.paths.node, "--vms", ",".join(map(str, guests))]
    command += ["--with-local-disks"] if note.with_local_disks else []
    bulk.task.log(f"{node}: {' '.join(command)}")
    try:
        done = remote.run(node, command, check=False)
    except ProgramError as error:
        return f"{guest_reference.names(guests)} from {node}: {error.message}"
    for line in done.stdout.splitlines():
        bulk.task.log(f"{node}: {line}")
    if not done.returncode:
        return ""
    program = remote.rsh.split()[0]
    return f"{guest_reference.names(guests)} from {node}: {program} {done.failure}"


def _not_there(remote: Remote, node: str, guests: Sequence[Reference]) -> list[Reference]:
    """The guests that a node does not have; none where it does not say.

    One that was removed there, or has gone on to a third, keeps the others from nothing.
    """
    command = ["pvefw", "guest", "list", "--output-format", "json"]
    try:
        rows = files.parse_json(remote.run(node, command, timeout=_ANSWER_SECONDS).stdout)
        known = {Reference.parse(row["id"]).vmid for row in rows}
    except (ProgramError, *files.DAMAGED):
        return []
    return [id_ for id_ in guests if id_.vmid not in known]


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
