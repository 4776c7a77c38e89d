"""Brings one ESP from what is on it to the tree that its loader wants, so that it boots at every moment.

The order of the steps:

1. what an interrupted change has left is removed;
2. new kernels are written under unfinished names, and synced;
3. they get their names, and those are synced;
4. configuration is replaced, one file after the other, each synced twice: content, then name;
5. what is no longer wanted is removed, what refers to files before the files.

Up to step 3 nothing that is there is touched. Every step is one that FAT can do without losing the old
state, and the next begins when it is on the disk.
"""

import contextlib
import errno
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pvefw.boot.difference import Difference
from pvefw.boot.esp_files import EspFiles, Listing, Piece, pieces_of, shown
from pvefw.boot.records import Identity
from pvefw.core.errors import Cancelled, StoreError
from pvefw.core.model import Task
from pvefw.host.durable import unfinished
from pvefw.host.fat import folded

MIB = 1 << 20


@dataclass(frozen=True)
class Need:
    """What a change takes at its height, in bytes."""

    needed: int
    free: int

    @property
    def fits(self) -> bool:
        return self.needed <= self.free


def need(files: EspFiles, listing: Listing, change: Difference) -> Need:
    """How much room a change takes, and how much there is once unfinished files are gone.

    :raises OSError: the file system cannot be asked.
    :raises StoreError: a kernel cannot be looked at.
    """
    _, free, cluster = files.space()

    def clusters(size: int) -> int:
        return -(-size // cluster) * cluster

    free += sum(clusters(max(listing.size(target) or 0, 0)) for target in change.unfinished)
    sizes = [Identity.of(source).size for source in change.copies.values()]
    sizes += [len(data) for data in change.texts.values()]
    # a folder may take another cluster for its new names
    folders = {
        folded(parent) for target in (*change.copies, *change.texts) for parent in target.parents
    }
    return Need(sum(map(clusters, sizes)) + len(folders) * cluster, free)


class Change:
    """One change of one ESP, under way."""

    def __init__(
        self, files: EspFiles, who: str, task: Task, directories: Iterable[str] = ()
    ) -> None:
        self._files = files
        self._who = who
        self._task = task
        self._directories = set(directories)
        self._with_new: list[PurePosixPath] = []
        """Folders in which folders were made that are not synced yet."""
        self.origins: dict[str, Identity] = {}
        """Of what was copied: target to the identity of what it equals."""

    def apply(self, change: Difference, listing: Listing) -> None:
        """Do all of it.

        :raises StoreError: a step failed; what was bootable still is.
        :raises Cancelled: the task was cancelled between two steps.
        """
        self._directories = set(listing.directories)
        self._remove(change.unfinished)
        self._copy(change.copies)
        for target, data in change.texts.items():
            self._stop_if_cancelled()
            self.replace(target, data)
        for group in change.prune:
            self._remove(group)
        for directory in change.empty:
            with self._explained("remove", directory):
                self._files.remove_directory(directory)
                self._files.sync(directory.parent)

    def log(self, what: str) -> None:
        """Say something of this ESP."""
        self._task.log(f"{self._who}: {what}")

    def _copy(self, copies: Mapping[PurePosixPath, Path]) -> None:
        try:
            before = {target: Identity.of(source) for target, source in copies.items()}
            settled = {str(target): origin for target, origin in before.items() if origin.settled}
            self._write(copies)
            for target, source in copies.items():
                _check_unchanged(source, before[target])
            self.origins |= settled
        except (StoreError, Cancelled):
            self._clean(copies)
            raise
        for parent in dict.fromkeys(target.parent for target in copies):
            here = [target for target in copies if target.parent == parent]
            with self._files.kept_open(here):
                for target in here:
                    with self._explained("write", target):
                        self._files.put_in_place(target)
                with self._explained("write", parent):
                    self._files.sync(parent)

    def _write(self, copies: Mapping[PurePosixPath, Path]) -> None:
        """Write new files under unfinished names, and make them durable."""
        for target, source in copies.items():
            self.log(f"writing {shown(target)} ({_size(source)})")
            self._create(target, self._read(source))
        for target in copies:
            with self._explained("write", target):
                self._files.sync_file(target)
        self._sync_new_directories()

    def _read(self, source: Path) -> Iterator[Piece]:
        for piece in pieces_of(source):
            self._stop_if_cancelled()
            yield piece

    def replace(self, target: PurePosixPath, data: bytes) -> None:
        """Give a file another content, durably.

        :raises StoreError: it cannot be written; the old content is still there.
        """
        try:
            self._create(target, [data])
            with self._explained("write", target):
                self._files.sync_file(target)
            self._sync_new_directories()
        except StoreError:
            self._clean([target])
            raise
        with self._explained("write", target), self._files.kept_open([target]):
            self._files.put_in_place(target)
            self._files.sync(target.parent)

    def _create(self, target: PurePosixPath, content: Iterable[bytes | Piece]) -> None:
        with self._explained("write", target):
            self._make_parents(target.parent)
            self._files.create(target, content)

    def _make_parents(self, directory: PurePosixPath) -> None:
        for folder in (*reversed(directory.parents), directory):
            if folder.name and folded(folder) not in self._directories:
                self._files.make_directory(folder)
                self._directories.add(folded(folder))
                self._with_new.append(folder.parent)

    def _sync_new_directories(self) -> None:
        for parent in dict.fromkeys(self._with_new):
            with self._explained("write", parent):
                self._files.sync(parent)
        self._with_new.clear()

    def _remove(self, targets: Iterable[PurePosixPath]) -> None:
        targets = list(targets)
        for target in targets:
            with self._explained("remove", target):
                self._files.remove(target)
        for parent in dict.fromkeys(target.parent for target in targets):
            with self._explained("remove", parent):
                self._files.sync(parent)

    def _clean(self, targets: Iterable[PurePosixPath]) -> None:
        """Remove what was written in vain; what cannot be removed now is removed next time."""
        for target in targets:
            with contextlib.suppress(OSError):
                self._files.remove(unfinished(target))

    def _stop_if_cancelled(self) -> None:
        if self._task.cancelled:
            raise Cancelled

    @contextlib.contextmanager
    def _explained(self, action: str, target: PurePosixPath) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._failure(action, target, error) from error

    def _failure(self, action: str, target: PurePosixPath, error: OSError) -> StoreError:
        numbers, hint = "", "Everything that was bootable still is. See the kernel's log: dmesg"
        if error.errno == errno.ENOSPC:
            with contextlib.suppress(OSError):
                _, free, _ = self._files.space()
                numbers = f" ({free / MIB:.1f} MiB free)"
            hint = "Everything that was bootable still is. Keep fewer kernels, or use a larger ESP."
        elif error.errno == errno.EROFS:
            hint = (
                "The file system became read-only: look at the kernel's log (dmesg), then check it "
                "with fsck.vfat."
            )
        reason = error.strerror or str(error)
        return StoreError(
            f"{self._who}: could not {action} {shown(target)}: {reason}{numbers}", hint=hint
        )


def _check_unchanged(source: Path, identity: Identity) -> None:
    if Identity.of(source) != identity:
        raise StoreError(
            f"{source}: the file was changed while it was copied",
            hint="Wait until it is complete, then run: pvefw boot refresh",
        )


def _size(path: Path) -> str:
    with contextlib.suppress(OSError):
        return f"{path.stat().st_size / MIB:.1f} MiB"
    return "?"
