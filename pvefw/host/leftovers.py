"""Temporary directories that the next command removes if this one is killed."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pvefw.host import confinement, foreign, processes

_PREFIX = "pvefw-run-"


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """A private directory, gone in the end. What killed processes left is removed first.

    :raises OSError: there is no room for one.
    """
    remove_those_of_the_dead()
    path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-{processes.start(os.getpid())}-"))
    try:
        yield path
    finally:
        _remove(path)


def remove_those_of_the_dead() -> None:
    """Remove the directories of processes that no longer exist.

    Everybody can make one that is called so. Those of strangers are left to whoever cleans up there: they
    may be without end.
    """
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*-*"):
        pid, start, _ = path.name.removeprefix(_PREFIX).split("-", 2)
        if pid.isdecimal() and processes.start(int(pid)) != start and _is_ours(path):
            _remove(path)


def _is_ours(path: Path) -> bool:
    """Whether a directory is of a command of ours, or was given to the program that it ran."""
    with contextlib.suppress(OSError):
        owner = path.lstat().st_uid
        return owner == os.geteuid() or confinement.is_own_id(owner)
    return False


def _remove(path: Path) -> None:
    """Remove a directory, through no link, whatever the program that had it has made there."""
    try:
        shutil.rmtree(path, ignore_errors=True)
    except RecursionError:  # thousands of directories within each other
        with contextlib.suppress(OSError):
            _flatten(path)
        shutil.rmtree(path, ignore_errors=True)


def _flatten(path: Path) -> None:
    """Move everything in a directory up to its top: nothing is within anything any more.

    :raises OSError: it cannot be opened.
    """
    with foreign.directory(path) as top:
        waiting = _names(top)
        while waiting:
            with contextlib.suppress(OSError), top.entered(waiting.pop()) as inner:
                for name in _names(inner):
                    moved = os.urandom(16).hex()
                    inner.rename(name, moved, top)
                    waiting.append(moved)


def _names(there: foreign.Directory) -> list[str]:
    with there.readable() as descriptor:
        return os.listdir(descriptor)  # noqa: PTH208 - a descriptor
