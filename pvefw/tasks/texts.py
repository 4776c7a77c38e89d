"""The text files of the history, open and read in pieces."""

import contextlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pvefw.host import reading
from pvefw.store import files
from pvefw.store.paths import Paths
from pvefw.tasks import registry
from pvefw.tasks.index import LARGEST, Damaged

_LINE = 512
"""Bytes to read for a line: few are longer."""
_MARK = 256


@dataclass(frozen=True)
class Text:
    """One of the text files, open, so that it stays the same whatever becomes of its name."""

    rank: int
    """0 for the newest, -1 for the one before."""
    path: Path
    descriptor: int
    device: int
    inode: int
    size: int

    def as_it_is_now(self) -> "Text":
        """The same, with its present size."""
        return replace(self, size=os.fstat(self.descriptor).st_size)

    def read(self, low: int, high: int) -> bytes:
        """The bytes from ``low`` to ``high``.

        :raises StoreError: they cannot be read.
        :raises Damaged: there are not so many: somebody cut the file off.
        """
        try:
            data = os.pread(self.descriptor, high - low, low)
        except OSError as error:
            raise files.failed("read", self.path, error) from error
        if len(data) != high - low:
            raise Damaged(f"{self.path} became shorter")
        return data

    def line(self, offset: int) -> str:
        """The line that begins there, without its end."""
        data, size = b"", _LINE
        while b"\n" not in data and offset + len(data) < self.size:
            data = self.read(offset, min(offset + size, self.size))
            size *= 8
        return data.partition(b"\n")[0].decode(errors="replace")

    def mark(self, high: int) -> int:
        """CRC-32 of what comes right before ``high``."""
        return zlib.crc32(self.read(max(high - _MARK, 0), high))

    def end_of_lines(self) -> int:
        """Where its last complete line ends."""
        high = self.size
        while high:
            low = max(high - _LINE, 0)
            at = self.read(low, high).rfind(b"\n")
            if at >= 0:
                return low + at + 1
            high = low
        return 0

    def line_from(self, high: int, size: int) -> int:
        """Where the first line begins that lies wholly within the ``size`` bytes before ``high``.

        Where there is none, of so many more bytes that there is one.
        """
        low = high - size
        while low > 0:
            data = self.read(low, high)
            at = data.find(b"\n") + 1
            if 0 < at < len(data):
                return low + at
            low -= size
            size *= 2
        return 0


@contextlib.contextmanager
def opened(paths: Paths) -> Iterator[list[Text]]:
    """The text files that there are, newest first.

    :raises StoreError: one cannot be opened.
    :raises Damaged: one is being put in another's place.
    """
    newest, older = registry.indexes(paths)
    with contextlib.ExitStack() as stack:
        # in this order: when the newest becomes the older one in between, it is there twice, not lost
        both = [_open(stack, newest, 0), _open(stack, older, -1)]
        texts = [text for text in both if text is not None]
        if len({(text.device, text.inode) for text in texts}) < len(texts):
            raise Damaged("the index is being rotated")
        yield texts


def _open(stack: contextlib.ExitStack, path: Path, rank: int) -> Text | None:
    try:
        descriptor = stack.enter_context(reading.opened(path)).fileno()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.failed("read", path, error) from error
    stat = os.fstat(descriptor)
    inode = stat.st_ino & LARGEST  # some file systems use all 64 bits
    return Text(rank, path, descriptor, stat.st_dev, inode, stat.st_size)
