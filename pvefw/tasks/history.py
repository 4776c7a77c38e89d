"""Looks tasks up: lists, logs, and how one ended."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

from pvefw.core.errors import NotFound
from pvefw.store import files
from pvefw.store.paths import Paths
from pvefw.tasks import archive, registry
from pvefw.tasks.archive import Archive
from pvefw.tasks.database import Damaged
from pvefw.tasks.index import STATES
from pvefw.tasks.registry import Entry
from pvefw.tasks.upid import Upid, runs

KILLED = (
    "its process ended without writing how: killed (SIGKILL, out of memory), or the node went down"
)
_READERS, _LOGS_AT_ONCE = 8, 32
_PIECE = 1 << 16


@dataclass(frozen=True)
class Filter:
    """Which tasks to list; what is ``None`` does not restrict."""

    source: str = "archive"
    """``active`` for what is not in the archive yet, ``all`` for both."""
    errors: bool = False
    vmid: int | None = None
    since: int | None = None
    """Seconds since the epoch."""
    until: int | None = None
    type: str | None = None
    states: frozenset[str] = frozenset()
    """Of ``ok``, ``error``, ``warning``, ``unknown``, ``running``; empty for all."""
    user: str | None = None
    """A part of the user's name, in any case."""
    text: str | None = None
    """A part of a line of the log; only :func:`tasks` looks for it."""

    @property
    def archived_states(self) -> frozenset[str] | None:
        """The states that pass, of tasks that have ended; ``None`` for all."""
        if not self.errors and not self.states:
            return None
        states = {one.upper() for one in self.states} if self.states else {*STATES}
        return frozenset(states & {"ERROR", "UNKNOWN"} if self.errors else states)

    def wants(self, entry: Entry) -> bool:
        """Whether a task passes; its log is not looked at."""
        upid, found = entry.upid, state(entry)
        return (
            (not self.errors or found in ("ERROR", "UNKNOWN"))
            and (self.vmid is None or upid.id == str(self.vmid))
            and (self.since is None or upid.start >= self.since)
            and (self.until is None or upid.start <= self.until)
            and (self.type is None or self.type == upid.type)
            and (not self.states or found.lower() in self.states)
            and (self.user is None or self.user.lower() in upid.user.lower())
        )


def state(entry: Entry) -> str:
    """``RUNNING``, ``OK``, ``WARNING``, ``ERROR`` or ``UNKNOWN``."""
    if entry.end is None and not entry.saved and runs(entry.upid):
        return "RUNNING"
    return registry.outcome(entry.status)


def explanation(entry: Entry) -> str:
    """What there is to say on an end that says nothing itself; else nothing."""
    return KILLED if entry.end is not None and entry.status == registry.UNEXPECTED else ""


def as_dict(entry: Entry) -> dict[str, object]:
    """A task for programs, with the keys of the reference's API; what has no value is left out."""
    upid = entry.upid
    found: dict[str, object] = {
        "upid": str(upid),
        "node": upid.node,
        "pid": upid.pid,
        "pstart": upid.pstart,
        "starttime": upid.start,
        "type": upid.type,
        "id": upid.id,
        "user": upid.user,
    }
    if entry.end is not None:
        found["endtime"] = entry.end
    if entry.status is not None:
        found["status"] = entry.status
    elif state(entry) == "RUNNING":
        found["status"] = "RUNNING"
    return found


def tasks(
    paths: Paths,
    wanted: Filter,
    *,
    start: int = 0,
    limit: int = 50,
    note: Callable[[str], None] | None = None,
) -> list[Entry]:
    """The tasks that pass, latest first.

    :param start: how many to leave out.
    :param limit: how many at most.
    :param note: told, in a sentence, where older tasks are missing because they are not indexed yet.
    :raises StoreError: the lists cannot be read.
    """
    says = None if wanted.text is None else partial(_says, paths, os.fsencode(wanted.text))
    # first these: a task that ends in between is in both lists, not in none
    recent = [] if wanted.source == "archive" else _not_archived(paths)
    recent = [one for one in recent if wanted.wants(one) and (says is None or says(one))]
    if wanted.source == "active":
        return sorted(recent, key=_start, reverse=True)[start : start + limit]

    def page(kept: Archive) -> list[Entry]:
        mine = [one for one in recent if kept.find(one.upid) is None]
        # those of the page that are archived are among so many more archived ones
        skip = max(start - len(mine), 0)
        archived = _archived(kept, wanted, says, slice(skip, start + limit))
        merged = sorted([*mine, *archived], key=_start, reverse=True)
        return merged[start - skip : start - skip + limit]

    found, complete = archive.ask(paths, page)
    if note and not complete:
        note("The history is being indexed; older tasks are not listed until that is done.")
    return found


def _archived(
    kept: Archive, wanted: Filter, says: Callable[[Entry], bool] | None, part: slice
) -> list[Entry]:
    """A part of the archived tasks that pass."""
    sought = kept.wanted(
        states=wanted.archived_states,
        words=(wanted.type, None if wanted.vmid is None else str(wanted.vmid)),
        user=wanted.user,
        since=wanted.since,
        until=wanted.until,
    )
    if says is None:
        found = kept.entries(sought, part)
    else:
        found = list(islice(_sifted(kept.all_entries(sought), says), part.start, part.stop))
    if not all(map(wanted.wants, found)):
        raise Damaged("it lists what is not wanted")
    return found


def _sifted(entries: Iterator[Entry], says: Callable[[Entry], bool]) -> Iterator[Entry]:
    """Those whose logs say it, in order; logs are read side by side, as disks like it."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_READERS) as readers:
        while ahead := list(islice(entries, _READERS * _LOGS_AT_ONCE)):
            parts = [ahead[at::_READERS] for at in range(_READERS)]
            answers: list[list[bool]] = list(
                readers.map(lambda part: [says(one) for one in part], parts)
            )
            for at, one in enumerate(ahead):
                if answers[at % _READERS][at // _READERS]:
                    yield one


def _says(paths: Paths, text: bytes, entry: Entry) -> bool:
    """Whether a task's log contains a text."""
    path = entry.upid.log_path(paths)
    before = b""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while piece := os.read(descriptor, _PIECE):
                piece = before + piece
                if text in piece:
                    return True
                before = piece[max(len(piece) - len(text) + 1, 0) :]
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise files.failed("read", path, error) from error
    return False


def _start(entry: Entry) -> int:
    return entry.upid.start


def _not_archived(paths: Paths) -> list[Entry]:
    """What ``active`` lists and the index does not, the one that was entered last first."""
    recent = [registry.settled(paths, one) for one in registry.active(paths)]
    return [one for one in reversed(recent) if one.end is None or not one.saved]


def log(paths: Paths, upid: Upid, *, start: int = 0, limit: int | None = None) -> Iterator[str]:
    """The lines of a task's log.

    :param start: how many lines to leave out.
    :param limit: how many at most; ``None`` for all.
    :raises NotFound: there is no log of it on this node.
    """
    path = upid.log_path(paths)
    try:
        file = path.open(encoding="utf-8", errors="replace", newline="\n")
    except FileNotFoundError as error:
        raise _unknown(paths, upid, "there is no log of this task on this node") from error
    except OSError as error:
        raise files.failed("read", path, error) from error
    with file:
        for line in islice(file, start, None if limit is None else start + limit):
            yield line.rstrip("\n")


def status(paths: Paths, upid: Upid) -> Entry:
    """How a task ended, or that it runs.

    :raises NotFound: nothing is known of it.
    """
    for one in registry.active(paths):
        if one.upid == upid:
            return registry.settled(paths, one)
    found, _ = archive.ask(paths, lambda kept: kept.find(upid))
    if found is not None:
        return found
    if upid.log_path(paths).exists():
        return registry.settled(paths, Entry(upid, saved=False))
    raise _unknown(paths, upid, "this task is not known on this node")


def _unknown(paths: Paths, upid: Upid, why: str) -> NotFound:
    """Logs and lists are each node's own."""
    if upid.node != paths.node:
        return NotFound(f"{upid}: {why}", hint=f"It ran on {upid.node}: look there.")
    return NotFound(
        f"{upid}: {why}",
        hint="See what there is: pvefw task list --source all. Old tasks are removed by and by.",
    )
