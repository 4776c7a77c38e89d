"""Files that are there after a power cut: with their old content or with the new one."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TypeVar

from pvefw.host import foreign

_Path = TypeVar("_Path", bound=PurePath)

UNFINISHED = ".pvefw-new"
"""What the names of files end with that are not complete yet; on an ESP, a refresh removes them."""
_PUBLIC = 0o644
_PERMISSIONS = 0o777
_NO_SUCH_OPERATION = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}


def unfinished(target: _Path) -> _Path:
    """Where a file is written before it takes its place."""
    return target.with_name(f".{target.name}{UNFINISHED}")


def replace_file(
    path: Path, data: bytes, *, mode: int | None = None, owner: tuple[int, int] | None = None
) -> None:
    """Replace a file's content, or create it and its directories: a reader sees the old bytes or the new.

    For files that one process at a time writes. What it has left when it was killed is overwritten.

    :param mode: permission bits, from the first byte on; without it those that the file has, or 0644.
    :param owner: user and group id, from the first byte on; without it the process's. Since 1.1.
    :raises OSError: it cannot be done; the old content is still there, unless only the sync of its
        directory failed.
    """
    staged = unfinished(path)
    make_directory(path.parent)
    with foreign.parent(path) as there:
        try:
            _remove(there, staged.name)
            with _kept_open(there, path.name) as old:
                wanted = _mode_of(old) if mode is None else mode
                create_file(there, staged.name, data, wanted, owner)
                there.rename(staged.name, path.name)
                sync_handle(there)
        finally:
            with contextlib.suppress(OSError):
                _remove(there, staged.name)


def remove_file(path: Path) -> None:
    """Remove a file. One that is not there is not an error.

    :raises OSError: it cannot be removed.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), foreign.parent(path) as there:
        there.remove(path.name)
        sync_handle(there)


def _remove(there: foreign.Directory, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        there.remove(name)


@contextlib.contextmanager
def _kept_open(there: foreign.Directory, name: str) -> Iterator[int | None]:
    """Keep a file open that is about to be replaced; ``None`` where there is none.

    FAT frees the clusters of a replaced file once nobody has it open. Were that on the disk before the
    new entry is, a power cut would leave the old entry with nothing behind it.
    """
    try:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=there.descriptor)  # whatever it is
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _mode_of(descriptor: int | None) -> int:
    return _PUBLIC if descriptor is None else os.fstat(descriptor).st_mode & _PERMISSIONS


def create_file(
    there: foreign.Directory,
    name: str,
    data: bytes,
    mode: int,
    owner: tuple[int, int] | None = None,
) -> None:
    """Create a file with this mode, owner and content.

    :raises OSError: it cannot be created; one that already exists, or a link, is in the way.
    """
    with os.fdopen(there.create(name, mode), "wb") as file:
        if owner is not None:
            os.fchown(file.fileno(), *owner)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def make_directory(path: Path, *, private: bool = False) -> None:
    """Create a directory and its parents where they are missing: mode 0755, and 0700 below ``priv``.

    In Proxmox VE's cluster file system, too, what is private is what lies below a directory of that name.

    :param private: the directory itself is, whatever it is called.
    :raises OSError: it cannot be created.
    """
    if path.is_dir():
        return
    make_directory(path.parent)
    with foreign.parent(path) as there:
        there.make(path.name, 0o700 if private or "priv" in path.parts else 0o755)
        sync_handle(there)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable, where the file system offers that."""
    with foreign.directory(path) as there:
        sync_handle(there)


def sync_handle(there: foreign.Directory) -> None:
    """As :func:`sync_directory`, of an open directory."""
    with there.readable() as descriptor:
        try:
            sync_names(descriptor)
        except OSError as error:
            if error.errno not in _NO_SUCH_OPERATION:
                raise


def sync_names(descriptor: int) -> None:
    """Make the names in an open directory durable.

    On FAT, ``fsync`` of a directory succeeds and leaves a rename in memory (Linux 6.1), so the whole file
    system is synced there: syncfs(2). It is known by having no inodes; btrfs has none either, where this
    is only slower.

    :raises OSError: they cannot be written, or the file system does not offer that.
    """
    if os.fstatvfs(descriptor).f_files:
        os.fsync(descriptor)
        return
    import ctypes  # few wait for it: /etc is rarely on such a file system

    if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
