"""The copy on this node's disk of what a store has: ``/etc/pve``, and which revision each file there is.

Who reads, reads files, also where the store cannot be asked. The index says what the store had when a
file was written: a file that somebody has changed by hand is known by that, and kept before it is
replaced.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pvefw.host import foreign, reading
from pvefw.host.durable import make_directory, remove_file, replace_file

_PRIVATE, _PUBLIC = 0o600, 0o644


@dataclass(frozen=True)
class Known:
    """One file as it was written last."""

    revision: str
    digest: str
    """SHA-256 of its content."""
    stamp: int
    """Its time stamp in nanoseconds."""


Index = dict[str, Known]


def digest(data: bytes) -> str:
    """What two contents are told apart by."""
    import hashlib  # OpenSSL's: slow to import

    return hashlib.sha256(data).hexdigest()


class LastCopy:
    """The files below a directory, by their keys in the store.

    :param files: ``/etc/pve``.
    :param state: where the index is, and what was replaced.
    """

    def __init__(self, files: Path, state: Path) -> None:
        self._files = files
        self._state = state
        self._index = state / "index.json"

    def path(self, key: str) -> Path:
        """Where a key's file is."""
        return self._files / key

    def index(self) -> Index:
        """What is known; nothing where the index is damaged: then everything is fetched again."""
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
            return {
                key: Known(*values) for key, values in json.loads(self._index.read_bytes()).items()
            }
        return {}

    def asked(self) -> datetime | None:
        """When the copy was last known to be what the store has; ``None`` for never."""
        with contextlib.suppress(OSError):
            return datetime.fromtimestamp(self._index.stat().st_mtime, UTC)
        return None

    def is_as_written(self, key: str, known: Known) -> bool:
        """Whether nobody but us has changed a file."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return self.path(key).stat().st_mtime_ns == known.stamp
        return False

    @contextlib.contextmanager
    def turn(self) -> Iterator[Index]:
        """Be the only one who changes files and index; the index is written in the end.

        :raises OSError: it cannot be written.
        """
        make_directory(self._state, private=True)
        lock = foreign.open_file(self._state / "lock", os.O_RDWR | os.O_CREAT, _PRIVATE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            index = self.index()
            before = dict(index)
            yield index
            if index != before or not self._index.exists():
                self._write(index)
            else:
                self._touch()
        finally:
            os.close(lock)  # releases it

    def _write(self, index: Mapping[str, Known]) -> None:
        text = json.dumps(
            {key: astuple(revision) for key, revision in sorted(index.items())}, indent=0
        )
        replace_file(self._index, text.encode(), mode=_PRIVATE)

    def _touch(self) -> None:
        descriptor = foreign.open_file(self._index, os.O_RDWR, _PRIVATE)
        try:
            os.utime(descriptor)
        finally:
            os.close(descriptor)

    def note(self, index: Index, key: str, data: bytes | None, revision: str) -> None:
        """Remember what a file is now; within :meth:`turn`.

        :param data: ``None`` for no file.
        """
        if data is None:
            index.pop(key, None)
        else:
            index[key] = Known(revision, digest(data), self.path(key).stat().st_mtime_ns)

    def put(self, index: Index, key: str, data: bytes | None, revision: str) -> bool:
        """Write or remove a file as the store has it; within :meth:`turn`.

        :returns: whether something was kept that nobody has in the store.
        :raises OSError: it cannot be done.
        """
        kept = self._keep(key, index.get(key), data)
        if data is None:
            remove_file(self.path(key))
        else:
            replace_file(self.path(key), data, mode=_mode(key))
        self.note(index, key, data, revision)
        return kept

    def kept(self, key: str) -> Path:
        """Where a file is kept that was not from the store when the store's took its place."""
        return self._state / "before" / key

    def _keep(self, key: str, known: Known | None, new: bytes | None) -> bool:
        try:
            there = reading.whole(self.path(key))
        except (FileNotFoundError, NotADirectoryError):
            return False
        if there == new or (known and digest(there) == known.digest):
            return False
        replace_file(self.kept(key), there, mode=_PRIVATE)
        return True


def _mode(key: str) -> int:
    """Certificates are for everybody, what else comes from a store for root alone."""
    public = key.endswith(".pem") and "priv" not in Path(key).parts
    return _PUBLIC if public else _PRIVATE
