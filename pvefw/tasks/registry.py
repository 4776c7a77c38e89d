"""Which tasks run and which have ended: ``active`` and ``index`` in ``/var/log/pve/tasks``.

A line of ``active`` is ``UPID 0`` while the task runs, ``UPID 1 ENDTIME STATUS`` when it has ended; a
line of ``index`` is ``UPID ENDTIME STATUS``; times are eight hexadecimal digits. Both are Proxmox VE's
formats, and ``.active.lock`` is its lock, so that both sides' tools can share the files.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pvefw.errors import UsageError
from pvefw.store import files
from pvefw.store.paths import Paths
from pvefw.tasks.upid import Upid, runs

_ACTIVE = re.compile(r"(?P<upid>\S+) [01](?: (?P<end>[0-9A-Fa-f]{8}) (?P<status>.*))?")
_INDEX = re.compile(r"(?P<upid>\S+) (?P<end>[0-9A-Fa-f]{8})(?: (?P<status>.*))?")
_LONGEST_ACTIVE = 25
"""So many ended tasks stay listed as recent; the others are found in the index."""
UNEXPECTED = "unexpected status"


@dataclass(frozen=True)
class Entry:
    """A task, running or ended."""

    upid: Upid
    end: int | None = None
    """Seconds since the epoch; ``None`` while it runs."""
    status: str | None = None


def begin(paths: Paths, upid: Upid) -> None:
    """Enter a task that starts.

    :raises StoreError: the task directory cannot be written.
    """
    with _locked(paths):
        _write_active(paths, [*_settled(paths, active(paths)), Entry(upid)])


def finish(paths: Paths, upid: Upid, end: int, status: str) -> None:
    """Enter a task's end in both files.

    :param end: seconds since the epoch.
    """
    done = Entry(upid, end, status)
    with _locked(paths):
        _append(paths, done)
        rest = [one for one in active(paths) if one.upid != upid]
        _write_active(paths, [*_settled(paths, rest), done])


def active(paths: Paths) -> list[Entry]:
    """What ``active`` lists; damaged lines are left out."""
    return list(_entries(paths.task_dir / "active", _ACTIVE))


def indexed(paths: Paths) -> Iterator[Entry]:
    """Every ended task of ``index`` and the file before it, oldest first."""
    yield from _entries(paths.task_dir / "index.1", _INDEX)
    yield from _entries(paths.task_dir / "index", _INDEX)


def _settled(paths: Paths, entries: list[Entry]) -> list[Entry]:
    """The active entries as they should be: dead ones ended, old ones left to the index."""
    running = [one for one in entries if one.end is None and runs(one.upid)]
    ended = [one for one in entries if one.end is not None]
    for one in entries:
        if one.end is None and not runs(one.upid):
            dead = Entry(one.upid, _last_sign(paths, one.upid), UNEXPECTED)
            _append(paths, dead)
            ended.append(dead)
    ended.sort(key=lambda one: one.end or 0)
    return [*ended[-_LONGEST_ACTIVE:], *running]


def _last_sign(paths: Paths, upid: Upid) -> int:
    """When a task that was killed wrote last: the best that is known of its end."""
    try:
        return int(upid.log_path(paths).stat().st_mtime)
    except OSError:
        return upid.start


def _append(paths: Paths, entry: Entry) -> None:
    line = f"{entry.upid} {entry.end:08X} {entry.status}\n"
    descriptor = os.open(
        paths.task_dir / "index", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640
    )
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def _write_active(paths: Paths, entries: list[Entry]) -> None:
    lines = [
        f"{one.upid} 0\n" if one.end is None else f"{one.upid} 1 {one.end:08X} {one.status}\n"
        for one in entries
    ]
    files.replace(paths.task_dir / "active", "".join(lines).encode())


def _entries(path: Path, form: re.Pattern[str]) -> Iterator[Entry]:
    try:
        file = path.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            match = form.fullmatch(line.rstrip("\n"))
            if match is None:
                continue
            try:
                upid = Upid.parse(match["upid"])
            except UsageError:
                continue
            yield Entry(upid, int(match["end"], 16) if match["end"] else None, match["status"])


@contextmanager
def _locked(paths: Paths) -> Iterator[None]:
    try:
        files.make_directory(paths.task_dir)
        descriptor = os.open(
            paths.task_dir / ".active.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640
        )
    except OSError as error:
        raise files.failed("write", paths.task_dir / "active", error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
