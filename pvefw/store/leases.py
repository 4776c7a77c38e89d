"""Directories that are locks: how one is taken, kept, lost and left, and who has it.

As Proxmox VE's own: creating one in ``/etc/pve/priv/lock`` is atomic in the whole cluster, touching it
renews it, and one that was not renewed for two minutes may be taken over. pmxcfs decides that itself: it
removes such a lock when it is asked to, and lets only the node that made a lock renew it.

Whoever sleeps for longer than that, a host that was suspended for one, has lost its lock without having
noticed. So nothing is written below ``/etc/pve`` before :func:`check` has looked.
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pvefw.core.errors import Locked
from pvefw.host import foreign, reading
from pvefw.host.clock import SystemClock
from pvefw.host.durable import make_directory
from pvefw.store import pmxcfs

if TYPE_CHECKING:
    from pvefw.core.model import StoreLock

_STALE = 120.0
"""Seconds after which pmxcfs, too, takes a lock for abandoned."""
_RENEW = 20.0
_NOTED_AFTER = 1.0
"""Seconds after which it is worth a file to say who holds a lock."""
_CLOCK = SystemClock()
_OURS = threading.local()


class Held(Protocol):
    """A lock that a thread holds."""

    @property
    def in_store(self) -> "StoreLock | None":
        """What proves it to a store, if it is one's."""

    def check(self) -> None:
        """Make sure that it is still ours.

        :raises Locked: it is not.
        """


def check() -> None:
    """Refuse to go on where this thread has lost a lock that it took.

    :raises Locked: another has it now, or had it meanwhile.
    """
    for lease in _held():
        lease.check()


def held_in_store() -> "list[StoreLock]":
    """The locks of a store that this thread holds: a change depends on them."""
    return [lease.in_store for lease in _held() if lease.in_store is not None]


@contextlib.contextmanager
def holding(lease: Held) -> Iterator[None]:
    """Count a lock as this thread's until the body ends."""
    _held().append(lease)
    try:
        yield
    finally:
        _held().remove(lease)


def _held() -> list[Held]:
    if not hasattr(_OURS, "held"):
        _OURS.held = []
    held: list[Held] = _OURS.held
    return held


class Lease:
    """A lock directory, from the first try to take it.

    :param note: the file that says who holds it, for those who wait.
    :param node: the name of this node.
    :param remember: gets the lock's time stamp whenever it changes, for who finds the lock left behind;
        ``None`` when it is gone.
    """

    in_store: "StoreLock | None" = None
    """As of :class:`Held`: it is no store's."""

    def __init__(
        self, path: Path, note: "Note", node: str, remember: Callable[[int | None], None]
    ) -> None:
        self._path = path
        self._note = note
        self._node = node
        self._remember = remember
        self._mark = 0
        self._renewed = 0.0
        self._awake = 0.0
        self._noted = False
        self._stamping = threading.Lock()

    def take(self) -> bool:
        """Create the lock, if nobody has it; ask for one that was left behind to be removed.

        :raises OSError: it cannot be created.
        """
        try:
            self._path.mkdir()
        except FileExistsError:
            with contextlib.suppress(OSError):  # its holder, or another who waits, was faster
                _take_over(self._path)
            return False
        return True

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Renew a lock that was taken, until the block is left; then remove it, if it is still ours."""
        self._stamped()
        done = threading.Event()
        renewal = threading.Thread(target=self._renew, args=(done,), daemon=True)
        renewal.start()
        try:
            with holding(self):
                yield
        finally:
            done.set()
            renewal.join()
            with contextlib.suppress(OSError):  # it expires
                if self._is_ours():
                    if self._noted:
                        self._note.remove()
                    self._path.rmdir()
            self._remember(None)

    def holder(self) -> str:
        """Who has the lock, for messages."""
        return self._note.holder()

    def remove_left_behind(self, mark: str) -> None:
        """Remove a lock that a process of this host left behind when it died.

        :param mark: its last time stamp, which tells it from a lock that another node has made since.
        """
        with contextlib.suppress(OSError):
            if str(_mark(self._path)) == mark:
                self._path.rmdir()

    def check(self) -> None:
        """Make sure that the lock is still ours.

        :raises Locked: it is not.
        """
        if not self._is_ours():
            raise Locked(
                f"{self._path.name}: this process slept for longer than its lock lasts, "
                f"and {self.holder()} has taken it over",
                hint="Nothing was written since. Try again.",
            )

    def _is_ours(self) -> bool:
        """Whether the lock that is there is the one that we made.

        A time stamp before ours is none of a new holder's, unless we were away for long: who waits on
        a file system that is not pmxcfs dates a lock from the future back (:func:`_take_over`).
        """
        try:
            with self._stamping:
                mark = _mark(self._path)
        except FileNotFoundError:
            return False
        except OSError:
            return True  # nobody knows; then nothing can be written either
        if mark >= self._mark:
            return mark == self._mark
        slept = max(_CLOCK.monotonic() - self._awake, _wall() - self._renewed)
        return slept < _STALE

    def _renew(self, done: threading.Event) -> None:
        if done.wait(_NOTED_AFTER):
            return
        self._note.write(self._node)
        self._noted = True
        while not done.wait(_RENEW):
            if not self._is_ours():
                return
            with contextlib.suppress(OSError), self._stamping:  # the next try may get through
                now = max(_wall(), self._mark / 1e9)  # pmxcfs takes no time before the last one
                os.utime(self._path, (now, now))
                self._stamped()

    def _stamped(self) -> None:
        with contextlib.suppress(OSError):
            self._mark = _mark(self._path)
        self._renewed, self._awake = _wall(), _CLOCK.monotonic()
        self._remember(self._mark)


class Note:
    """Who holds a lock: a file beside the locks, for a directory that is not empty cannot be removed.

    It is written where a lock is held for longer than a moment, and may be left behind as the lock may.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, node: str) -> None:
        """Say that this process has the lock; without it, those who wait do not know who does."""
        document = {"node": node, "pid": os.getpid(), "since": _CLOCK.now().isoformat()}
        with contextlib.suppress(OSError):
            make_directory(self._path.parent, private=True)
            with foreign.parent(self._path) as there:
                there.replace(self._path.name, json.dumps(document).encode(), 0o600)

    def remove(self) -> None:
        """Take it back."""
        with contextlib.suppress(OSError), foreign.parent(self._path) as there:
            there.remove(self._path.name)

    def holder(self) -> str:
        """Who has the lock, for messages."""
        try:
            note = json.loads(reading.whole(self._path))
            since = datetime.fromisoformat(note["since"])
            return f"node {note['node']} (process {note['pid']}, since {since:%Y-%m-%d %H:%M} UTC)"
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return "another node or program"


def _take_over(path: Path) -> None:
    """Remove a lock that nobody renews any more; whoever then creates it first has it.

    One from the future, of a host whose clock was wrong, gets the present time: it expires in two
    minutes, too, unless its holder renews it. pmxcfs is asked: it compares by its own clock.
    """
    mount_point = pmxcfs.mount_point_of(path)
    if mount_point is not None and pmxcfs.is_mounted(mount_point.parents[1]):
        os.utime(path, (0, 0))
        return
    now = _wall()
    age = now - path.stat().st_mtime
    if age > _STALE:
        path.rmdir()
    elif age < -_STALE:
        os.utime(path, (now, now))


def _mark(path: Path) -> int:
    return path.stat().st_mtime_ns


def _wall() -> float:
    return _CLOCK.now().timestamp()
