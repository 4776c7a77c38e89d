"""Writing where others may write, too: no name there leads anywhere else.

Who owns a directory can put a link in the place of every name in it, at any moment. So each step starts
from the handle of an open directory (``openat(2)``, ``renameat(2)``), a new file is created by whoever
writes it (``O_EXCL``), and its mode is set through its descriptor.

A path that an administrator configured may lead through symbolic links, as long as root or we made them:
nobody else decides where it leads.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path, PurePath

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 40
"""As in Linux: path_resolution(7)."""
_DECIDED_BY_FILE_SYSTEM = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}


class Directory:
    """A directory that is open. It stays the same one, whatever becomes of its name."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self.descriptor = descriptor
        """With ``O_PATH``: good for the ``…at`` calls."""
        self.path = path
        """For messages."""

    @contextlib.contextmanager
    def entered(self, name: str) -> Iterator["Directory"]:
        """A directory in this one.

        :raises OSError: there is none; a link is none.
        """
        descriptor = self._open(name, _LOOK)
        try:
            self._refuse_unless(stat.S_ISDIR, descriptor, name)
            yield Directory(descriptor, self.path / name)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def below(self, relative: PurePath) -> Iterator["Directory"]:
        """A directory further down; no step of the way is a link.

        :raises OSError: there is none.
        """
        with contextlib.ExitStack() as stack:
            here = self
            for name in relative.parts:
                here = stack.enter_context(here.entered(name))
            yield here

    def make(self, name: str, mode: int) -> bool:
        """Make a directory with this mode, whatever the umask.

        :returns: whether it was missing.
        :raises OSError: it cannot be made; what is there may be no directory.
        """
        try:
            os.mkdir(self._one(name), mode, dir_fd=self.descriptor)
        except FileExistsError:
            return False
        descriptor = self._open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not os.listdir(descriptor):  # noqa: PTH208 - a descriptor; else another one has been put in its place
                set_mode(descriptor, mode)
        finally:
            os.close(descriptor)
        return True

    def create(self, name: str, mode: int) -> int:
        """The descriptor of a new file with this mode, whatever the umask.

        :raises OSError: it cannot be created; one that is there, or a link, is in the way.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = self._open(name, flags, mode)
        set_mode(descriptor, mode)
        return descriptor

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        """The descriptor of a regular file that has no other name: neither kind of link is followed.

        :raises OSError: it cannot be opened, or is something else.
        """
        safe = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe must not keep us waiting
        descriptor = self._open(name, flags | safe, mode)
        try:
            self._refuse_unless(stat.S_ISREG, descriptor, name)
            if os.fstat(descriptor).st_nlink > 1:
                raise _refusal("a file with several names is in the way", self.path / name)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def rename(self, source: str, target: str, elsewhere: "Directory | None" = None) -> None:
        """Give a file in this directory another name, in place of what has it.

        :param elsewhere: the directory where it has that name; this one without it.
        :raises OSError: it cannot be done.
        """
        there = (elsewhere or self).descriptor
        names = self._one(source), self._one(target)
        os.replace(*names, src_dir_fd=self.descriptor, dst_dir_fd=there)

    def replace(self, name: str, data: bytes, mode: int) -> None:
        """Put a file there: who reads sees the old content or the new one. It is not synced.

        :raises OSError: it cannot be written; the old content is still there.
        """
        staged = f".{name}.{os.urandom(4).hex()}"
        try:
            with os.fdopen(self.create(staged, mode), "wb") as file:
                file.write(data)
            self.rename(staged, name)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(staged, dir_fd=self.descriptor)

    def remove(self, name: str) -> None:
        """Remove a file, or a link itself.

        :raises OSError: it cannot be removed.
        """
        os.unlink(self._one(name), dir_fd=self.descriptor)

    def remove_directory(self, name: str) -> None:
        """Remove an empty directory.

        :raises OSError: it cannot be removed.
        """
        os.rmdir(self._one(name), dir_fd=self.descriptor)

    @contextlib.contextmanager
    def readable(self) -> Iterator[int]:
        """A descriptor of this directory that can be listed and synced.

        :raises OSError: it may not be read.
        """
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        descriptor = os.open(".", flags, dir_fd=self.descriptor)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _open(self, name: str, flags: int, mode: int = 0o600) -> int:
        try:
            return os.open(self._one(name), flags, mode, dir_fd=self.descriptor)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _refusal("a symbolic link is in the way", self.path / name) from error
            error.filename = str(self.path / name)
            raise

    def _one(self, name: str) -> str:
        if "/" in name or name in ("", ".", ".."):
            raise OSError(errno.EINVAL, "this is no name of a file", str(self.path / name))
        return name

    def _refuse_unless(self, kind: Callable[[int], bool], descriptor: int, name: str) -> None:
        mode = os.fstat(descriptor).st_mode
        if kind(mode):
            return
        what = "a symbolic link" if stat.S_ISLNK(mode) else "something else"
        raise _refusal(f"{what} is in the way", self.path / name)


@contextlib.contextmanager
def directory(path: Path) -> Iterator[Directory]:
    """Open a directory by its path, through links of root's and ours only. Since 1.1.

    :raises OSError: there is none, or a link of somebody else's leads to it.
    """
    descriptor = _walk(path.absolute())
    try:
        yield Directory(descriptor, path)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def parent(path: Path) -> Iterator[Directory]:
    """As :func:`directory`, of the directory that a file is in."""
    with directory(path.parent) as opened:
        yield opened


def open_file(path: Path, flags: int, mode: int) -> int:
    """As :meth:`Directory.open`, by a path.

    :raises OSError: it cannot be opened, or is no regular file with one name.
    """
    with parent(path) as folder:
        return folder.open(path.name, flags, mode)


def set_mode(descriptor: int, mode: int) -> None:
    """Give an open file its permission bits, where its file system does not decide on them itself.

    :raises OSError: it cannot be done.
    """
    if stat.S_IMODE(os.fstat(descriptor).st_mode) == mode:
        return
    try:
        os.fchmod(descriptor, mode)
    except OSError as error:  # FAT, pmxcfs
        if error.errno not in _DECIDED_BY_FILE_SYSTEM:
            raise


def _walk(path: Path) -> int:
    """A handle of the directory with this absolute path."""
    left, links = list(reversed(path.parts)), 0
    here = os.open("/", _LOOK)
    try:
        while left:
            following = os.open(left.pop(), _LOOK, dir_fd=here)  # "/" leads there from everywhere
            status = os.fstat(following)
            if stat.S_ISLNK(status.st_mode):
                links += 1
                try:
                    left += reversed(_target(following, status, path, links).parts)
                finally:
                    os.close(following)
            else:
                os.close(here)
                here = following
        if not stat.S_ISDIR(os.fstat(here).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except OSError as error:
        os.close(here)
        error.filename = str(path)
        raise
    return here


def _target(link: int, status: os.stat_result, path: Path, links: int) -> Path:
    """Where an open link leads.

    :raises OSError: its owner must not decide that, or there are too many of them.
    """
    if status.st_uid not in _trusted():
        raise _refusal(f"a symbolic link of user {status.st_uid} is in the way", path)
    if links > _MOST_LINKS:
        raise _refusal(os.strerror(errno.ELOOP), path)
    return Path(os.readlink("", dir_fd=link))


@cache
def _roots_owner() -> int:
    """Who owns ``/``: root, also where a user namespace shows it under another number."""
    return Path("/").stat().st_uid


def _trusted() -> set[int]:
    return {0, os.geteuid(), _roots_owner()}


def _refusal(why: str, path: Path) -> OSError:
    return OSError(errno.ELOOP, why, str(path))
