"""Looks tasks up: lists, logs, and how one ended."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from pvefw.errors import NotFound
from pvefw.store import files
from pvefw.store.paths import Paths
from pvefw.tasks import registry
from pvefw.tasks.registry import Entry
from pvefw.tasks.upid import Upid, runs

SOURCES = ("archive", "active", "all")


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

    def wants(self, entry: Entry) -> bool:
        """Whether a task passes."""
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
    match entry.status:
        case None if entry.end is None and runs(entry.upid):
            return "RUNNING"
        case "OK":
            return "OK"
        case None | "" | registry.UNEXPECTED:
            return "UNKNOWN"
        case text if text.startswith("WARNINGS"):
            return "WARNING"
    return "ERROR"


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


def tasks(paths: Paths, wanted: Filter, *, start: int = 0, limit: int = 50) -> list[Entry]:
    """The tasks that pass, latest first.

    :param start: how many to leave out.
    :param limit: how many at most.
    """
    passing = (one for one in _latest_first(paths, wanted.source) if wanted.wants(one))
    return list(islice(passing, start, start + limit))


def _latest_first(paths: Paths, source: str) -> Iterator[Entry]:
    # in this order: a task that ends in between is in both lists, not in none
    found = {} if source == "archive" else {one.upid: one for one in _not_archived(paths)}
    if source != "active":
        found |= {one.upid: one for one in registry.indexed(paths)}
    by_start = sorted(found.values(), key=lambda one: one.upid.start)
    yield from reversed(by_start)  # of one second, too, the one that was entered last comes first


def _not_archived(paths: Paths) -> Iterator[Entry]:
    recent = (registry.settled(paths, one) for one in registry.active(paths))
    return (one for one in recent if one.end is None or not one.saved)


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
        raise NotFound(f"{upid}: there is no log of this task on this node") from error
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
    for one in registry.indexed(paths):
        if one.upid == upid:
            return one
    if upid.log_path(paths).exists():
        return registry.settled(paths, Entry(upid))
    raise NotFound(f"{upid}: this task is not known on this node")
