"""Which tasks run and which have ended: ``active`` and ``index`` in ``/var/log/pve/tasks``.

A line of ``active`` is ``UPID 0`` while the task runs, ``UPID SAVED ENDTIME STATUS`` when it has ended;
SAVED is 1 where it is in ``index``, too. A line of ``index`` is ``UPID ENDTIME STATUS``; times are
eight hexadecimal digits. Both are Proxmox VE's formats, and ``.active.lock`` is its lock, so that both
sides' tools can share the files. A task of theirs is entered as ended some time after it wrote the last
line of its log, which says how: whoever comes first does it.
"""

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pvefw.host import foreign, reading
from pvefw.host.durable import make_directory
from pvefw.store import files, locks
from pvefw.store.paths import Paths
from pvefw.tasks.upid import PATTERN, Upid, runs

_END = r"(?: (?P<end>[0-9A-Fa-f]{8})(?: (?P<status>.*))?)?"
_ACTIVE = re.compile(PATTERN + r" (?P<saved>[01])" + _END)
INDEX_LINE = re.compile(PATTERN + r"(?P<saved>)" + _END)
"""A line of the index, without its end."""
_RUNS = b" 0\n"
"""How a line of ``active`` ends whose task has not; that of an error may, too."""
_LAST_LINE = re.compile(r"TASK (?:(?P<well>OK|WARNINGS: \d+)|ERROR: (?P<error>.+))")
_PATIENCE = 30.0
"""Seconds to wait for the lock of the lists; it is held for milliseconds."""
_TAIL = 4096
"""Bytes at the end of a log in which its last line is looked for."""
_LONGEST_ACTIVE = 25
"""So many ended tasks stay listed as recent; the others are found in the index."""
UNEXPECTED = "unexpected status"


@dataclass(frozen=True)
class TaskEntry:
    """A task, running or ended."""

    upid: Upid
    end: int | None = None
    """Seconds since the epoch; ``None`` while it runs."""
    status: str | None = None
    saved: bool = field(default=True, compare=False)
    """Whether it is in the index."""


def begin(paths: Paths, upid: Upid) -> None:
    """Enter a task that starts.

    :raises StoreError: the task directory cannot be written.
    """
    with locked(paths):
        _update(paths, [*active(paths), TaskEntry(upid, saved=False)])


def finish(paths: Paths, upid: Upid, end: int, status: str) -> None:
    """Enter a task's end in both files.

    :param end: seconds since the epoch.
    :raises StoreError: the task directory cannot be written.
    """
    with locked(paths):
        others = [task_entry for task_entry in active(paths) if task_entry.upid != upid]
        _update(paths, [*others, TaskEntry(upid, end, status, saved=False)])


def forget(paths: Paths, upid: Upid) -> None:
    """Strike off a task that runs, and remove its log.

    :raises StoreError: the task directory cannot be written.
    """
    with locked(paths):
        _update(paths, [task_entry for task_entry in active(paths) if task_entry.upid != upid])
    files.remove(upid.log_path(paths))


def settle(paths: Paths) -> None:
    """Enter the ends of tasks whose processes have gone without doing it: killed, or Proxmox VE's.

    :raises StoreError: the task directory cannot be written.
    """
    if any(
        task_entry.end is None and settled(paths, task_entry).end is not None
        for task_entry in active(paths)
    ):
        with locked(paths):
            _update(paths, active(paths))


def remove(paths: Paths, upids: Collection[bytes]) -> None:
    """Strike ended tasks off all lists; who calls holds the lock. What is no task's line stays.

    :param upids: as they are in the index.
    :raises StoreError: a list cannot be written.
    """
    listed = active(paths)
    kept = [
        task_entry
        for task_entry in listed
        if not task_entry.saved or str(task_entry.upid).encode() not in upids
    ]
    if len(kept) < len(listed):
        _write_active(paths, kept)
    for path in indexes(paths):
        if any(first_word(line) in upids for line in raw_lines(path)):
            lines = (line for line in raw_lines(path) if first_word(line) not in upids)
            files.rewrite(path, lines)


def raw_lines(path: Path) -> Iterator[bytes]:
    """The lines of a list with their ends; none where there is no such file.

    :raises StoreError: it cannot be read.
    """
    try:
        with reading.opened(path) as file:
            yield from reading.lines(file)
    except FileNotFoundError:
        return
    except OSError as error:
        raise files.failed("read", path, error) from error


def first_word(line: bytes) -> bytes:
    """The UPID of a line, if it has one."""
    return line.rstrip(b"\n").partition(b" ")[0]


def active(paths: Paths) -> list[TaskEntry]:
    """What ``active`` lists; damaged lines are left out.

    :raises StoreError: it cannot be read.
    """
    return list(_entries(paths.task_dir / "active", _ACTIVE))


def stamp(paths: Paths) -> object:
    """What is another whenever a list of tasks may be another, with the state of the index over it.

    :returns: ``None`` where a task has lost its process: how it ended is in its log only.
    :raises StoreError: ``active`` cannot be read.
    """
    lists = (paths.task_dir / "active", *indexes(paths), paths.task_index)
    stamps = [_file_stamp(list_) for list_ in lists]
    return stamps if all(map(_still_runs, raw_lines(lists[0]))) else None


def _still_runs(line: bytes) -> bool:
    """Whether a line of ``active`` says what is so: the task has ended, or its process is there."""
    if not line.endswith(_RUNS):
        return True
    match = _ACTIVE.fullmatch(line.decode("utf-8", "replace").rstrip("\n"))
    return match is None or match["end"] is not None or runs(Upid.of(match))


def _file_stamp(path: Path) -> object:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def indexed(paths: Paths) -> Iterator[TaskEntry]:
    """Every ended task of ``index`` and the file before it, oldest first.

    :raises StoreError: it cannot be read.
    """
    for path in reversed(indexes(paths)):
        yield from _entries(path, INDEX_LINE)


def indexes(paths: Paths) -> tuple[Path, Path]:
    """Where ended tasks are kept: the file that grows, and the one that Proxmox VE rotated it to."""
    return paths.task_dir / "index", paths.task_dir / "index.1"


def outcome(status: str | None) -> str:
    """How a task ended, by its status: ``OK``, ``WARNING``, ``ERROR`` or ``UNKNOWN``."""
    if status == "OK":
        return "OK"
    if not status or status == UNEXPECTED:
        return "UNKNOWN"
    return "WARNING" if status.startswith("WARNINGS") else "ERROR"


def settled(paths: Paths, entry: TaskEntry) -> TaskEntry:
    """The entry, with its end where the process has gone without entering it."""
    if entry.end is not None or runs(entry.upid):
        return entry
    log = entry.upid.log_path(paths)
    try:
        end = int(log.stat().st_mtime)  # its last sign of life: nobody knows better
    except OSError:
        end = entry.upid.start
    return replace(entry, end=end, status=_last_status(log))


def _last_status(log: Path) -> str:
    """How a task ended, by the last line of its log."""
    try:
        with reading.opened(log) as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _TAIL, 0))
            last = file.read().decode(errors="replace").rstrip("\n").rpartition("\n")[2]
    except OSError:
        return UNEXPECTED
    match = _LAST_LINE.fullmatch(last)
    return (match["well"] or match["error"]) if match else UNEXPECTED


def _update(paths: Paths, entries: list[TaskEntry]) -> None:
    """Write the active entries as they should be: dead ones ended, old ones left to the index."""
    now = [settled(paths, task_entry) for task_entry in entries]
    running = [task_entry for task_entry in now if task_entry.end is None]
    ended = sorted(
        (task_entry for task_entry in now if task_entry.end is not None),
        key=lambda task_entry: task_entry.end or 0,
    )
    try:
        _append(paths, [task_entry for task_entry in ended if not task_entry.saved])
    except OSError as error:
        # they stay marked as not saved, and the next who comes tries again
        _write_active(paths, [*ended, *running])
        raise files.failed("write", paths.task_dir / "index", error) from error
    recent = [replace(task_entry, saved=True) for task_entry in ended[-_LONGEST_ACTIVE:]]
    _write_active(paths, [*recent, *running])


def _append(paths: Paths, entries: list[TaskEntry]) -> None:
    """Add all of these to the index, or none. Everybody may read it, as Proxmox VE's web server does."""
    if not entries:
        return
    lines = "".join(
        f"{task_entry.upid} {task_entry.end:08X} {task_entry.status or UNEXPECTED}\n"
        for task_entry in entries
    )
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    descriptor = foreign.open_file(paths.task_dir / "index", flags, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        torn = size and os.pread(descriptor, 1, size - 1) != b"\n"  # somebody died while writing
        data = ("\n" * bool(torn) + lines).encode(errors="replace")
        try:
            while data:
                data = data[os.write(descriptor, data) :]
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def _write_active(paths: Paths, entries: list[TaskEntry]) -> None:
    lines = [
        f"{task_.upid} 0\n"
        if task_.end is None
        else f"{task_.upid} {int(task_.saved)} {task_.end:08X} {task_.status or UNEXPECTED}\n"
        for task_ in entries
    ]
    files.replace(paths.task_dir / "active", "".join(lines).encode(errors="replace"))


def _entries(path: Path, form: re.Pattern[str]) -> Iterator[TaskEntry]:
    for line in raw_lines(path):
        if match := form.fullmatch(line.decode(errors="replace").rstrip("\n")):
            yield entry(match)


def entry(match: re.Match[str]) -> TaskEntry:
    """The entry of a line that matched."""
    end = int(match["end"], 16) if match["end"] else None
    return TaskEntry(Upid.of(match), end, match["status"], saved=match["saved"] != "0")


@contextmanager
def locked(paths: Paths) -> Iterator[None]:
    """Hold the lock of the lists.

    :raises StoreError: the task directory cannot be written.
    :raises Locked: somebody keeps it.
    """
    try:
        make_directory(paths.task_dir)
    except OSError as error:
        raise files.failed("write", paths.task_dir / "active", error) from error
    lock = paths.task_dir / ".active.lock"
    with locks.shared_file_lock(lock, "task list", timeout=_PATIENCE, mode=0o640):
        yield
