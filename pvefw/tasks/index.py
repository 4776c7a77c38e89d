"""The index of the history: where in the text files each ended task is, in a table of SQLite's.

The table is kept in the order in which tasks are listed. What lists often ask for has an index in the
same order, with everything in it that a filter looks at: no list sorts, and the slowest reads each task
once. Whatever is wrong with the database raises :class:`Damaged`, and the caller makes a new one:
nothing in it is the only copy of anything.
"""

import contextlib
import sqlite3
from array import array
from collections.abc import Collection, Iterable, Iterator
from dataclasses import astuple, dataclass
from itertools import chain
from pathlib import Path

from pvefw.tasks import registry
from pvefw.tasks.registry import TaskEntry
from pvefw.tasks.upid import Upid

STATES = ("OK", "WARNING", "ERROR", "UNKNOWN")
"""What the numbers of states mean."""
SCHEMA = 2
"""To be raised whenever what is kept, or what a line means, changes."""
LARGEST = (1 << 63) - 1
"""The largest number that SQLite can keep."""
_TABLES = """
CREATE TABLE source (
  rank INTEGER PRIMARY KEY, device INTEGER, inode INTEGER, low INTEGER, high INTEGER, mark INTEGER);
CREATE TABLE word (number INTEGER PRIMARY KEY, kind TEXT, text TEXT, UNIQUE (kind, text));
CREATE TABLE task (
  start INTEGER, place INTEGER, pid INTEGER, pstart INTEGER, node INTEGER, type INTEGER, id INTEGER,
  user INTEGER, state INTEGER, PRIMARY KEY (start, place)) WITHOUT ROWID;
CREATE UNIQUE INDEX by_upid ON task (start, pid, pstart, type, id, user, node);
CREATE INDEX by_id ON task (id, start, place, type, user, state);
CREATE INDEX by_type ON task (type, start, place, id, user, state);
CREATE INDEX not_ok ON task (start, place, type, id, user, state) WHERE state != 0;
"""
_ADD = """
INSERT INTO task VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (start, pid, pstart, type, id, user, node)
DO UPDATE SET place = excluded.place, state = excluded.state WHERE excluded.place > place
"""
_NUMBER = "(SELECT number FROM word WHERE kind = '{0}' AND text = :{0})"
_USERS = "SELECT number FROM word WHERE kind = 'user' AND has(text, :user)"
_CONDITIONS = {
    "since": "start >= :since",
    "until": "start <= :until",
    "type": f"type = {_NUMBER.format('type')}",
    "id": f"id = {_NUMBER.format('id')}",
    "user": f"EXISTS ({_USERS}) AND user IN ({_USERS})",  # where there is none, nothing is read
}
_NUMBERS = ("start = :start", "pid = :pid", "pstart = :pstart")
_WORDS = [f"{kind} = {_NUMBER.format(kind)}" for kind in ("type", "id", "user", "node")]
_PLACE = f"SELECT place FROM task WHERE {' AND '.join([*_NUMBERS, *_WORDS])}"  # noqa: S608 - bound
_BUSY_SECONDS = 5.0
_CACHE = 1 << 16
"""KiB; a long history is taken in twice as fast as with the default of 2 MB."""


class Damaged(Exception):
    """The index cannot be used, or does not fit the text files."""


@dataclass(frozen=True)
class Source:
    """How far a text file is in the index: the lines of the bytes from ``low`` to ``high``."""

    device: int
    inode: int
    low: int
    high: int
    mark: int
    """CRC-32 of what is right before ``high``."""


@dataclass(frozen=True)
class Query:
    """What to look for; ``None`` does not restrict."""

    since: int | None = None
    """Seconds since the epoch."""
    until: int | None = None
    type: str | None = None
    id: str | None = None
    user: str | None = None
    """A part of the name, in any case."""
    states: Collection[str] | None = None
    """Some of :data:`STATES`."""

    def values(self) -> dict[str, int | str]:
        """What :data:`_CONDITIONS` are compared with."""
        given = {name: getattr(self, name) for name in _CONDITIONS}
        return {name: _bindable(value) for name, value in given.items() if value is not None}

    def query(self, without: Collection[int]) -> str:
        """Start and place of all tasks that are wanted, latest first."""
        conditions = [_CONDITIONS[name] for name in self.values()]
        index = "by_id" if self.id is not None else "by_type" if self.type is not None else None
        if self.states is not None:
            numbers = [STATES.index(state) for state in self.states]
            conditions.append(f"state IN ({', '.join(map(str, numbers))})")
            if index is None and numbers and 0 not in numbers:
                index = "not_ok"
                conditions.append("state != 0")
        if without:
            conditions.append(f"place NOT IN ({', '.join(map(str, without))})")
        table = f"task INDEXED BY {index}" if index else "task"
        condition = " AND ".join(conditions) or "TRUE"
        return (
            f"SELECT start, place FROM {table} WHERE {condition} "  # noqa: S608 - what users give is bound
            "ORDER BY start DESC, place DESC"
        )


class Index:
    """An open index. From its first look on, nobody else can change what it sees.

    :param path: ``None`` for one in memory.
    :param create: make its tables, in an empty file or none.
    :raises Damaged: it cannot be opened, or is not an index of this version.
    """

    def __init__(self, path: Path | None, *, create: bool = False) -> None:
        name = ":memory:" if path is None else f"{path.absolute().as_uri()}?mode=rw{'c' * create}"
        with _guarded():
            self._connection = sqlite3.connect(
                name, uri=True, isolation_level=None, timeout=_BUSY_SECONDS
            )
        self._words = _Words(self._connection)
        try:
            self._prepare()
            if create:
                self._create()
            self._begin()
        except Damaged:
            self.close()
            raise

    def _prepare(self) -> None:
        with _guarded():
            self._connection.create_function("has", 2, _has, deterministic=True)
            self._connection.execute(f"PRAGMA cache_size = -{_CACHE}")
            self._connection.execute("PRAGMA cell_size_check = ON")

    def _create(self) -> None:
        with _guarded():
            self._connection.executescript(
                f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;"
            )

    def _begin(self) -> None:
        """Keep others from changing it; what looks at it sets the lock."""
        with _guarded():
            self._connection.execute("BEGIN")
            [version] = self._connection.execute("PRAGMA user_version").fetchone()
        if version != SCHEMA:
            raise Damaged(f"version {version}")

    def close(self) -> None:
        """Let go of it; what was not saved is lost."""
        self._connection.close()

    def check(self) -> None:
        """Read all of it, which takes seconds where it is long.

        :raises Damaged: its parts do not fit each other.
        """
        with _guarded():
            [verdict] = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise Damaged(verdict)

    def __len__(self) -> int:
        with _guarded():
            [count] = self._connection.execute("SELECT COUNT(*) FROM task").fetchone()
        return int(count)

    # --- adding ---------------------------------------------------------------------------------

    def add(self, tasks: Iterable[tuple[int, TaskEntry]]) -> None:
        """Add tasks. Of two lines of one task, the later one counts.

        :param tasks: each with its place: the text file and the byte where its line begins, as
            :mod:`pvefw.tasks.archive` has it.
        """
        word = self._words
        rows = (
            (
                upid.start,
                place,
                upid.pid,
                upid.pstart,
                word["node", upid.node],
                word["type", upid.type],
                word["id", upid.id],
                word["user", upid.user],
                STATES.index(registry.outcome(entry.status)),
            )
            for place, entry in tasks
            for upid in (entry.upid,)
        )
        with _guarded():
            self._connection.executemany(_ADD, rows)

    def cover(self, rank: int, source: Source) -> None:
        """Note how far a text file is in it."""
        values = (rank, *astuple(source))
        with _guarded():
            self._connection.execute("REPLACE INTO source VALUES (?, ?, ?, ?, ?, ?)", values)

    def save(self) -> None:
        """Keep what was added.

        :raises Damaged: that failed, for whatever reason: somebody else has it, the disk is full.
        """
        with _guarded():
            self._connection.execute("COMMIT")
        self._begin()

    def undo(self) -> None:
        """Leave out what was added since it was saved."""
        self._words.clear()
        self.release()
        self._begin()

    def release(self) -> None:
        """Let others change what is kept; nothing can be looked up any more."""
        if self._connection.in_transaction:
            with _guarded():
                self._connection.execute("ROLLBACK")

    # --- looking up -----------------------------------------------------------------------------

    def sources(self) -> dict[int, Source]:
        """What it covers, by the rank of the file."""
        with _guarded():
            rows = self._connection.execute("SELECT * FROM source")
            return {rank: Source(*map(int, values)) for rank, *values in rows}

    def place(self, upid: Upid) -> int | None:
        """Where a task is."""
        values = {name: _bindable(value) for name, value in vars(upid).items()}
        with _guarded():
            row = self._connection.execute(_PLACE, values).fetchone()
            return None if row is None else int(row[0])

    def find(
        self, wanted: Query, skip: int, limit: int, without: Collection[int] = ()
    ) -> Iterator[tuple[int, int]]:
        """Start and place of the tasks that are wanted, latest first.

        :param skip: how many to leave out.
        :param limit: how many at most; -1 for all.
        :param without: places that do not count.
        """
        query = f"{wanted.query(without)} LIMIT {limit} OFFSET {skip}"
        with _guarded():
            rows = self._connection.execute(query, wanted.values())
            numbers = iter(array("q", chain.from_iterable(rows)))  # 16 bytes for a task
        return zip(numbers, numbers, strict=True)


class _Words(dict[tuple[str, str], int]):
    """The numbers of words, new or not, by their kind and text."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__()
        self._run = connection.execute

    def __missing__(self, word: tuple[str, str]) -> int:
        self._run("INSERT INTO word (kind, text) VALUES (?, ?) ON CONFLICT DO NOTHING", word)
        cursor = self._run("SELECT number FROM word WHERE kind = ? AND text = ?", word)
        [self[word]] = cursor.fetchone()
        return self[word]


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    """Turn whatever SQLite raises, or a value of the wrong kind, into :class:`Damaged`."""
    try:
        yield
    except (sqlite3.Error, TypeError, ValueError, OverflowError) as error:
        raise Damaged(str(error)) from error


def _has(text: str, part: str) -> bool:
    return part.lower() in text.lower()


def _bindable(value: int | str) -> int | str:
    """A value that SQLite takes; one that no task has may become another one that no task has."""
    if isinstance(value, int):
        return max(min(value, LARGEST), -LARGEST)
    try:
        value.encode()
    except UnicodeEncodeError:
        return "\0"
    return value
