"""Puts files in their places on this host: all or none, and back where what follows fails."""

import contextlib
import errno
import grp
import pwd
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from pvefw.api import ProviderError, Task, remove_file, replace_file
from pvefw_observer_targets.forms import Wanted

__all__ = ["placed", "plan"]

_Old = tuple[bytes, int, tuple[int, int]]
"""A file's content, mode and owner."""


def plan(files: Sequence[Wanted]) -> list[str]:
    """Which files would be written, a line each.

    :raises ProviderError: there is no such owner, or what is there cannot be read.
    """
    return [f"write {file}" for file in files if not _is_there(file)]


@contextlib.contextmanager
def placed(files: Sequence[Wanted], task: Task) -> Iterator[None]:
    """Write the files; where one cannot be written, or the block fails, they are as they were.

    Each is complete before it takes its place, and private from its first byte.

    :raises ProviderError: they are not written.
    """
    before: list[tuple[Path, _Old | None]] = []
    try:
        for file in files:
            before.append((file.path, _there(file.path)))
            _write(file)
            task.log(f"Wrote {file.path}")
        yield
    except BaseException:
        for path, old in before:
            with contextlib.suppress(OSError):
                _put_back(path, old)
        raise


def _write(wanted: Wanted) -> None:
    try:
        replace_file(wanted.path, wanted.data, mode=wanted.mode, owner=_ids(wanted.owner))
    except OSError as error:
        raise ProviderError(
            f"{error.filename or wanted.path} cannot be written: {error.strerror}",
            hint=_hint(error, wanted.path),
        ) from error


def _is_there(wanted: Wanted) -> bool:
    owner, there = _ids(wanted.owner), _there(wanted.path)
    if there is None:
        return False
    data, mode, whose = there
    same = wanted.content(data) == wanted.content(wanted.data)
    return same and mode == wanted.mode and owner in (None, whose)


def _ids(owner: str) -> tuple[int, int] | None:
    if not owner:
        return None
    user, _, group = owner.partition(":")
    try:
        known = pwd.getpwnam(user)
        return known.pw_uid, grp.getgrnam(group).gr_gid if group else known.pw_gid
    except KeyError:
        raise ProviderError(f"owner {owner}: there is no such user or group") from None


def _hint(error: OSError, path: Path) -> str:
    """The unit of the timer may write to few directories only."""
    if error.errno != errno.EROFS:
        return ""
    return (
        "If it fails in the timer's unit only, allow that to write there: systemctl edit "
        f"pvefw-renew.service, with a section [Service] and ReadWritePaths={path.parent}"
    )


def _put_back(path: Path, old: _Old | None) -> None:
    """Let a file be as it was, or not be, where there was none."""
    if old is None:
        remove_file(path)
        return
    data, mode, whose = old
    replace_file(path, data, mode=mode, owner=whose)


def _there(path: Path) -> _Old | None:
    """What is there; ``None`` where there is none."""
    try:
        status = path.stat()
        return path.read_bytes(), stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ProviderError(f"{path} cannot be read: {error.strerror}") from error
