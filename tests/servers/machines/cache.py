"""What is expensive to get is kept between test sessions: ``$XDG_CACHE_HOME/pvefw-tests``."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path


def cache() -> Path:
    """The directory, made where it is missing. It may be removed at any time when no test runs."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(home) / "pvefw-tests"
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Only one process at a time, of all that test on this machine."""
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """A directory in the cache; where it is missing, ``make`` fills it, once.

    :param make: gets an empty directory. What an interrupted one has left is thrown away.
    """
    path = cache() / name
    with locked(name):
        if not path.exists():
            unfinished = cache() / f"{name}.part"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(path)
    return path
