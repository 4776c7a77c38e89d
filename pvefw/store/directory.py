"""The store ``directory``: a directory that all nodes have mounted, or the processes of one host see.

A change takes the directory's own lock, and gives its file a time stamp that no file has had before:
that is its revision. A lock is a directory with its holder's note in it, which appears and goes by one
rename.
"""

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pvefw.core.errors import ProviderError, Unavailable
from pvefw.core.hookspecs import hookimpl
from pvefw.core.model import StoreEntry, StoreListing, StoreLock
from pvefw.core.settings import setting
from pvefw.host import reading
from pvefw.host.clock import SystemClock
from pvefw.host.durable import make_directory, remove_file, replace_file
from pvefw.host.foreign import directory as open_directory

_NOTE = "holder"
_CHANGES = ".changes"
"""The lock of the directory itself. No key begins like this: :mod:`pvefw.store.shared`."""
_CHANGE_SECONDS, _PATIENCE, _PAUSE, _LOOK = 30.0, 45.0, 0.01, 0.5
_PRIVATE = 0o600
_CLOCK = SystemClock()
_TURN = threading.Lock()
"""Threads of one process do not wait for each other in the directory."""


@dataclass
class Directory:
    """Shares files through a directory that is mounted on all nodes."""

    path: Path = setting(help="The directory, private to root; it must exist.")

    @hookimpl
    def store_read(self, key: str) -> StoreEntry | None:
        """One file."""
        with self._changing():
            revision = self._revision(key)
            return StoreEntry(reading.whole(self._file(key)), revision) if revision else None

    @hookimpl
    def store_swap(
        self, key: str, data: bytes | None, revision: str, locks: Sequence[StoreLock]
    ) -> str | None:
        """Replace one file."""
        with self._changing():
            held = all(self._holds(lock) for lock in locks)
            if not held or self._revision(key) != revision:
                return None
            if data is None:
                remove_file(self._file(key))
                return ""
            now = self._new_stamp(key)
            replace_file(self._file(key), data, mode=_PRIVATE)
            os.utime(self._file(key), ns=(now, now))
            return self._revision(key)

    @hookimpl
    def store_list(self, prefix: str) -> StoreListing:
        """Every file; the position is the listing itself."""
        with self._changing():
            revisions = self._revisions(prefix)
        return StoreListing(revisions, json.dumps(revisions))

    @hookimpl
    def store_watch(self, prefix: str, position: str, timeout: float) -> Iterator[str]:
        """Look now and then."""
        known: Mapping[str, str] = json.loads(position)
        end = _CLOCK.monotonic() + timeout
        while (left := end - _CLOCK.monotonic()) > 0:
            keys = self.store_list(prefix).revisions
            changed = (key for key in {**known, **keys} if known.get(key) != keys.get(key))
            yield from changed
            known = keys
            _CLOCK.wait(threading.Event(), min(_LOOK, left))

    @hookimpl
    def store_lock(self, name: str, holder: str, seconds: float) -> StoreLock:
        """Put a directory with a note in it where there is none."""
        lock, token = self._lock(name), os.urandom(8).hex()
        self._expire(lock)
        staged = lock.with_name(f".{name}.{token}")
        note = {"holder": holder, "token": token, "seconds": seconds}
        with _available(self.path):
            make_directory(lock.parent, private=True)
            staged.mkdir()
            (staged / _NOTE).write_text(json.dumps(note), encoding="utf-8")
            try:
                staged.rename(lock)
            except OSError:
                shutil.rmtree(staged, ignore_errors=True)
                return StoreLock(name, str(_said(lock).get("holder", "")), "")
        return StoreLock(name, holder, token)

    @hookimpl
    def store_renew(self, lock: StoreLock) -> bool:
        """Touch the note."""
        self._expire(self._lock(lock.name))
        if not self._holds(lock):
            return False
        with contextlib.suppress(FileNotFoundError):
            os.utime(self._lock(lock.name) / _NOTE)
        return self._holds(lock)

    @hookimpl
    def store_unlock(self, lock: StoreLock) -> None:
        """Take the directory away."""
        if self._holds(lock):
            _remove(self._lock(lock.name))

    # --- files ------------------------------------------------------------------------------------

    def _file(self, key: str) -> Path:
        return self.path / "files" / key

    def _lock(self, name: str) -> Path:
        return self.path / "locks" / name

    def _revision(self, key: str) -> str:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), _available(self.path):
            return str(self._file(key).stat().st_mtime_ns)
        return ""

    def _new_stamp(self, key: str) -> int:
        """A time stamp that no file has had: after the last one, whatever the clock says."""
        last, known = self.path / "last", int(self._revision(key) or 0)
        with contextlib.suppress(OSError, ValueError):
            known = max(known, int(reading.whole(last)))
        now = max(int(_CLOCK.now().timestamp() * 1e9), known + 1)
        with open_directory(self.path) as there:
            there.replace(last.name, str(now).encode(), _PRIVATE)
        return now

    def _revisions(self, prefix: str) -> dict[str, str]:
        top = self._file("")
        entries = (path for path in top.rglob("*") if path.is_file() and path.name[0] != ".")
        keys = {path.relative_to(top).as_posix(): path for path in entries}
        return {
            key: str(path.stat().st_mtime_ns)
            for key, path in sorted(keys.items())
            if key.startswith(prefix)
        }

    # --- locks ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Be the only one who reads or changes files.

        :raises Unavailable: somebody else is, for too long; or the directory is not there.
        """
        with _TURN:
            lock = self._changes()
            try:
                with _available(self.path):
                    yield
            finally:
                self.store_unlock(lock)

    def _changes(self) -> StoreLock:
        end = _CLOCK.monotonic() + _PATIENCE
        while not (lock := self.store_lock(_CHANGES, "", _CHANGE_SECONDS)).token:
            if _CLOCK.monotonic() > end:
                raise Unavailable(f"{self.path}: its lock is not free")
            _CLOCK.wait(threading.Event(), _PAUSE)
        return lock

    def _holds(self, lock: StoreLock) -> bool:
        self._expire(self._lock(lock.name))
        return bool(lock.token) and _said(self._lock(lock.name)).get("token") == lock.token

    def _expire(self, lock: Path) -> None:
        """Remove a lock whose time is over."""
        if not self.path.is_dir():
            raise Unavailable(f"{self.path}: there is no such directory: is it mounted?")
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            seconds = float(str(_said(lock)["seconds"]))
            if _now(lock.parent) - (lock / _NOTE).stat().st_mtime > seconds:
                _remove(lock)


def _said(lock: Path) -> dict[str, object]:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        document = json.loads(reading.whole(lock / _NOTE))
        return document if isinstance(document, dict) else {}
    return {}


def _now(locks: Path) -> float:
    """The time where the locks are: time stamps have it, and the clock of a node may be wrong."""
    probe = locks / f".now.{os.urandom(8).hex()}"
    probe.mkdir()
    try:
        return probe.stat().st_mtime
    finally:
        probe.rmdir()


def _remove(lock: Path) -> None:
    gone = lock.with_name(f".gone.{os.urandom(8).hex()}")
    with contextlib.suppress(OSError):  # another was faster
        lock.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


@contextlib.contextmanager
def _available(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise ProviderError(f"{path}: {error.strerror or error}") from error
