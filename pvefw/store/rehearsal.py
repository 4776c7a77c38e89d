"""Which files a piece of work changes; or, as a dry run, which ones it would change.

Every write of ours goes through :mod:`pvefw.store.files`, so whatever it does can be rehearsed: what is
written is kept in memory, and read from there until the end.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

Content = bytes | None
"""Of a file: ``None`` where there is none."""


class Watch:
    """What was written while somebody watched.

    :param dry: nothing reaches the disk.
    """

    def __init__(self, *, dry: bool) -> None:
        self.dry = dry
        self.before: dict[Path, Content] = {}
        """Each file that was written, as it was before."""
        self.after: dict[Path, Content] = {}

    @property
    def changed(self) -> list[Path]:
        """The files that have another content now, or would have."""
        return [path for path in self.after if self.after[path] != self.before[path]]

    def note(self, path: Path, before: Content, after: Content) -> None:
        """Remember a write."""
        self.before.setdefault(path, before)
        self.after[path] = after


_WATCH: ContextVar[Watch | None] = ContextVar("pvefw.rehearsal", default=None)


@contextlib.contextmanager
def watching(*, dry: bool) -> Iterator[Watch]:
    """Watch what this thread writes until the body ends.

    :param dry: write nothing.
    """
    made = Watch(dry=dry)
    token = _WATCH.set(made)
    try:
        yield made
    finally:
        _WATCH.reset(token)


def current() -> Watch | None:
    """Who watches, if somebody does."""
    return _WATCH.get()


def is_dry() -> bool:
    """Whether nothing may reach the disk."""
    watch = _WATCH.get()
    return watch is not None and watch.dry
