"""What we know of ESPs and kernels without reading them again.

Of every ESP: which loader was put there, which files are ours, their digests, and a seal. The seal is
broken, durably, before the first change, and set after the last one was synced. As long as the machine
still gives the same seal for that partition, nobody has written to it, and the digests hold. Otherwise
its files are read.

Of every kernel and initrd: its digest, with what stat(2) says of the file. That is believed within the
same boot only: after a crash, a file's times may be newer than its content.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pvefw.boot import manifest
from pvefw.boot.esp_files import Listing
from pvefw.host.clock import SystemClock
from pvefw.host.fat import folded
from pvefw.store import files
from pvefw.store.paths import Paths

_SETTLED = 2_000_000_000
"""Nanoseconds that a file must be old: one that is changed twice within a tick shows it only once."""


_READERS = 2
"""Files that are read at the same time: a good disk gives more than one processor can hash."""
_Item = TypeVar("_Item")
_Value = TypeVar("_Value")


@contextlib.contextmanager
def in_background(
    read: Callable[[_Item], _Value], items: Iterable[_Item]
) -> Iterator[list[Future[_Value]]]:
    """Read files on other processors, in this order, while the body of the ``with`` goes on.

    When that fails, what has not begun yet is not done.
    """
    with ThreadPoolExecutor(_READERS) as readers:
        try:
            yield [readers.submit(read, one) for one in items]
        except BaseException:
            readers.shutdown(wait=False, cancel_futures=True)
            raise


@dataclass(frozen=True)
class EspRecord:
    """What we know of one ESP."""

    loader: str = ""
    """What ``init`` put there; empty where it was not us."""
    under_way: bool = False
    """Whether a change was begun and not ended."""
    seal: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    """Target to SHA-256 in hex."""
    failure: str = ""
    """Why the last refresh of it failed; empty where it did not."""
    manifest: Sequence[str] = ()
    """The files on it that are ours, as :mod:`pvefw.boot.manifest` knows them; in order."""
    strangers: Sequence[str] = ()
    """What was called as our leftovers are when the change began that is under way, and is not ours."""

    def leftovers(self, listing: Listing) -> list[PurePosixPath]:
        """What the change that was interrupted has left, and what fsck.vfat made of it."""
        if not self.under_way:
            return []
        return [one for one in listing.unfinished() if folded(one) not in self.strangers]

    def believed(self, seal: str | None) -> Mapping[str, str]:
        """The digests, if nobody can have changed the files since."""
        return self.digests if seal is not None and seal == self.seal else {}


def _esp_path(paths: Paths, uuid: str) -> Path:
    return paths.boot_state / f"esp-{uuid.upper()}.json"


def load(paths: Paths, uuid: str) -> EspRecord:
    """The record of an ESP. One that is damaged says as much as none."""
    raw = files.read_object_if_possible(_esp_path(paths, uuid))
    try:
        return EspRecord(
            loader=str(raw["loader"]),
            under_way=bool(raw["under_way"]),
            seal=raw["seal"],
            digests=dict(raw["digests"]),
            failure=str(raw["failure"]),
            # 1.0 kept no manifest: what it copied, it had digests of
            manifest=list(raw.get("manifest", sorted(manifest.keys(raw["digests"])))),
            strangers=list(raw.get("strangers", ())),
        )
    except (KeyError, TypeError, ValueError):
        return EspRecord()


def save(paths: Paths, uuid: str, record: EspRecord) -> None:
    """Keep the record, durably; nothing is written where it has not changed.

    :raises StoreError: it cannot be written.
    """
    if load(paths, uuid) != record:
        data = json.dumps(asdict(record), sort_keys=True).encode()
        files.replace(_esp_path(paths, uuid), data)


def begin(
    paths: Paths, uuid: str, ours: Iterable[str] = (), strangers: Iterable[PurePosixPath] = ()
) -> None:
    """Break the seal, before the first change.

    :param ours: what is about to be written, by its keys.
    :param strangers: what already exists and is called as our leftovers are.
    :raises StoreError: it cannot be written.
    """
    record = load(paths, uuid)
    began_before = record.strangers if record.under_way else [folded(one) for one in strangers]
    changed = replace(
        record,
        under_way=True,
        seal=None,
        manifest=sorted({*record.manifest, *ours}),
        strangers=sorted(began_before),
    )
    save(paths, uuid, changed)


def forget(paths: Paths, uuid: str) -> None:
    """Remove an ESP's record."""
    files.remove(_esp_path(paths, uuid))


class Sources:
    """The digests of kernels and initrds on the host."""

    def __init__(self, paths: Paths, boot_id: str) -> None:
        self._path = paths.boot_state / "sources.json"
        self._boot_id = boot_id
        raw = files.read_object_if_possible(self._path)
        known = raw.get("files") if raw.get("boot_id") == boot_id else None
        self._known: dict[str, Any] = known if isinstance(known, dict) else {}
        self._used: dict[str, Any] = {}
        self._now: dict[str, Any] = {}
        """Of files that are too young for their times to tell whether they were changed since. This
        refresh goes by them; should one be changed meanwhile, the next one reads it again."""

    def _look_up(self, path: Path, identity: list[int]) -> str | None:
        """The digest, where it need not be computed."""
        entry = self._used.get(str(path)) or self._known.get(str(path))
        if isinstance(entry, dict) and entry.get("identity") == identity and "sha256" in entry:
            self._used[str(path)] = entry
        else:
            entry = self._now.get(str(path))
            if entry is None or entry["identity"] != identity:
                return None
        return str(entry["sha256"])

    def digest(self, path: Path) -> str:
        """The digest.

        :raises StoreError: the file cannot be read.
        """
        try:
            identity = identity_of(path)
            known = self._look_up(path, identity)
            if known is None:
                with path.open("rb") as file:
                    known = hashlib.file_digest(file, "sha256").hexdigest()
                self._learn(path, identity, known)
        except OSError as error:
            raise files.failed("read", path, error) from error
        return known

    @staticmethod
    def size(path: Path) -> int:
        """Bytes.

        :raises StoreError: the file cannot be looked at.
        """
        try:
            return path.stat().st_size
        except OSError as error:
            raise files.failed("read", path, error) from error

    def _learn(self, path: Path, identity: list[int], digest: str) -> None:
        """Keep a digest that was computed.

        :param identity: what :func:`identity_of` said before the file was read.
        """
        if identity_of(path) != identity:
            return
        now = int(SystemClock().now().timestamp() * 1_000_000_000)
        kept = self._used if now - identity[-1] > _SETTLED else self._now
        kept[str(path)] = {"identity": identity, "sha256": digest}

    def save(self) -> None:
        """Keep what is known of the files that were asked for.

        :raises StoreError: it cannot be written.
        """
        if self._used != self._known:
            data = json.dumps({"boot_id": self._boot_id, "files": self._used}, sort_keys=True)
            files.replace(self._path, data.encode())
            self._known = dict(self._used)


def identity_of(path: Path) -> list[int]:
    """What changes when a file is changed or replaced: device, inode, size, times of content and inode.

    :raises OSError: it cannot be looked at.
    """
    status = path.stat()
    return [
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    ]
