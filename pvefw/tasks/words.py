"""The words of the history: types, ids and users. Each distinct one has a number; columns hold that."""

import sqlite3
import zlib

from pvefw.tasks.database import Damaged, guarded

KINDS = ("type", "id", "user")
"""Attributes that are words."""


class Words:
    """The words that are kept in a database, and those that were added since."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known: list[dict[str, int]] = [{} for _ in KINDS]
        self._new: list[tuple[int, str, int]] = []
        self.used: list[int] = [0 for _ in KINDS]
        """How many numbers are taken, for each of :data:`KINDS`."""

    def number(self, kind: int, text: str) -> int:
        """The number of a word, new or not."""
        known = self._known[kind]
        if (found := known.get(text)) is None:
            if (found := self._kept(kind, text)) is None:
                found = self.used[kind]
                self.used[kind] += 1
                self._new.append((kind, text, found))
            known[text] = found
        return found

    def known(self, kind: int, text: str) -> set[int]:
        """The number of a word, if any task has it."""
        number = self._known[kind].get(text)
        found = self._kept(kind, text) if number is None else number
        return set() if found is None else {found}

    def known_with(self, kind: int, part: str) -> set[int]:
        """The numbers of all words that contain a text, in any case."""
        with guarded():
            kept = self._connection.execute(
                "SELECT text, number, crc FROM word WHERE kind = ?", (kind,)
            ).fetchall()
            found = {text: _checked(kind, text, number, crc) for text, number, crc in kept}
        found |= self._known[kind]
        part = part.lower()
        return {number for text, number in found.items() if part in text.lower()}

    def _kept(self, kind: int, text: str) -> int | None:
        with guarded():
            found = self._connection.execute(
                "SELECT number, crc FROM word WHERE kind = ? AND text = ?", (kind, text)
            ).fetchone()
            return None if found is None else _checked(kind, text, *found)

    def insert(self) -> None:
        """Add the new words to the database, within a transaction of the caller's."""
        self._connection.executemany(
            "INSERT INTO word VALUES (?, ?, ?, ?)",
            [(*word, _word_crc(*word)) for word in self._new],
        )

    def inserted(self) -> None:
        """The transaction has ended well."""
        self._new = []


def _word_crc(kind: int, text: str, number: int) -> int:
    return zlib.crc32(f"{kind} {text} {number}".encode())


def _checked(kind: int, text: str, number: int, crc: int) -> int:
    """The number of a word as it was kept."""
    if crc != _word_crc(kind, text, number):
        raise Damaged(f"number of {text}")
    return number
