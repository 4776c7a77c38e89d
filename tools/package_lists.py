"""Bring apt's package lists up to date where they are missing or old, once for all who ask, and say so.

    python3 tools/package_lists.py [--unknown]

With ``--unknown`` apt did not know something: then lists are old after an hour, else after a day. Runs
before there is an environment, so it needs the standard library only.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HOUR = 3600.0
DAY = 24 * HOUR
_APT_SECONDS = 600.0


def bring_up_to_date(older_than: float = DAY) -> str | None:
    """Fetch the package lists, where the last time is longer ago.

    :param older_than: seconds.
    :returns: ``None``, or the sentence that says why they are not up to date.
    """
    folder = _folder()
    if _age(folder) < older_than:
        return None
    how = "old" if _names(folder) else "missing"
    if os.geteuid() != 0:
        return f"apt's package lists are {how}: bring them up to date as root: apt-get update"
    with _locked(folder):
        if _age(folder) < older_than:  # somebody else has just done it
            return None
        sys.stderr.write(f"apt's package lists are {how}: fetching them (apt-get update)\n")
        done = subprocess.run(
            # without this option it is no error that no server answers
            ["apt-get", "--option", "APT::Update::Error-Mode=any", "update"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_APT_SECONDS,
        )
        if done.returncode != 0:
            return f"apt's package lists are {how}, and apt-get update failed: {done.stdout}"
        os.utime(folder)  # apt leaves it as it is where nothing is new
    return None


def _folder() -> Path:
    """Where apt keeps its lists."""
    asked = subprocess.run(
        ["apt-config", "shell", "FOLDER", "Dir::State::lists/d"],
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(asked.stdout.strip().removeprefix("FOLDER=").strip("'"))


def _names(folder: Path) -> list[Path]:
    """The lists that there are."""
    return list(folder.glob("*_Packages*"))


def _age(folder: Path) -> float:
    """Seconds since the lists were fetched; without end where there are none."""
    return time.time() - folder.stat().st_mtime if _names(folder) else float("inf")


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(bring_up_to_date(HOUR if "--unknown" in sys.argv[1:] else DAY))
