"""The index of the history: where in the text files each ended task is, by start and what lists ask for.

Tasks are sorted by their start, then by their place, into blocks of a few thousand. A block has one
column for each attribute, and a column of numbers is four planes, one for each byte of them. So a filter
is a few calls of ``bytes.translate`` and bitwise operations, whatever it asks for and however few tasks
pass: ten nanoseconds or so for a task, where a query on rows would take hundreds. SQLite keeps the
blocks, for its transactions and locks. Whatever is wrong with one raises
:class:`~pvefw.tasks.database.Damaged`, and the caller makes a new index.
"""

import contextlib
import sqlite3
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from itertools import islice
from typing import NamedTuple

from pvefw.tasks import columns
from pvefw.tasks.database import SCHEMA, Damaged, checksum, guarded
from pvefw.tasks.words import KINDS, Words

STATES = ("OK", "WARNING", "ERROR", "UNKNOWN")
"""What the numbers of states mean."""
BLOCK = 8192
"""Tasks in a block at most."""


class Row(NamedTuple):
    """One task. It is sorted as it is listed, the other way round."""

    start: int
    """Seconds since the epoch, 32 bits."""
    place: int
    """The text file and the byte where its line begins, as :mod:`pvefw.tasks.archive` has it."""
    check: int
    """CRC-32 of its UPID."""
    state: int
    """At this place of :data:`STATES`."""
    type: int
    id: int
    user: int


@dataclass(frozen=True)
class Source:
    """How far a text file is in the index: the lines of the bytes from ``low`` to ``high``."""

    device: int
    inode: int
    low: int
    high: int
    mark: int
    """CRC-32 of what stands right before ``high``."""


@dataclass(frozen=True)
class Wanted:
    """What to look for; ``None`` does not restrict."""

    since: int | None = None
    until: int | None = None
    states: Collection[int] | None = None
    words: tuple[Collection[int] | None, ...] = (None,) * len(KINDS)
    """Numbers, for each of :data:`KINDS`."""

    @property
    def nothing(self) -> bool:
        """Whether no task can be so."""
        return any(one is not None and not one for one in (self.states, *self.words))

    @property
    def everything(self) -> bool:
        """Whether every task of the time is so."""
        return self.states is None and not any(one is not None for one in self.words)


@dataclass
class _Block:
    """One block; its columns are read when they are needed."""

    first: tuple[int, int]
    """Start and place of its first task."""
    last: int
    """Start of its last task."""
    size: int
    id: int | None = None
    """Where it is kept; ``None`` while it is not."""
    rows: list[Row] | None = None
    columns: dict[str, bytes] = field(default_factory=dict)
    numbers: dict[str, "array[int]"] = field(default_factory=dict)
    """The columns that were looked at as numbers."""

    @classmethod
    def of(cls, rows: list[Row]) -> "_Block":
        first = rows[0].start, rows[0].place
        return cls(first, rows[-1].start, len(rows), rows=rows, columns=_columns(rows))

    def forget(self) -> None:
        """Leave the content to the database."""
        self.rows = None
        self.columns.clear()
        self.numbers.clear()


class Index:
    """An index, and what was added to it since it was read.

    :param connection: to a database that :func:`connect` has opened.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.sources: dict[int, Source] = {}
        """By the rank of the file."""
        self._blocks: list[_Block] = []
        self._gone: list[int] = []
        self.words = Words(connection)

    def load(self) -> None:
        """Read what is kept; from now to :meth:`save` or :meth:`close`, others cannot change it.

        :raises Damaged: it is not an index of this version.
        """
        with guarded():
            self._connection.execute("BEGIN")
            [version] = self._connection.execute("PRAGMA user_version").fetchone()
            if version != SCHEMA:
                raise Damaged(f"version {version}")
            for rank, *values in self._connection.execute("SELECT * FROM source"):
                self.sources[rank] = Source(*values)
            self._blocks = [
                _Block((first, place), last, size, id_)
                for id_, first, place, last, size in self._connection.execute(
                    "SELECT id, first, place, last, size FROM block ORDER BY first, place"
                )
            ]
            *self.words.used, crc = self._connection.execute("SELECT * FROM head").fetchone()
            if crc != self.crc():
                raise Damaged("what is where")

    def crc(self) -> int:
        """Of all that leads to the content of the blocks, which have checksums of their own."""
        blocks = [(one.id, one.first, one.last, one.size) for one in self._blocks]
        sources = [(rank, astuple(one)) for rank, one in sorted(self.sources.items())]
        return checksum(blocks, sources, self.words.used)

    def release(self) -> None:
        """Let others change what is kept; nothing can be looked up any more."""
        with guarded():
            self._connection.rollback()

    def close(self) -> None:
        """Let go of it; what was not saved is lost."""
        self._connection.close()

    def __len__(self) -> int:
        return sum(one.size for one in self._blocks)

    # --- adding ---------------------------------------------------------------------------------

    def add(self, upids: Mapping[str, Row], upid_at: Callable[[int], str]) -> None:
        """Add tasks. Of two lines of one task, the later one counts.

        :param upids: by their UPIDs.
        :param upid_at: the UPID that stands at a place of the text files.
        """
        replaced: set[int] = set()
        fresh: list[Row] = []
        for upid, row in upids.items():
            others = [one for one in self.places(row.start, row.check) if upid_at(one) == upid]
            if all(one < row.place for one in others):
                replaced.update(others)
                fresh.append(row)
        if replaced:
            starts = {row.start for row in fresh}
            for block in [one for one in self._blocks if _holds_any(one, starts)]:
                kept = [row for row in self._rows(block) if row.place not in replaced]
                self._put(block, kept)
        self._merge(sorted(fresh))

    def places(self, start: int, check: int) -> list[int]:
        """Where tasks stand that have this start and checksum: as a rule one or none."""
        found = []
        number = bisect_right(self._blocks, start, key=lambda one: one.first[0]) - 1
        while number >= 0 and (block := self._blocks[number]).last >= start:
            starts = self._numbers(block, "starts")
            low, high = bisect_left(starts, start), bisect_right(starts, start)
            if low < high:
                checks = self._numbers(block, "checks")[low:high]
                places = self._numbers(block, "places")[low:high]
                found += [place for one, place in zip(checks, places, strict=True) if one == check]
            number -= 1
        return found

    def _merge(self, rows: Sequence[Row]) -> None:
        at = 0
        while at < len(rows):
            if not self._blocks:
                self._blocks = [_Block.of([rows[0]])]
                at += 1
                continue
            number = max(bisect_right(self._blocks, rows[at][:2], key=lambda one: one.first) - 1, 0)
            until = len(rows)
            if number + 1 < len(self._blocks):
                until = bisect_left(rows, self._blocks[number + 1].first, key=lambda one: one[:2])
            block = self._blocks[number]
            self._put(block, sorted(self._rows(block) + list(rows[at:until])))
            at = until

    def _put(self, block: _Block, rows: list[Row]) -> None:
        """Put blocks with these rows in the place of one."""
        if block.id is not None:
            self._gone.append(block.id)
        pieces = -(-len(rows) // BLOCK)
        size = -(-len(rows) // pieces) if pieces else 1
        number = next(at for at, one in enumerate(self._blocks) if one is block)
        self._blocks[number : number + 1] = [
            _Block.of(rows[at : at + size]) for at in range(0, len(rows), size)
        ]

    def save(self) -> None:
        """Keep what was added.

        :raises Damaged: that failed, for whatever reason: somebody else has it, the disk is full.
        """
        try:
            with guarded():
                self._write()
        except Damaged:
            with contextlib.suppress(sqlite3.Error):
                self._connection.rollback()  # others may try
            raise
        self._gone = []
        self.words.inserted()
        for block in self._blocks:
            block.forget()

    def _write(self) -> None:
        run = self._connection.execute
        if not self._connection.in_transaction:
            run("BEGIN")
        for id_ in self._gone:
            run("DELETE FROM block WHERE id = ?", (id_,))
            run("DELETE FROM part WHERE block = ?", (id_,))
        self.words.insert()
        run("DELETE FROM source")
        for rank, one in self.sources.items():
            run("INSERT INTO source VALUES (?, ?, ?, ?, ?, ?)", (rank, *astuple(one)))
        for block in self._blocks:
            if block.id is None:
                block.id = self._insert(block)
        run("DELETE FROM head")
        run("INSERT INTO head VALUES (?, ?, ?, ?)", (*self.words.used, self.crc()))
        run("COMMIT")
        run("BEGIN")  # nobody changes it between this save and what is looked up next
        run("SELECT COUNT(*) FROM source")

    def _insert(self, block: _Block) -> int | None:
        id_ = self._connection.execute(
            "INSERT INTO block VALUES (NULL, ?, ?, ?, ?)", (*block.first, block.last, block.size)
        ).lastrowid
        self._connection.executemany(
            "INSERT INTO part VALUES (?, ?, ?, ?)",
            [(id_, name, zlib.crc32(data), data) for name, data in block.columns.items()],
        )
        return id_

    # --- looking up -----------------------------------------------------------------------------

    def find(self, wanted: Wanted, skip: int = 0) -> Iterator[int]:
        """The places of the tasks that are wanted, latest first.

        :param skip: how many to leave out.
        """
        if wanted.nothing:
            return
        for block in reversed(self._blocks):
            if wanted.since is not None and block.last < wanted.since:
                # of an older block, the last can be as late, but no later
                return
            if wanted.until is not None and block.first[0] > wanted.until:
                continue
            low, high = self._in_time(block, wanted)
            mask = 0 if wanted.everything else self._mask(block, wanted, low, high)
            passing = high - low if wanted.everything else mask.bit_count()
            if skip >= passing:
                skip -= passing
                continue
            places = self._numbers(block, "places")
            numbers = (
                range(high - 1, low - 1, -1)
                if wanted.everything
                else columns.ones(mask.to_bytes(high - low, "little"), low)
            )
            for number in islice(numbers, skip, None):
                yield places[number]
            skip = 0

    def _in_time(self, block: _Block, wanted: Wanted) -> tuple[int, int]:
        """From where to where in a block the starts are."""
        low, high = 0, block.size
        if wanted.since is not None and block.first[0] < wanted.since:
            low = bisect_left(self._numbers(block, "starts"), wanted.since)
        if wanted.until is not None and block.last > wanted.until:
            high = bisect_right(self._numbers(block, "starts"), wanted.until)
        return low, max(high, low)

    def _mask(self, block: _Block, wanted: Wanted, low: int, high: int) -> int:
        """A byte for each task from ``low`` to ``high``, as one number: 1 for those that are wanted."""
        found = int.from_bytes(b"\1" * (high - low), "little")
        for kind, numbers in enumerate(wanted.words):
            if numbers is not None and found:
                with guarded():
                    column = self._column(block, f"planes{kind}")
                    planes = columns.planes(column, block.size, low, high)
                found &= columns.members_of(planes, numbers)
        if wanted.states is not None and found:
            found &= columns.members(self._column(block, "state")[low:high], wanted.states)
        return found

    # --- columns --------------------------------------------------------------------------------

    def _column(self, block: _Block, name: str) -> bytes:
        """One column of a block, checked."""
        found = block.columns.get(name)
        if found is None:
            with guarded():
                found, crc = self._connection.execute(
                    "SELECT data, crc FROM part WHERE block = ? AND name = ?", (block.id, name)
                ).fetchone()
                if zlib.crc32(found) != crc:
                    raise Damaged(f"{name} of a block")
            block.columns[name] = found
        return found

    def _numbers(self, block: _Block, name: str) -> "array[int]":
        """One column of a block, as numbers."""
        found = block.numbers.get(name)
        if found is None:
            form = "Q" if name == "places" else "I"
            with guarded():
                found = columns.numbers(form, self._column(block, name), block.size)
            block.numbers[name] = found
        return found

    def _rows(self, block: _Block) -> list[Row]:
        if block.rows is None:
            with guarded():
                block.rows = [
                    Row(*values)
                    for values in zip(
                        self._numbers(block, "starts"),
                        self._numbers(block, "places"),
                        self._numbers(block, "checks"),
                        self._column(block, "state"),
                        *(self._words_of(block, kind) for kind in range(len(KINDS))),
                        strict=True,
                    )
                ]
        return block.rows

    def _words_of(self, block: _Block, kind: int) -> "array[int]":
        size = block.size
        return columns.unplaned(columns.planes(self._column(block, f"planes{kind}"), size, 0, size))


def _columns(rows: Sequence[Row]) -> dict[str, bytes]:
    starts, places, checks, states, *words = zip(*rows, strict=True)
    return {
        "state": bytes(states),
        **{f"planes{kind}": columns.planed(numbers) for kind, numbers in enumerate(words)},
        "starts": columns.packed("I", starts),
        "places": columns.packed("Q", places),
        "checks": columns.packed("I", checks),
    }


def _holds_any(block: _Block, starts: set[int]) -> bool:
    return any(block.first[0] <= one <= block.last for one in starts)
