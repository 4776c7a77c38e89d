"""What we know of ESPs and kernels without reading them again.

Of every ESP: which loader was put there, which files are ours, what they were copied from, and a seal.
The seal is broken, durably, before the first change, and set after the last one was synced. As long as
the machine still gives the same seal for that partition, nobody has written to it; and as long as
stat(2) says the same of a kernel or initrd as when it was copied, the copy equals it. Otherwise both are
read. A seal holds within the same boot only: after a crash, a file's times may be newer than its content.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Self

from pvefw.boot import manifest
from pvefw.boot.esp_files import Listing
from pvefw.host.clock import SystemClock
from pvefw.host.fat import folded
from pvefw.store import files
from pvefw.store.paths import Paths

_SETTLED = 2_000_000_000
"""Nanoseconds that a file must be old: one that is changed twice within a tick shows it only once."""


class Identity(NamedTuple):
    """What changes when a file is changed or replaced."""

    device: int
    inode: int
    size: int
    """Bytes."""
    modified: int
    """When its content was, in nanoseconds since 1970."""
    changed: int
    """When its inode was, which nobody can set."""

    @classmethod
    def of(cls, path: Path) -> Self:
        """What a file of the host has now.

        :raises StoreError: it cannot be looked at.
        """
        try:
            status = path.stat()
        except OSError as error:
            raise files.failed("read", path, error) from error
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )

    @property
    def settled(self) -> bool:
        """Whether the file is so old that every change from now on shows."""
        now = int(SystemClock().now().timestamp() * 1_000_000_000)
        return now - self.changed > _SETTLED


Origins = Mapping[str, tuple[int, ...]]
"""A file on an ESP, by its target, and the :class:`Identity` of the host's file that it equals."""


@dataclass(frozen=True)
class EspRecord:
    """What we know of one ESP."""

    loader: str = ""
    """What ``init`` put there; empty where it was not us."""
    under_way: bool = False
    """Whether a change was begun and not ended."""
    seal: str | None = None
    origins: Origins = field(default_factory=dict)
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
        return [target for target in listing.unfinished() if folded(target) not in self.strangers]

    def believed(self, seal: str | None) -> Origins:
        """The origins, if nobody can have changed the files since."""
        return self.origins if seal is not None and seal == self.seal else {}


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
            origins={target: tuple(origin) for target, origin in raw.get("origins", {}).items()},
            failure=str(raw["failure"]),
            # 1.0 kept no manifest: what it copied, it had digests of
            manifest=list(raw.get("manifest", sorted(manifest.keys(raw.get("digests", {}))))),
            strangers=list(raw.get("strangers", ())),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
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
    began_before = (
        record.strangers if record.under_way else [folded(stranger) for stranger in strangers]
    )
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
