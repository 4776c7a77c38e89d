"""Reading files in whose place something else may be: it keeps nobody waiting, and fills no memory.

Opening a pipe waits for somebody who writes to it, a device may give data without end, and a file with a
hole in it can be larger than the memory without taking any room.
"""

import errno
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

LARGEST = 64 << 20
"""Bytes of a file that is read as a whole: some ten times what dpkg's list of packages has."""
_PIECE = 1 << 16
_LONGEST_LINE = 1 << 16
_BLOCK = 512
"""Bytes: stat(2)."""
_PACKED = 1000
"""How many bytes of a file are in one on the disk at most: no file system packs a log better."""


def opened(path: Path) -> BufferedReader:
    """A regular file, open for reading.

    :raises OSError: it cannot be opened, or is something else.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "this is not a regular file", str(path))
        if status.st_size > LARGEST and status.st_blocks * _BLOCK * _PACKED < status.st_size:
            raise OSError(errno.EFBIG, "this is a hole, and no file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def whole(path: Path) -> bytes:
    """The content of a regular file.

    :raises OSError: it cannot be read, is something else, or has more than :data:`LARGEST` bytes.
    """
    data = bytearray()
    with opened(path) as file:
        while piece := file.read1(_PIECE):  # of files of the kernel's, no more can be had at once
            data += piece
            if len(data) > LARGEST:
                raise OSError(errno.EFBIG, f"it has more than {LARGEST >> 20} MiB", str(path))
    return bytes(data)


def lines(file: BufferedReader) -> Iterator[bytes]:
    """The lines of a file with their ends; one without end comes in pieces."""
    return iter(lambda: file.readline(_LONGEST_LINE), b"")
