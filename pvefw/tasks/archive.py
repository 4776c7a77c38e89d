"""The ended tasks: the text files, which are the truth, and the index over them.

A file is only appended to, or another one is put in its place. So the index knows each file by its inode,
and from where to where it covers it. Whoever asks adds what has been appended since. A long history that
is not covered yet is taken in from its end backwards: a little by whoever asks, the rest by a process in
the background. Until that is done, older tasks are missing in lists, and they say so.

Where the index cannot be kept (an unprivileged caller, a disk that is full or read-only), one is made in
memory for each answer.
"""

import contextlib
import re
import zlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from pvefw.core.errors import Locked, PvefwError, StoreError
from pvefw.host import programs
from pvefw.host.durable import make_directory
from pvefw.store import files, locks
from pvefw.store.paths import Paths
from pvefw.tasks import database, registry
from pvefw.tasks.database import Damaged
from pvefw.tasks.index import STATES, Index, Row, Source, Wanted
from pvefw.tasks.registry import Entry
from pvefw.tasks.texts import Text, opened
from pvefw.tasks.upid import Upid
from pvefw.tasks.words import KINDS

SMALL = 1 << 16
"""Bytes of text for which no index is kept: to read them is as quick."""
AT_ONCE = 2 << 20
"""Bytes of text that a command takes in before it answers."""
BATCH = 4 << 20
"""Bytes of text that are taken in with one transaction, where nobody waits."""
_APPENDED = 1 << 15
"""Bytes of new text from which on the index is written, not only added to in memory."""
_OFFSET_BITS = 48
_LOCK = "task-index"
_LOCK_SECONDS = 2.0

_Answer = TypeVar("_Answer")


class Archive:
    """The ended tasks, as they were when it was opened."""

    def __init__(self, texts: list[Text], kept: Index) -> None:
        self._texts = {one.rank: one for one in texts}
        self._index = kept

    # --- looking up -------------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether every task is known."""
        return all(
            rank in self._index.sources and self._index.sources[rank].low == 0
            for rank in self._texts
        )

    def entries(self, wanted: Wanted, part: slice) -> list[Entry]:
        """A part of the tasks that are wanted, latest first."""
        found = self._index.find(wanted, part.start)
        return [self._entry(place) for place in islice(found, part.stop - part.start)]

    def all_entries(self, wanted: Wanted) -> Iterator[Entry]:
        """All of them, one after the other; the index is free for others while they are looked at."""
        places = array("Q", self._index.find(wanted))
        self._index.release()
        return map(self._entry, places)

    def find(self, upid: Upid) -> Entry | None:
        """One task."""
        for place in self._index.places(upid.start, zlib.crc32(str(upid).encode())):
            entry = self._entry(place)
            if entry.upid == upid:
                return entry
        return None if self.complete else self._search(upid)

    def wanted(
        self,
        *,
        states: frozenset[str] | None,
        words: tuple[str | None, str | None],
        user: str | None,
        since: int | None,
        until: int | None,
    ) -> Wanted:
        """What to look for, in the index' own terms.

        :param words: type and id.
        :param user: a part of the user's name.
        """
        numbers = [
            None if text is None else self._index.words.known(kind, text)
            for kind, text in enumerate(words)
        ]
        numbers.append(
            None if user is None else self._index.words.known_with(KINDS.index("user"), user)
        )
        kept = None if states is None else [STATES.index(one) for one in states & {*STATES}]
        return Wanted(since, until, kept, tuple(numbers))

    def _entry(self, place: int) -> Entry:
        match = registry.INDEX_LINE.fullmatch(self._line(place))
        if match is None:
            raise Damaged("no task where one should be")
        return registry.entry(match)

    def _line(self, place: int) -> str:
        text = self._texts.get(place >> _OFFSET_BITS)
        if text is None:
            raise Damaged("no such file")
        return text.line(place & (1 << _OFFSET_BITS) - 1)

    def _search(self, upid: Upid) -> Entry | None:
        """Look for a task in what the index does not cover yet."""
        sought = f"{upid} ".encode()
        for text in self._texts.values():
            source = self._index.sources.get(text.rank)
            high = source.low if source else text.size
            while high:
                low = text.line_from(high, BATCH)
                data = b"\n" + text.read(low, high)
                if (at := data.rfind(b"\n" + sought)) >= 0:
                    return self._entry(text.rank << _OFFSET_BITS | low + at)
                high = low
        return None

    # --- taking in --------------------------------------------------------------------------------

    def check(self) -> None:
        """Whether the index is one over these files.

        :raises Damaged: it is not.
        """
        for rank, source in self._index.sources.items():
            text = self._texts.get(rank)
            if (
                text is None
                or (text.device, text.inode) != (source.device, source.inode)
                or not 0 <= source.low <= source.high <= text.size
                or text.mark(source.high) != source.mark
            ):
                raise Damaged("another file")

    def take_in(self, size: int) -> int:
        """Take in what was appended, and then what is older, newest first.

        :param size: bytes at most.
        :returns: how many it were.
        :raises Damaged: more was appended: a new index, begun at the end, is better.
        """
        left = size
        for text in self._texts.values():
            end = text.end_of_lines()
            source = self._index.sources.get(text.rank) or Source(
                text.device, text.inode, end, end, text.mark(end)
            )
            if end - source.high > left:
                raise Damaged("far behind")
            self._add(text, source.high, end)
            left -= end - source.high
            self._index.sources[text.rank] = replace(source, high=end, mark=text.mark(end))
        for text in self._texts.values():
            source = self._index.sources[text.rank]
            while source.low > 0 and left > 0:
                low = text.line_from(source.low, min(left, source.low))
                self._add(text, low, source.low)
                left -= source.low - low
                source = self._index.sources[text.rank] = replace(source, low=low)
        return size - left

    def take_in_torn(self) -> None:
        """Take in the last line where it has no end: it is read, but may yet grow. Not to be saved."""
        for text in self._texts.values():
            self._add(text, self._index.sources[text.rank].high, text.size)

    def _add(self, text: Text, low: int, high: int) -> None:
        if low < high:
            self._index.add(self._rows(text, low, text.read(low, high)), self._upid_at)

    def _rows(self, text: Text, at: int, data: bytes) -> dict[str, Row]:
        """The tasks of some lines, by UPID; of one UPID, the last."""
        found: dict[str, Row] = {}
        place = text.rank << _OFFSET_BITS | at
        number, form = self._index.words.number, registry.INDEX_LINE
        states = {name: at for at, name in enumerate(STATES)}
        for line in data.split(b"\n"):
            if match := form.fullmatch(line.decode(errors="replace")):
                upid = _canonical(match)
                found[upid] = Row(
                    int(match["start"], 16),
                    place,
                    zlib.crc32(upid.encode()),
                    states[registry.outcome(match["status"])],
                    number(0, match["type"]),
                    number(1, match["id"]),
                    number(2, match["user"]),
                )
            place += len(line) + 1
        return found

    def _upid_at(self, place: int) -> str:
        return str(self._entry(place).upid)


def _canonical(match: re.Match[str]) -> str:
    """The UPID of a line as :class:`Upid` writes it; most are written so."""
    text = match.string[: match.end("user") + 1]
    numbers = text[match.end("node") : match.end("start")]
    return text if numbers == numbers.upper() else str(Upid.of(match))


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
        f"{paths.task_dir}/index: the file changes again and again while it is being read",
        hint="Try again.",
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
                with opened(paths) as texts, _loaded(texts, paths.task_index) as (archive, kept):
                    _take_in_all(archive, kept)
                    return len(kept)
            except Damaged as error:
                reason = str(error)
    raise StoreError(f"{paths.task_index}: could not write the file: {reason}")


@contextlib.contextmanager
def _kept(paths: Paths, texts: list[Text]) -> Iterator[Archive]:
    """With the index that is kept, brought up to date as far as nobody has to wait for it."""
    if sum(one.size for one in texts) <= SMALL:
        with _in_memory(paths, texts) as archive:
            yield archive
        return
    before = _identity(paths.task_index)
    with _loaded(texts, paths.task_index) as (archive, kept):
        if archive.take_in(AT_ONCE) >= _APPENDED:
            going_on = _save(paths, kept, before)
            if not going_on and not archive.complete:
                raise Damaged("it will never be complete")
        archive.take_in_torn()
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
    with _loaded(texts, None) as (archive, kept):
        _take_in_all(archive, kept)
        archive.take_in_torn()
        yield archive


@contextlib.contextmanager
def _loaded(texts: list[Text], path: Path | None) -> Iterator[tuple[Archive, Index]]:
    with contextlib.closing(Index(database.connect(path, create=path is None))) as kept:
        kept.load()
        archive = Archive(texts, kept)
        archive.check()
        yield archive, kept


def _take_in_all(archive: Archive, kept: Index) -> None:
    while archive.take_in(BATCH) or not archive.complete:
        kept.save()


def _save(paths: Paths, kept: Index, identity: tuple[int, int] | None) -> bool:
    """Keep what was taken in; whether it is kept, or another process is at it."""
    try:
        with locks.local_lock(paths, _LOCK, timeout=0):
            if _identity(paths.task_index) == identity:
                kept.save()
    except Locked:
        return True
    except (PvefwError, Damaged):
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
        database.connect(fresh, create=True).close()
    except (OSError, Damaged) as error:
        raise StoreError(f"{path}: could not write the file: {error}") from error
    files.rename(fresh, path)


def _journal(path: Path) -> Path:
    """SQLite's rollback journal of a database."""
    return path.with_name(f"{path.name}-journal")


def _go_on_in_background(paths: Paths) -> None:
    """Have another process take in the rest, unless one is at it."""
    with contextlib.suppress(PvefwError), locks.local_lock(paths, _LOCK, timeout=0):
        programs.start_pvefw("task", "index", "--root", str(paths.root), "--node", paths.node)
