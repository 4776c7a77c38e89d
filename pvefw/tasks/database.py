"""The database that keeps the index of the history, whatever is in it.

Nothing in it is the only copy of anything: whatever is wrong raises :class:`Damaged`, and the caller
makes a new one.
"""

import sqlite3
import zlib
from pathlib import Path

SCHEMA = 1
"""To be raised whenever what is kept, or what a line means, changes."""
_TABLES = """
CREATE TABLE head (types INTEGER, ids INTEGER, users INTEGER, crc INTEGER);
CREATE TABLE source (
  rank INTEGER PRIMARY KEY, device INTEGER, inode INTEGER, low INTEGER, high INTEGER, mark INTEGER);
CREATE TABLE word (
  kind INTEGER, text TEXT, number INTEGER, crc INTEGER, PRIMARY KEY (kind, text)) WITHOUT ROWID;
CREATE TABLE block (
  id INTEGER PRIMARY KEY, first INTEGER, place INTEGER, last INTEGER, size INTEGER);
CREATE TABLE part (
  block INTEGER, name TEXT, crc INTEGER, data BLOB, PRIMARY KEY (block, name));
"""
_BUSY_SECONDS = 5.0


class Damaged(Exception):
    """The index cannot be used, or does not fit the text files."""


def checksum(*what: object) -> int:
    """Of all that leads to what has checksums of its own: the head keeps it."""
    return zlib.crc32(repr(what).encode())


class guarded:  # noqa: N801 - used as a statement
    """Turns whatever SQLite or a column of the wrong kind raises into :class:`Damaged`."""

    def __enter__(self) -> None: ...

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, sqlite3.Error | TypeError | ValueError | OverflowError):
            raise Damaged(str(error)) from error


def connect(path: Path | None, *, create: bool = False) -> sqlite3.Connection:
    """Open the database.

    :param path: ``None`` for one in memory.
    :param create: make its tables, in an empty file or none.
    :raises Damaged: it cannot be opened.
    """
    with guarded():
        if path is None:
            connection = sqlite3.connect(":memory:", isolation_level=None)
        else:
            mode = "rwc" if create else "rw"
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                isolation_level=None,
                timeout=_BUSY_SECONDS,
            )
        if create:
            try:
                connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA};")
                connection.execute(
                    "INSERT INTO head VALUES (0, 0, 0, ?)", (checksum([], [], [0, 0, 0]),)
                )
                connection.execute("COMMIT")
            except sqlite3.Error:
                connection.close()
                raise
        return connection
