"""The ended tasks: the text files, which are the truth, and the index over them.

A file is only appended to, or another one is put in its place. So the index knows each file by its inode,
and from where to where it covers it. Whoever asks adds what has been appended since. A long history that
is not covered yet is taken in from its end backwards: a little by whoever asks, the rest by a process in
the background. Until that is done, older tasks are missing in lists, and they say so.

Where the index cannot be kept (an unprivileged caller, a disk that is full or read-only), one is made in
memory for each answer.
"""

import contextlib
import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from pvefw.core import causes
from pvefw.core.errors import Locked, PvefwError, StoreError
from pvefw.host import programs
from pvefw.host.durable import make_directory
from pvefw.store import files, locks
from pvefw.store.paths import Paths
from pvefw.tasks import registry
from pvefw.tasks.index import LARGEST, Damaged, Index, Query, Source
from pvefw.tasks.registry import TaskEntry
from pvefw.tasks.texts import Text, opened
from pvefw.tasks.upid import Upid

SMALL = 1 << 16
"""Bytes of text for which no index is kept: to read them is as quick."""
AT_ONCE = 2 << 20
"""Bytes of text that a command takes in before it answers."""
BATCH = 4 << 20
"""Bytes of text that are taken in with one transaction, where nobody waits."""
_APPENDED = 1 << 13
"""Bytes of new text from which on they are put into the index; fewer are read for each answer."""
_OFFSET_BITS = 47
_LOCK = "task-index"
_LOCK_SECONDS = 2.0

_Answer = TypeVar("_Answer")


class Archive:
    """The ended tasks, as they were when it was opened.

    :raises Damaged: the index is not one over these files.
    """

    def __init__(self, texts: list[Text], index: Index) -> None:
        self._index = index
        self._look(texts)
        self._fresh: dict[Upid, tuple[int, TaskEntry]] = {}
        """Tasks that are not in the index, and their places."""
        self._outdated: set[int] = set()
        """Places of tasks of the index that are among the fresh ones again."""

    def _look(self, texts: Iterable[Text]) -> None:
        self._sources = self._index.sources()
        # until now, others may have added to both; from now on, to the text only
        self._texts = {text.rank: text.as_it_is_now() for text in texts}
        for rank, source in self._sources.items():
            text = self._texts.get(rank)
            if (
                text is None
                or (text.device, text.inode) != (source.device, source.inode)
                or not 0 <= source.low <= source.high <= text.size
                or text.mark(source.high) != source.mark
            ):
                raise Damaged("another file")

    @property
    def complete(self) -> bool:
        """Whether every task is known."""
        return all(
            (source.low if source else _tail(text)) == 0 for text, source in self._coverage()
        )

    @property
    def appended(self) -> int:
        """Bytes of new lines that the index lacks."""
        return sum(text.end_of_lines() - source.high for text, source in self._coverage() if source)

    @property
    def all_in_index(self) -> bool:
        """Whether it lacks nothing but what was appended."""
        return all(source is not None and source.low == 0 for _, source in self._coverage())

    def _coverage(self) -> Iterator[tuple[Text, Source | None]]:
        """The files, the older first, and how far the index covers them."""
        for rank in sorted(self._texts):
            yield self._texts[rank], self._sources.get(rank)

    # --- looking up -------------------------------------------------------------------------------

    def entries(
        self,
        wanted: Query,
        wants: Callable[[TaskEntry], bool],
        active: Iterable[TaskEntry],
        start: int = 0,
        limit: int = LARGEST,
    ) -> Iterator[TaskEntry]:
        """Tasks that are wanted, latest first. Once they are looked at, the index is free for others.

        :param wants: whether a task is so: the index is not believed.
        :param active: more of them, in the order in which they were entered.
        :param start: how many to leave out.
        :param limit: how many at most.
        """
        active = [entry for entry in active if self.find(entry.upid) is None]
        places = [*self._fresh.values(), *enumerate(active, LARGEST - len(active))]
        listed = {(entry.upid.start, place): entry for place, entry in places if wants(entry)}
        # those of the page that are in the index are among so many more of it
        skip = max(start - len(listed), 0)
        most = start + limit - skip
        indexed = self._index.find(wanted, skip, most, self._outdated)
        self._index.release()
        merged = heapq.merge(sorted(listed, reverse=True), indexed, reverse=True)
        for at in islice(merged, start - skip, most):
            yield listed.get(at) or self._wanted_entry(*at, wants)

    def _wanted_entry(
        self, start: int, place: int, wants: Callable[[TaskEntry], bool]
    ) -> TaskEntry:
        entry = self._entry(place)
        if entry.upid.start != start or not wants(entry):
            raise Damaged("it lists what is not wanted")
        return entry

    def find(self, upid: Upid) -> TaskEntry | None:
        """One task."""
        if upid in self._fresh:
            return self._fresh[upid][1]
        place = self._index.place(upid)
        if place is None:
            return None if self.complete else self.search(upid)
        entry = self._entry(place)
        if entry.upid != upid:
            raise Damaged("another task")
        return entry

    def _entry(self, place: int) -> TaskEntry:
        match = registry.INDEX_LINE.fullmatch(self._line(place))
        if match is None:
            raise Damaged("no task where one should be")
        return registry.entry(match)

    def _line(self, place: int) -> str:
        text = self._texts.get(place >> _OFFSET_BITS)
        if text is None:
            raise Damaged("no such file")
        return text.line(place & (1 << _OFFSET_BITS) - 1)

    def search(self, upid: Upid) -> TaskEntry | None:
        """One task, whatever the index says: reads the text files."""
        sought = str(upid).lower().encode()
        for text in self._texts.values():
            high = text.size
            while high:
                low = text.line_from(high, BATCH)
                if sought in text.read(low, high).lower():
                    entries = [task for _, task in _tasks(text, low, high) if task.upid == upid]
                    if entries:
                        return entries[-1]
                high = low
        return None

    # --- taking in --------------------------------------------------------------------------------

    def take_in(self, size: int) -> int:
        """Put what was appended into the index, and then what is older, newest first.

        :param size: bytes at most.
        :returns: how many it were.
        :raises Damaged: more was appended, and a new index, begun at the end, is better; or the index
            cannot be written.
        """
        left = size
        for text in self._texts.values():
            end = text.end_of_lines()
            source = self._sources.get(text.rank) or Source(
                text.device, text.inode, end, end, text.mark(end)
            )
            if end - source.high > left:
                raise Damaged("far behind")
            left -= self._add(text, source.high, end)
            self._cover(text.rank, replace(source, high=end, mark=text.mark(end)))
        for text in self._texts.values():
            source = self._sources[text.rank]
            while source.low > 0 and left > 0:
                low = text.line_from(source.low, min(left, source.low))
                left -= self._add(text, low, source.low)
                source = replace(source, low=low)
                self._cover(text.rank, source)
        self._index.save()
        return size - left

    def undo(self) -> None:
        """Leave out what was not saved."""
        self._index.undo()
        self._look(self._texts.values())

    def read_on(self) -> None:
        """Read what comes after the lines of the index, also a last line without end: it may grow."""
        for text, source in self._coverage():
            low = source.high if source else _tail(text)
            for place, entry in _tasks(text, low, text.size):
                self._fresh[entry.upid] = place, entry
        if not self._sources:
            return
        for upid, (place, _) in list(self._fresh.items()):
            kept = self._index.place(upid)
            if kept is not None and kept > place:
                del self._fresh[upid]
            elif kept is not None:
                self._outdated.add(kept)

    def _add(self, text: Text, low: int, high: int) -> int:
        self._index.add(_tasks(text, low, high))
        return high - low

    def _cover(self, rank: int, source: Source) -> None:
        self._sources[rank] = source
        self._index.cover(rank, source)


def _tail(text: Text) -> int:
    """Where the lines begin that are read for each answer, of a file that is not in the index."""
    return text.line_from(text.size, min(AT_ONCE, text.size))


def _tasks(text: Text, low: int, high: int) -> Iterator[tuple[int, TaskEntry]]:
    """The tasks of some lines, and where these begin."""
    place = text.rank << _OFFSET_BITS | low
    for line in text.read(low, high).split(b"\n"):
        if match := registry.INDEX_LINE.fullmatch(line.decode(errors="replace")):
            yield place, registry.entry(match)
        place += len(line) + 1


# --- opening ----------------------------------------------------------------------------------------


def ask(paths: Paths, question: Callable[[Archive], _Answer]) -> tuple[_Answer, bool]:
    """Ask something about the ended tasks.

    :param question: called with the archive; again, if the index turns out to be damaged.
    :returns: the answer, and whether every task was known.
    :raises StoreError: the text files cannot be read.
    """
    for access in (_kept, _anew, _in_memory):
        try:
            with opened(paths) as texts, access(paths, texts) as archive:
                answer, complete = question(archive), archive.complete
        except Damaged:
            continue
        if not complete:
            _go_on_in_background(paths)
        return answer, complete
    raise StoreError(
        f"{paths.task_dir}/index: the file keeps changing while it is being read", hint="Try again."
    )


def bring_up_to_date(paths: Paths, *, rebuild: bool = False) -> int:
    """Take everything into the index that is kept.

    :param rebuild: make a new one.
    :returns: how many tasks there are.
    :raises Locked: another process is at it.
    :raises StoreError: the text files cannot be read, or the index cannot be written.
    """
    reason = ""
    with locks.local_lock(paths, _LOCK, timeout=0):
        for anew in (rebuild or not paths.task_index.exists(), True):
            try:
                if anew:
                    _make(paths.task_index)
                with opened(paths) as texts, _indexed(paths.task_index) as index:
                    index.check()
                    _take_in_all(Archive(texts, index))
                    return len(index)
            except Damaged as error:
                reason = str(error)
    raise StoreError(f"{paths.task_index}: could not write the file: {reason}")


@contextlib.contextmanager
def _kept(paths: Paths, texts: list[Text]) -> Iterator[Archive]:
    """With the index that is kept, brought up to date as far as nobody has to wait for it."""
    if sum(text.size for text in texts) <= SMALL:
        with _indexed(None) as index:
            archive = Archive(texts, index)
            archive.read_on()
            yield archive
        return
    before = _identity(paths.task_index)
    with _indexed(paths.task_index) as index:
        archive = Archive(texts, index)
        if archive.appended > AT_ONCE:
            raise Damaged("far behind")
        if archive.appended >= _APPENDED or not archive.all_in_index:
            going_on = _write(paths, archive, before)
            if not going_on and not archive.complete:
                raise Damaged("it will never be complete")
        archive.read_on()
        yield archive


@contextlib.contextmanager
def _anew(paths: Paths, texts: list[Text]) -> Iterator[Archive]:
    """With a new index in the place of the one that is kept."""
    try:
        with locks.local_lock(paths, _LOCK, timeout=_LOCK_SECONDS):
            _make(paths.task_index)
    except PvefwError as error:
        raise Damaged(error.message) from error
    with _kept(paths, texts) as archive:
        yield archive


@contextlib.contextmanager
def _in_memory(_paths: Paths, texts: list[Text]) -> Iterator[Archive]:
    """With an index in memory, of everything."""
    with _indexed(None) as index:
        archive = Archive(texts, index)
        _take_in_all(archive)
        archive.read_on()
        yield archive


def _indexed(path: Path | None) -> contextlib.closing[Index]:
    """With the index of this path, or a new one in memory."""
    return contextlib.closing(Index(path, create=path is None))


def _take_in_all(archive: Archive) -> None:
    while archive.take_in(BATCH) or not archive.complete:
        pass


def _write(paths: Paths, archive: Archive, identity: tuple[int, int] | None) -> bool:
    """Take some more into the index; whether it is kept, or another process is at it."""
    try:
        with locks.local_lock(paths, _LOCK, timeout=0):
            if _identity(paths.task_index) == identity:
                archive.take_in(AT_ONCE)
    except Locked:
        return True
    except (PvefwError, Damaged):
        archive.undo()
        return False
    return True


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _make(path: Path) -> None:
    """Put an empty index in the place of whatever is there; its caller holds the lock.

    :raises StoreError: it cannot be written.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        make_directory(path.parent)
        for left in (fresh, _journal(fresh), _journal(path)):  # a journal would be played back
            left.unlink(missing_ok=True)
        Index(fresh, create=True).close()
    except (OSError, Damaged) as error:
        raise StoreError(f"{path}: could not write the file: {causes.of(error)}") from error
    files.rename(fresh, path)


def _journal(path: Path) -> Path:
    """SQLite's rollback journal of a database."""
    return path.with_name(f"{path.name}-journal")


def _go_on_in_background(paths: Paths) -> None:
    """Have another process take in the rest, unless one is at it."""
    with contextlib.suppress(PvefwError), locks.local_lock(paths, _LOCK, timeout=0):
        programs.start_pvefw("task", "index", "--root", str(paths.root), "--node", paths.node)
