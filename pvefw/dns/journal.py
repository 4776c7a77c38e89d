"""What was put into DNS and is not yet gone again, on disk before it is put there.

One private file for each order, in ``/var/lib/pvefw/dns/``. It names its owner, the process that will
remove the records; where that is dead, anybody may. It never holds a credential.
"""

import json
import os
import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pvefw.core import causes
from pvefw.core.errors import ConfigError
from pvefw.host.clock import Clock
from pvefw.host.durable import make_directory
from pvefw.store import files
from pvefw.store.paths import Paths
from pvefw.tasks.upid import process_start


@dataclass(frozen=True, order=True)
class Entry:
    """One TXT value that may be in a zone."""

    instance: str
    """The plugin instance that adds and removes it."""
    zone: str
    name: str
    value: str

    def __str__(self) -> str:
        return f'{self.name} TXT "{self.value}" in zone {self.zone}'


class Journal:
    """The entries of one order; safe for several threads."""

    def __init__(
        self, path: Path, pid: int, pstart: int, created: datetime, entries: Iterable[Entry]
    ) -> None:
        self.path = path
        self.pid = pid
        self.pstart = pstart
        """The owner's start, in clock ticks after boot: process ids are used again."""
        self.created = created
        self._entries = sorted(set(entries))
        self._lock = threading.Lock()

    @classmethod
    def begin(cls, paths: Paths, entries: Iterable[Entry], clock: Clock) -> "Journal":
        """Write a new journal that this process owns; on return it is durable.

        :raises StoreError: it cannot be written; then nothing must be added to DNS.
        """
        pid = os.getpid()
        path = paths.dns_journals / f"{pid}-{secrets.token_hex(4)}.json"
        try:
            make_directory(path.parent, private=True)
        except OSError as error:
            raise files.failed("write", path, error) from error
        made = cls(path, pid, process_start(pid) or 0, clock.now(), entries)
        made._write()
        return made

    @classmethod
    def load(cls, path: Path) -> "Journal | None":
        """Read a journal; ``None`` for one whose last entry was closed in the meantime.

        :raises ConfigError: it is damaged.
        """
        data = files.read_if_exists(path)
        if data is None:
            return None
        try:
            document = files.parse_json(data)
            entries = [_entry(entry) for entry in document["entries"]]
            created = datetime.fromisoformat(document["created"]).astimezone(UTC)
            return cls(path, int(document["pid"]), int(document["pstart"]), created, entries)
        except files.DAMAGED as error:
            raise ConfigError(
                f"{path}: this journal of DNS records is damaged: {causes.damage(error)}",
                hint="Look for TXT records named _acme-challenge by hand, then remove the file.",
            ) from error

    @property
    def entries(self) -> Sequence[Entry]:
        """Those that are still open."""
        with self._lock:
            return tuple(self._entries)

    @property
    def owned(self) -> bool:
        """Whether the process that wrote it still runs, and so will clean up itself."""
        return process_start(self.pid) == self.pstart

    def close(self, entries: Iterable[Entry]) -> None:
        """Strike entries whose records are gone; the file goes with the last one.

        :raises StoreError: it cannot be written.
        """
        gone = set(entries)
        with self._lock:
            if not gone.isdisjoint(self._entries):
                self._entries = [entry for entry in self._entries if entry not in gone]
                self._write()

    def _write(self) -> None:
        if not self._entries:
            files.remove(self.path)
            return
        document = {
            "pid": self.pid,
            "pstart": self.pstart,
            "created": self.created.isoformat(),
            "entries": [asdict(entry) for entry in self._entries],
        }
        files.replace(self.path, json.dumps(document, indent=1).encode(), private=True)


def _entry(members: Mapping[str, str]) -> Entry:
    """An entry as it was kept.

    :raises TypeError: a field is missing, or is not a text.
    """
    entry = Entry(**members)
    if not all(isinstance(var, str) for var in vars(entry).values()):
        raise TypeError("a field of an entry is not a text")
    return entry


def files_of(paths: Paths) -> list[Path]:
    """Where the journals of this host lie."""
    return sorted(paths.dns_journals.glob("[!.]*.json"))


def load_all(paths: Paths) -> list[Journal]:
    """Every journal of this host.

    :raises ConfigError: one is damaged.
    """
    return [journal for path in files_of(paths) if (journal := Journal.load(path))]


def open_entries(paths: Paths, instance: str = "") -> list[Entry]:
    """What may still be in DNS, of one plugin instance or of all.

    :raises ConfigError: a journal is damaged.
    """
    entries = {entry for journal in load_all(paths) for entry in journal.entries}
    return sorted(entry for entry in entries if instance in ("", entry.instance))
