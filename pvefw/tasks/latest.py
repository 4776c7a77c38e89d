"""The latest task ids, for completion on the command line: imports next to nothing, reads little."""

import os
from pathlib import Path

from pvefw.host import reading

_FIRST, _MOST = 1 << 14, 1 << 20
"""Bytes at the end of the index: so many at first, then more while too few match."""


def latest(directory: Path, prefix: str = "UPID:", limit: int = 50) -> list[str]:
    """The UPIDs of the tasks that run or were entered last and begin so, the latest first.

    :param directory: of the task lists: ``/var/log/pve/tasks``.
    :param limit: how many at most. Of ended tasks, some ten thousand are looked at.
    :returns: none where the lists cannot be read.
    """
    upids: list[str] = []
    size = _FIRST
    while True:
        tail, whole = _tail(directory / "index", size)
        active, _ = _tail(directory / "active", _MOST)
        lines = (line for text in (active, tail) for line in reversed(text.split("\n")))
        words = (line.partition(" ")[0] for line in lines)
        upids = list(dict.fromkeys(word for word in words if _is_so(word, prefix)))
        if whole or len(upids) >= limit or size >= _MOST:
            return upids[:limit]
        size *= 8


def _is_so(word: str, prefix: str) -> bool:
    return word.startswith("UPID:") and word.endswith(":") and word.startswith(prefix)


def _tail(path: Path, size: int) -> tuple[str, bool]:
    """The last lines of a file, and whether these are all."""
    try:
        with reading.opened(path) as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - size, 0))
            data = file.read(size)
    except OSError:
        return "", True
    if end > size:
        data = data.partition(b"\n")[2]  # the first line may lack its beginning
    return data.decode(errors="replace"), end <= size
