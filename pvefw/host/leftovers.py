"""Temporary directories that the next command removes if this one is killed."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pvefw.host import processes

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
        shutil.rmtree(path, ignore_errors=True)


def remove_those_of_the_dead() -> None:
    """Remove the directories of processes that no longer exist."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*-*"):
        pid, start, _ = path.name.removeprefix(_PREFIX).split("-", 2)
        if pid.isdecimal() and processes.start(int(pid)) != start:
            shutil.rmtree(path, ignore_errors=True)  # it follows no links
