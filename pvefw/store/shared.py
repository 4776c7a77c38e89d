"""What nodes share where there is no pmxcfs: it is in the store that ``/etc/pvefw/store.cfg`` names.

The store has the truth, and ``/etc/pve`` of each node is its last copy (:mod:`pvefw.store.last_copy`).
Who reads there looks first whether the copy is what the store has. Who writes there changes the store
first: if it still has what was read, and while the locks that this thread took are held. Where the store
cannot be asked, reading goes on and says how old the copy is, and writing is refused.

Without ``store.cfg``, nothing here does anything: :func:`of` finds nothing.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pvefw.core.errors import (
    ConfigError,
    DigestMismatch,
    NoQuorum,
    PluginError,
    PluginTimeout,
    ProviderError,
    PvefwError,
    StoreError,
    Unavailable,
)
from pvefw.host import reading
from pvefw.host.clock import SystemClock
from pvefw.store import oddities, pmxcfs
from pvefw.store.paths import ORDERED, STAGED, STORE_CFG, STORE_COPY

if TYPE_CHECKING:
    from pvefw.core.model import StoreListing
    from pvefw.store.sealing import Plain, Sealed

_FRESH = 1.0
"""Seconds for which one look is good enough for who only reads."""
_AGAIN = 30.0
"""Seconds after which a store that did not answer is asked again by who only reads."""
_ROUNDS = 20
"""How often a copy is brought up to date while others change what it is of."""
_LOCAL_SUFFIXES = (STAGED, ORDERED)
"""Of what one node is about to install or to order: nobody else's."""
_LOCAL_DIRECTORIES = ("priv/lock/", "priv/pvefw-locks/")
_ETCD_GONE = "Nothing was changed. Look at the store: journalctl -u etcd, on its members"
_CLOCK = SystemClock()
_SEEN = threading.local()
_OPEN: dict[Path, tuple[tuple[int, int], "Shared"]] = {}


def of(path: Path) -> "Shared | None":
    """The store that a path below ``/etc/pve`` is kept in; ``None`` where none is chosen.

    A process that was forked gets a connection of its own, and a new ``store.cfg`` is noticed.
    """
    mount_point = pmxcfs.mount_point_of(path)
    if mount_point is None:
        return None
    root = mount_point.parents[1]
    try:
        made = (root / STORE_CFG).stat().st_mtime_ns, os.getpid()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if root not in _OPEN or _OPEN[root][0] != made:
        _OPEN[root] = (made, Shared(root))
    return _OPEN[root][1]


def look(path: Path) -> None:
    """Bring the copy up to date that a path is in, if it is in one."""
    if (there := of(path)) is not None:
        there.look()


def note_read(path: Path, data: bytes | None) -> None:
    """Remember what this thread has read: a change is made from that, or not at all."""
    if of(path) is not None:
        from pvefw.store.last_copy import digest

        _seen()[path] = None if data is None else digest(data)


@contextlib.contextmanager
def changing(changes: Mapping[Path, bytes | None]) -> Iterator[None]:
    """Change files' keys in the store, one by one; the body then changes the files.

    Of what is no store's, only the body runs.

    :param changes: the new content of each; ``None`` for no file.
    :raises NoQuorum: the store cannot be asked.
    :raises Locked: a lock of this thread's is lost.
    :raises DigestMismatch: it is not what this thread has read any more.
    """
    from pvefw.store.last_copy import digest

    there = next((store for path in changes if (store := of(path))), None)
    if there is None:
        yield
        return
    keys = {key: data for path, data in changes.items() if (key := there.key(path))}
    with there.changing(keys) if keys else contextlib.nullcontext():
        yield
    for path, data in changes.items():
        _seen()[path] = None if data is None else digest(data)


def _seen() -> dict[Path, str | None]:
    if not hasattr(_SEEN, "digests"):
        _SEEN.digests = {}
    digests: dict[Path, str | None] = _SEEN.digests
    return digests


class Shared:
    """A node's store and its copy.

    :param root: the node's tree.
    """

    def __init__(self, root: Path) -> None:
        from pvefw.store.last_copy import LastCopy

        self._etc_pve = root / "etc/pve"
        self._configuration = root / STORE_CFG
        self.copy = LastCopy(self._etc_pve, root / STORE_COPY)
        self._next = 0.0
        self._trouble = ""
        self._unread: PvefwError | None = None
        """Why nothing can be read: the store was not asked, and there is no copy yet."""
        self._left = False
        """Whether the last look left a pair alone that is being installed."""

    # --- the store --------------------------------------------------------------------------------

    @cached_property
    def _values(self) -> Mapping[str, str]:
        """``store.cfg``.

        :raises StoreError: it cannot be read, names no store, or this is a node of Proxmox VE's.
        """
        from pvefw.store.node_config import NodeConfig

        what = str(self._configuration)
        if pmxcfs.is_mounted(self._etc_pve.parents[1]):
            raise StoreError(
                f"{what}: the cluster file system is mounted here: there is no need for a store",
                hint="Remove the file.",
            )
        try:
            data = reading.whole(self._configuration)
        except OSError as error:
            raise StoreError(f"{what}: could not read the file: {error.strerror}") from error
        values = NodeConfig.parse(oddities.without_mark(data), what).values
        if not values.get("store"):
            raise StoreError(
                f"{what}: it names no store",
                hint="Add a line 'store: etcd', or 'store: directory' with 'path: DIRECTORY'.",
            )
        return values

    @cached_property
    def hooks(self) -> Any:
        """The store's hooks.

        :raises StoreError: it is not installed, is broken, or ``store.cfg`` does not fit its settings.
        """
        from pvefw.core import binding, families

        settings = {
            key: value
            for key, value in self._values.items()
            if key not in ("store", "encryption-key")
        }
        name = self._values["store"]
        try:
            return binding.bind(families.STORE, name, settings, instance=name).hooks
        except (ConfigError, PluginError) as error:
            raise self._misconfigured(error) from error

    def _misconfigured(self, error: PvefwError) -> StoreError:
        """A fault in ``store.cfg``: a file that cannot be read costs only those who need it."""
        return StoreError(
            f"{self._configuration}: {error.message}", hint=error.hint or "Correct the file."
        )

    @cached_property
    def _cipher(self) -> "Plain | Sealed":
        from pvefw.core import references
        from pvefw.store.sealing import Plain, Sealed

        reference = self._values.get("encryption-key")
        try:
            return Sealed(references.resolve(reference, "encryption-key")) if reference else Plain()
        except ConfigError as error:
            raise self._misconfigured(error) from error

    @contextlib.contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """Explain what keeps the store from answering.

        :param what: a file or lock, and what is to be done with it.
        """
        try:
            yield
        except (Unavailable, PluginTimeout) as error:
            raise NoQuorum(
                f"{what}: the store cannot be asked: {error.message}", hint=self._gone
            ) from error
        except (ProviderError, PluginError) as error:
            raise StoreError(
                f"{what}: the store refuses: {error.message}", hint=error.hint or self._gone
            ) from error

    @property
    def _gone(self) -> str:
        """What to do where the store does not answer."""
        if self._values["store"] == "etcd":
            return _ETCD_GONE
        return f"Nothing was changed. Look at the store that {self._configuration} names."

    def key(self, path: Path) -> str | None:
        """What a path is called in the store; ``None`` for what only this node needs."""
        if not path.is_relative_to(self._etc_pve):
            return None
        key = path.relative_to(self._etc_pve).as_posix()
        return key if _is_shared(key) else None

    def _read(self, key: str) -> tuple[bytes | None, str]:
        entry = self.hooks.store_read(key=key)
        if entry is None:
            return None, ""
        return self._cipher.opened(key, entry.data), entry.revision

    # --- reading ----------------------------------------------------------------------------------

    def look(self, *, now: bool = False) -> None:
        """Bring the copy up to date, if the last look was not just now.

        :param now: in any case; what keeps it from being done is an error then, not an oddity.
        :raises StoreError: the store cannot be asked, and there is no copy yet.
        """
        if now or _CLOCK.monotonic() >= self._next:
            try:
                with self.asking(str(self._etc_pve)):
                    self._fetch()
            except PvefwError as error:
                self._next = _CLOCK.monotonic() + _AGAIN
                self._unread = error if self.copy.asked() is None else None
                if now or self._unread:
                    raise
                self._trouble = self._trouble or error.message
            else:
                self._next, self._trouble = 0.0 if self._left else _CLOCK.monotonic() + _FRESH, ""
                self._unread = None
        elif self._unread:
            raise self._unread  # whoever reads next must not take it for nothing configured
        if self._trouble:
            oddities.report(self._configuration, 0, self._trouble, self._age)

    @property
    def _age(self) -> str:
        asked = self.copy.asked()
        if asked is None:
            return "there is no copy"
        return f"what is read is the copy of {asked:%Y-%m-%d %H:%M} UTC, {_ago(asked)}"

    def listing(self) -> "StoreListing":
        """What the store has, and the moment to watch from.

        :raises StoreError: it cannot be asked.
        """
        with self.asking("all keys"):
            listing: StoreListing = self.hooks.store_list(prefix="")
        shared = {key: revision for key, revision in listing.revisions.items() if _is_shared(key)}
        return replace(listing, revisions=shared)

    def watch(self, position: str, seconds: float) -> Iterator[str]:
        """The keys that change after a listing, as they change; an empty one for all that may have.

        :raises StoreError: the store cannot be asked.
        """
        with self.asking("changes"):
            yield from self.hooks.store_watch(prefix="", position=position, timeout=seconds)

    def _fetch(self) -> None:
        """Fetch what is not in the copy, until nothing is missing."""
        for _ in range(_ROUNDS):
            self._left = False
            there, index = self.listing().revisions, self.copy.index()
            keys = [key for key in {*there, *index} if not self._has(key, there.get(key), index)]
            contents = {key: self._read(key) if key in there else (None, "") for key in keys}
            try:
                with self.copy.turn() as now:
                    # what another process has written meanwhile may be newer: look again
                    for key in (key for key in keys if now.get(key) == index.get(key)):
                        self._put(now, key, *contents[key])
            except OSError as error:
                raise StoreError(
                    f"{self._etc_pve}: the copy could not be written: {error.strerror or error}"
                ) from error
            if not keys:
                return

    def _has(self, key: str, revision: str | None, index: Mapping[str, Any]) -> bool:
        """Whether the copy has this revision of a key.

        A pair that is being installed here is left alone: whoever installs it puts both halves in place.
        """
        path = self.copy.path(key)
        if path.with_name(path.name + STAGED).exists():
            self._left = True
            return True
        known = index.get(key)
        if known is None or revision is None:
            return known is None and revision is None
        return known.revision == revision and self.copy.is_as_written(key, known)

    def _put(self, index: dict[str, Any], key: str, data: bytes | None, revision: str) -> None:
        if self.copy.put(index, key, data, revision):
            oddities.report(
                self.copy.path(key),
                0,
                "it was changed on this node alone, and the store has another one",
                f"what was here is kept as {self.copy.kept(key)}",
            )

    # --- writing ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def changing(self, changes: Mapping[str, bytes | None]) -> Iterator[None]:
        """As :func:`changing`, by keys."""
        try:
            revisions = {key: self._swap(key, data) for key, data in changes.items()}
            with self.copy.turn() as index:
                yield
                for key, data in changes.items():
                    self.copy.note(index, key, data, revisions[key])
        except BaseException:
            self._next = 0.0  # who undoes it has to see what the store has now
            raise

    def _swap(self, key: str, data: bytes | None) -> str:
        """Change a key, if it is what this thread has read; its new revision."""
        from pvefw.store import leases

        path, seen = self.copy.path(key), _seen()
        if path not in seen:
            self.look(now=True)  # whatever is there is to be replaced
        known = self.copy.index().get(key)
        if known is None and data is None:
            return ""  # the store never had it
        if known and path in seen and seen[path] != known.digest:
            raise _conflict(path)
        with self.asking(f"{path}: could not change the file"):
            revision: str | None = self.hooks.store_swap(
                key=key,
                data=None if data is None else self._cipher.sealed(key, data),
                revision=known.revision if known else "",
                locks=leases.held_in_store(),
            )
            if revision is not None:
                return revision
            leases.check()
            there, current = self._read(key)
        if there == data:
            return current  # it was done by who was killed before this node noted it
        raise _conflict(path)

    def check_writable(self, path: Path) -> None:
        """Find out whether a file can be written.

        :raises StoreError: it cannot.
        :raises Locked: a lock of this thread's is lost.
        """
        from pvefw.store import leases

        name = f"probe-{os.urandom(8).hex()}"
        with self.asking(f"{path}: could not write the file"):
            self.hooks.store_unlock(
                lock=self.hooks.store_lock(name=name, holder="", seconds=_AGAIN)
            )
        leases.check()


def _conflict(path: Path) -> DigestMismatch:
    return DigestMismatch(
        f"{path}: another process or node has changed the file meanwhile", hint="Try again."
    )


def _is_shared(key: str) -> bool:
    """Whether a file is every node's business."""
    return not (
        any(part.startswith(".") for part in key.split("/"))
        or key.endswith(_LOCAL_SUFFIXES)
        or key.startswith(_LOCAL_DIRECTORIES)
    )


def _ago(then: datetime) -> str:
    minutes = max(int((_CLOCK.now() - then).total_seconds() / 60), 0)
    if minutes < 1:
        return "less than a minute old"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min old" if hours else f"{minutes} min old"
