"""Looks tasks up: lists, logs, and how one ended."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import TextIOWrapper
from itertools import islice
from typing import TextIO

from pvefw.core.errors import NotFound
from pvefw.host import reading
from pvefw.store import files
from pvefw.store.paths import Paths
from pvefw.tasks import archive, registry
from pvefw.tasks.archive import Archive
from pvefw.tasks.index import STATES, Query
from pvefw.tasks.registry import TaskEntry
from pvefw.tasks.upid import Upid, runs

KILLED = (
    "its process ended without writing how: killed (SIGKILL, out of memory), or the node went down"
)
_READERS, _LOGS_AT_ONCE = 8, 32
_PIECE = 1 << 16
_LONGEST_LINE = 1 << 20
"""Characters of a line of a log."""
_MOST = 1 << 61
"""Tasks in a list, or lines of a log: more than there can be."""


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
    def archived(self) -> Query:
        """The same of tasks that have ended, whose logs are not looked at."""
        states = {state.upper() for state in self.states} or {*STATES}
        if self.errors:
            states &= {"ERROR", "UNKNOWN"}
        return Query(
            since=self.since,
            until=self.until,
            type=self.type,
            id=None if self.vmid is None else str(self.vmid),
            user=self.user,
            states=states & {*STATES} if self.states or self.errors else None,
        )

    def wants(self, entry: TaskEntry) -> bool:
        """Whether a task passes; its log is not looked at."""
        upid, state_ = entry.upid, state(entry)
        return (
            (not self.errors or state_ in ("ERROR", "UNKNOWN"))
            and (self.vmid is None or upid.id == str(self.vmid))
            and (self.since is None or upid.start >= self.since)
            and (self.until is None or upid.start <= self.until)
            and (self.type is None or self.type == upid.type)
            and (not self.states or state_.lower() in self.states)
            and (self.user is None or self.user.lower() in upid.user.lower())
        )


def state(entry: TaskEntry) -> str:
    """``RUNNING``, ``OK``, ``WARNING``, ``ERROR`` or ``UNKNOWN``."""
    if entry.end is None and not entry.saved and runs(entry.upid):
        return "RUNNING"
    return registry.outcome(entry.status)


def explanation(entry: TaskEntry) -> str:
    """What there is to say on an end that says nothing itself; else nothing."""
    return KILLED if entry.end is not None and entry.status == registry.UNEXPECTED else ""


def as_dict(entry: TaskEntry) -> dict[str, object]:
    """A task for programs, with the keys of the reference's API; what has no value is left out."""
    upid = entry.upid
    members: dict[str, object] = {
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
        members["endtime"] = entry.end
    if entry.status is not None:
        members["status"] = entry.status
    elif state(entry) == "RUNNING":
        members["status"] = "RUNNING"
    return members


def tasks(
    paths: Paths,
    wanted: Filter,
    *,
    start: int = 0,
    limit: int = 50,
    note: Callable[[str], None] | None = None,
) -> list[TaskEntry]:
    """The tasks that pass, latest first.

    :param start: how many to leave out.
    :param limit: how many at most.
    :param note: told, in a sentence, where older tasks are missing because they are not indexed yet.
    :raises StoreError: the lists cannot be read.
    """
    says = None if wanted.text is None else partial(_says, paths, os.fsencode(wanted.text))
    # first these: a task that ends in between is in both lists, not in none
    recent = [] if wanted.source == "archive" else _not_archived(paths)
    start, limit = min(start, _MOST), min(limit, _MOST)
    if wanted.source == "active":
        latest = sorted(recent, key=lambda entry: entry.upid.start)[::-1]
        return _page(filter(wanted.wants, latest), says, start, limit)

    def page(kept: Archive) -> list[TaskEntry]:
        if says is None:
            return list(kept.entries(wanted.archived, wanted.wants, recent, start, limit))
        return _page(kept.entries(wanted.archived, wanted.wants, recent), says, start, limit)

    entries, complete = archive.ask(paths, page)
    if note and not complete:
        note("The history is being indexed; older tasks are not listed until that is done.")
    return entries


def _page(
    entries: Iterator[TaskEntry], says: Callable[[TaskEntry], bool] | None, start: int, limit: int
) -> list[TaskEntry]:
    """A part of those whose logs say it."""
    sifted = entries if says is None else _sifted(entries, says)
    return list(islice(sifted, start, start + limit))


def _sifted(entries: Iterator[TaskEntry], says: Callable[[TaskEntry], bool]) -> Iterator[TaskEntry]:
    """Those whose logs say it, in order; logs are read side by side, as disks like it."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_READERS) as readers:
        while ahead := list(islice(entries, _READERS * _LOGS_AT_ONCE)):
            parts = [ahead[at::_READERS] for at in range(_READERS)]
            answers: list[list[bool]] = list(
                readers.map(lambda part: [says(entry) for entry in part], parts)
            )
            for at, entry in enumerate(ahead):
                if answers[at % _READERS][at // _READERS]:
                    yield entry


def _says(paths: Paths, text: bytes, entry: TaskEntry) -> bool:
    """Whether a task's log contains a text."""
    path = entry.upid.log_path(paths)
    before = b""
    try:
        with reading.opened(path) as file:
            while piece := file.read1(_PIECE):
                piece = before + piece
                if text in piece:
                    return True
                before = piece[max(len(piece) - len(text) + 1, 0) :]
    except FileNotFoundError:
        pass
    except OSError as error:
        raise files.failed("read", path, error) from error
    return False


def _not_archived(paths: Paths) -> list[TaskEntry]:
    """What ``active`` lists and the index does not, in the order in which it was entered."""
    recent = [registry.settled(paths, entry) for entry in registry.active(paths)]
    return [entry for entry in recent if entry.end is None or not entry.saved]


def log(paths: Paths, upid: Upid, *, start: int = 0, limit: int | None = None) -> Iterator[str]:
    """The lines of a task's log.

    :param start: how many lines to leave out.
    :param limit: how many at most; ``None`` for all.
    :raises NotFound: there is no log of it on this node.
    """
    start = min(start, _MOST)
    with open_log(paths, upid) as file:
        lines_ = (line for line, _ in lines(file))
        yield from islice(lines_, start, None if limit is None else start + min(limit, _MOST))


def lines(file: TextIO, begun: str = "") -> Iterator[tuple[str, bool]]:
    """The lines of a log without their ends, as far as it is written, and whether each is whole.

    Of a line, no more is kept than can be shown: a program may have written a file without any break.

    :param begun: what there was of the first one.
    """
    line = begun
    while part := file.readline(_PIECE):
        whole = part.endswith("\n")
        line += part.rstrip("\n")[: _LONGEST_LINE - len(line)]
        if whole:
            yield line, True
            line = ""
    if line:
        yield line, False


def open_log(paths: Paths, upid: Upid) -> TextIO:
    """A task's log.

    :raises NotFound: there is none of it on this node.
    :raises StoreError: it cannot be read.
    """
    path = upid.log_path(paths)
    try:
        return TextIOWrapper(reading.opened(path), encoding="utf-8", errors="replace", newline="\n")
    except FileNotFoundError as error:
        raise _unknown(paths, upid, "there is no log of this task on this node") from error
    except OSError as error:
        raise files.failed("read", path, error) from error


def status(paths: Paths, upid: Upid) -> TaskEntry:
    """How a task ended, or that it runs.

    :raises NotFound: nothing is known of it.
    """
    for entry in registry.active(paths):
        if entry.upid == upid:
            return registry.settled(paths, entry)
    archived, _ = archive.ask(paths, lambda kept: kept.find(upid) or kept.search(upid))
    if archived is not None:
        return archived
    if upid.log_path(paths).exists():
        return registry.settled(paths, TaskEntry(upid, saved=False))
    raise _unknown(paths, upid, "this task is not known on this node")


def _unknown(paths: Paths, upid: Upid, why: str) -> NotFound:
    """Logs and lists are each node's own."""
    if upid.node != paths.node:
        return NotFound(f"{upid}: {why}", hint=f"It ran on {upid.node}: look there.")
    return NotFound(
        f"{upid}: {why}",
        hint="See what there is: pvefw task list --source all. Old tasks are removed over time.",
    )
