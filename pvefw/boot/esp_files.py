"""The files of one ESP: looked at, and changed one step at a time.

Every method that changes something is one step after which the power may fail. Names on FAT do not depend
on case, so they are compared without it. Symbolic links, which FAT does not have, are never followed.
"""

import contextlib
import fnmatch
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from io import BufferedReader
from pathlib import Path, PurePosixPath

from pvefw.host import foreign
from pvefw.host.durable import UNFINISHED, sync_names, unfinished
from pvefw.host.fat import folded
from pvefw.store import files as store_files

_SALVAGED = re.compile(r"fsck\d{4}\.rec")
"""What fsck.vfat makes of clusters that belonged to no file: pieces of what a power cut interrupted."""
_CHUNK = 4 << 20
"""Bytes that are copied at once; between two of them a task can be cancelled."""


def shown(target: PurePosixPath) -> str:
    """The name for a message: whatever somebody called a file, it stays on its line."""
    text = str(target)
    return text if text.isprintable() else text.encode("unicode_escape", "surrogateescape").decode()


@dataclass(frozen=True)
class Piece:
    """A part of an open file, which the kernel can copy without our seeing it."""

    path: Path
    descriptor: int
    offset: int
    size: int
    """Bytes."""

    def read(self) -> bytes:
        """Its content.

        :raises StoreError: it cannot be read.
        """
        try:
            return os.pread(self.descriptor, self.size, self.offset)
        except OSError as error:
            raise store_files.failed("read", self.path, error) from error


@dataclass
class Listing:
    """What is on an ESP; keys are folded names."""

    files: dict[str, tuple[PurePosixPath, int]] = field(default_factory=dict)
    """Name as it is written there, and size. What is no plain file has size -1."""
    directories: dict[str, PurePosixPath] = field(default_factory=dict)

    def size(self, target: PurePosixPath) -> int | None:
        """Bytes of a file, -1 where it is no plain one, ``None`` where there is none."""
        there = self.files.get(folded(target))
        return there[1] if there else None

    def matching(self, pattern: str) -> list[PurePosixPath]:
        """The files of a pattern, in order; ``*`` stays within one folder."""
        return sorted(name for key, (name, _) in self.files.items() if _matches(key, pattern))

    def directories_of(self, pattern: str) -> list[PurePosixPath]:
        """The folders of a pattern."""
        return sorted(name for key, name in self.directories.items() if _matches(key, pattern))

    def unfinished(self) -> list[PurePosixPath]:
        """What is called as the leftovers of an interrupted change are."""
        return sorted(
            name
            for key, (name, _) in self.files.items()
            if key.endswith(UNFINISHED) or _SALVAGED.fullmatch(key)
        )

    def is_empty(self, directory: PurePosixPath, without: Iterable[str] = ()) -> bool:
        """Whether nothing is in a directory.

        :param without: folded names that do not count.
        """
        prefix = f"{folded(directory)}/"
        return not any(
            key.startswith(prefix) for key in {*self.files, *self.directories} - set(without)
        )


def _matches(key: str, pattern: str) -> bool:
    parts, wanted = key.split("/"), pattern.casefold().split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


class EspFiles:
    """The files below a mount point."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # --- looking -------------------------------------------------------------------------------

    def listing(self) -> Listing:
        """Everything that is there.

        :raises OSError: the file system cannot be read.
        """
        listing = Listing()
        self._list(PurePosixPath(), listing)
        return listing

    def _list(self, directory: PurePosixPath, listing: Listing) -> None:
        with os.scandir(self.root / directory) as entries:
            for entry in entries:
                name = directory / entry.name
                if entry.is_dir(follow_symlinks=False):
                    listing.directories[folded(name)] = name
                    self._list(name, listing)
                else:
                    status = entry.stat(follow_symlinks=False)
                    plain = stat.S_ISREG(status.st_mode)
                    listing.files[folded(name)] = (name, status.st_size if plain else -1)

    def stamps(self) -> dict[str, tuple[int, ...]]:
        """Of every file what changes when it is written: folded name to time, size and inode.

        :raises OSError: the file system cannot be read.
        """
        stamps: dict[str, tuple[int, ...]] = {}
        for key, (name, _) in self.listing().files.items():
            status = (self.root / name).lstat()
            stamps[key] = (status.st_mtime_ns, status.st_size, status.st_ino)
        return stamps

    def read(self, target: PurePosixPath) -> bytes:
        """A small file's content.

        :raises OSError: it cannot be read.
        """
        with self._open(target) as file:
            return file.read()

    def equals(self, target: PurePosixPath, source: Path) -> bool:
        """Whether a file's content is that of a file of the host.

        :raises OSError: it cannot be read.
        :raises StoreError: the host's cannot be read.
        """
        with self._open(target) as file:
            same = all(file.read(piece.size) == piece.read() for piece in pieces_of(source))
            return same and not file.read(1)

    def _open(self, target: PurePosixPath) -> BufferedReader:
        with self._directory(target.parent) as there:
            return os.fdopen(there.open(target.name, os.O_RDONLY), "rb")

    @contextlib.contextmanager
    def _directory(self, directory: PurePosixPath) -> Iterator[foreign.Directory]:
        """A directory, open: what is no FAT (a mirror on another file system) may have links."""
        with foreign.directory(self.root) as root, root.below(directory) as opened:
            yield opened

    def space(self) -> tuple[int, int, int]:
        """Bytes: size, free, and of one cluster."""
        status = os.statvfs(self.root)
        cluster = status.f_frsize
        return status.f_blocks * cluster, status.f_bavail * cluster, cluster

    # --- changing ------------------------------------------------------------------------------

    def make_directory(self, directory: PurePosixPath) -> None:
        """Make a directory, whose parent is there; durable after :meth:`sync` of that.

        :raises OSError: it cannot be made.
        """
        with self._directory(directory.parent) as there:
            os.mkdir(directory.name, dir_fd=there.descriptor)

    def create(self, target: PurePosixPath, chunks: Iterable[bytes | Piece]) -> None:
        """Write a file under its unfinished name; durable after :meth:`sync_file`.

        :raises OSError: it cannot be written.
        """
        with self._directory(target.parent) as there:
            descriptor = there.create(unfinished(target).name, 0o600)
        try:
            for chunk in chunks:
                self.write(descriptor, chunk)
            # the disk begins with it now, and does not wait until we have read the next file
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)

    def sync_file(self, target: PurePosixPath) -> None:
        """Make the content of a file under its unfinished name durable.

        :raises OSError: it cannot be written.
        """
        with self._directory(target.parent) as there:
            descriptor = there.open(unfinished(target).name, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def write(self, descriptor: int, data: bytes | Piece) -> None:
        """Write all of the data.

        :raises OSError: it cannot be written.
        :raises StoreError: it cannot be read.
        """
        if isinstance(data, Piece):
            with contextlib.suppress(OSError):  # whose fault it is, the slow way shows
                sent = os.sendfile(descriptor, data.descriptor, data.offset, data.size)
                data = replace(data, offset=data.offset + sent, size=data.size - sent)
            if not data.size:
                return
            data = data.read()
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    @contextlib.contextmanager
    def kept_open(self, targets: Iterable[PurePosixPath]) -> Iterator[None]:
        """Keep what is about to be replaced open.

        FAT frees the clusters of a replaced file once nobody has it open. Were that on the disk before
        the new entry is, a power cut would leave the old entry with nothing behind it.
        """
        with contextlib.ExitStack() as stack:
            for target in targets:
                with contextlib.suppress(OSError):  # it is not there
                    stack.enter_context(self._open(target))
            yield

    def put_in_place(self, target: PurePosixPath) -> None:
        """Give a finished file its name; durable after :meth:`sync`.

        :raises OSError: it cannot be renamed.
        """
        with self._directory(target.parent) as there:
            there.rename(unfinished(target).name, target.name)

    def remove(self, target: PurePosixPath) -> None:
        """Remove a file; durable after :meth:`sync`.

        :raises OSError: it cannot be removed.
        """
        with self._directory(target.parent) as there:
            there.remove(target.name)

    def remove_directory(self, directory: PurePosixPath) -> None:
        """Remove an empty directory.

        :raises OSError: it cannot be removed.
        """
        with self._directory(directory.parent) as there:
            there.remove_directory(directory.name)

    def sync(self, directory: PurePosixPath) -> None:
        """Make the names in a directory durable.

        :raises OSError: they cannot be written.
        """
        with self._directory(directory) as there, there.readable() as descriptor:
            sync_names(descriptor)


def pieces_of(path: Path) -> Iterator[Piece]:
    """A file's content, in pieces; each is good until the next one is asked for.

    :raises StoreError: it cannot be opened.
    """
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise store_files.failed("read", path, error) from error
    with file:
        length = os.fstat(file.fileno()).st_size
        for offset in range(0, length, _CHUNK):
            yield Piece(path, file.fileno(), offset, min(_CHUNK, length - offset))
