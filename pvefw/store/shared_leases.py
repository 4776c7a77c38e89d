"""Locks of a store: taken, kept, lost and left as those of :mod:`pvefw.store.leases` are."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pvefw.core.errors import Locked, PvefwError, StoreError
from pvefw.host.clock import SystemClock
from pvefw.store import leases
from pvefw.store.shared import Shared

if TYPE_CHECKING:
    from pvefw.core.model import StoreLock

SECONDS = 60.0
"""After which the lock of who was killed is free."""
_CLOCK = SystemClock()


class SharedLease:
    """A lock of the store, from the first try to take it.

    :param name: the lock's.
    :param node: the name of this node.
    :param remember: gets what proves that the lock is ours, for who finds it left behind; ``None`` when
        it is gone.
    """

    def __init__(
        self, shared: Shared, name: str, node: str, remember: Callable[[str | None], None]
    ) -> None:
        self._shared = shared
        self._name = name
        self._holder = (
            f"node {node} (process {os.getpid()}, since {_CLOCK.now():%Y-%m-%d %H:%M} UTC)"
        )
        self._remember = remember
        self.in_store = self._proof()

    def _proof(self, token: str = "") -> "StoreLock":
        from pvefw.core.model import StoreLock  # only where there is a store

        return StoreLock(self._name, "", token)

    def take(self) -> bool:
        """Take the lock, if nobody has it.

        :raises StoreError: the store cannot be asked.
        """
        with self._shared.asking(f"{self._name}: could not take the lock"):
            self.in_store = self._shared.hooks.store_lock(
                name=self._name, holder=self._holder, seconds=SECONDS
            )
        return bool(self.in_store.token)

    def holder(self) -> str:
        """Who has the lock, for messages."""
        return self.in_store.holder or "another node or program"

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Renew a lock that was taken, until the block is left; then give it back.

        What others have written while they had it is on this node's disk before the block begins.
        """
        self._remember(self.in_store.token)
        done = threading.Event()
        renewal = threading.Thread(target=self._renew, args=(done,), daemon=True)
        renewal.start()
        try:
            self._shared.look(now=True)
            with leases.holding(self):
                yield
        finally:
            done.set()
            renewal.join()
            # where that fails it expires, or the next process here gives it back
            with contextlib.suppress(PvefwError):
                self._shared.hooks.store_unlock(lock=self.in_store)
                self._remember(None)

    def check(self) -> None:
        """Make sure that the lock is still ours; where nobody knows, nothing can be written either.

        :raises Locked: it is not.
        """
        with contextlib.suppress(StoreError), self._shared.asking(self._name):
            if not self._shared.hooks.store_renew(lock=self.in_store):
                raise Locked(
                    f"{self._name}: this process slept for longer than its lock lasts, "
                    "and another may have taken it over",
                    hint="Nothing was written since. Try again.",
                )

    def remove_left_behind(self, token: str) -> None:
        """Give back a lock that a process of this host left behind when it died."""
        with contextlib.suppress(PvefwError):
            self._shared.hooks.store_unlock(lock=self._proof(token))

    def _renew(self, done: threading.Event) -> None:
        while not done.wait(SECONDS / 4):
            with contextlib.suppress(PvefwError):  # the next try may get through
                if not self._shared.hooks.store_renew(lock=self.in_store):
                    return
