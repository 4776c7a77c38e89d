"""The store family: what the nodes of a cluster share, where there is no cluster file system.

A store keeps small values (at most 1 MiB) by key, and locks that end with their holder. Core decides what
is kept, encrypts what is secret, and has a copy on each node's disk for when the store cannot be asked.

Keys are relative paths (``nodes/pve1/config``): printable ASCII, without ``.`` and ``..`` as parts. A
revision is whatever the store likes: it is another one after each change of its key, also where the
value is the same again. The empty one means that there is no such key.

Unlike the hooks of most families, these are called from several threads at once.
"""

from collections.abc import Iterator, Sequence

from pvefw.core.hookspecs import required
from pvefw.core.model import StoreEntry, StoreListing, StoreLock


class StoreSpec:
    """Keeps values and locks for all nodes. What one hook has returned, every node sees from then on."""

    @required
    def store_read(self, key: str) -> StoreEntry | None:
        """The value of a key as most members of the store agree on it; ``None`` where there is none.

        Called from several threads at once. Since 1.1.

        :param key: as said above.
        :raises Unavailable: it cannot be asked, or its members cannot agree.
        :raises ProviderError: it refuses.
        """

    @required
    def store_swap(
        self, key: str, data: bytes | None, revision: str, locks: Sequence[StoreLock]
    ) -> str | None:
        """Set or remove a key, if it still has this revision and these locks are still held, in one step.

        Called from several threads at once. Since 1.1.

        :param data: the new value; ``None`` to remove the key.
        :param revision: the one that it must have; empty where there must be no such key.
        :param locks: those that must be held; whoever has lost one must not write.
        :returns: the new revision, empty after a removal; ``None`` where nothing was changed.
        :raises Unavailable: it cannot be asked. Whether it has done so may then be unknown.
        :raises ProviderError: it refuses.
        """

    @required
    def store_list(self, prefix: str) -> StoreListing:
        """All keys that begin with a prefix, however many, at one moment, and which moment that was.

        Called from several threads at once. Since 1.1.

        :param prefix: empty for all.
        :raises Unavailable: it cannot be asked, or its members cannot agree.
        :raises ProviderError: it refuses.
        """

    @required
    def store_watch(self, prefix: str, position: str, timeout: float) -> Iterator[str]:
        """The keys that were changed or removed since a listing, those between the two calls, too.

        Each as soon as it happens, until the time is over. An empty key says that the store does not know
        any more what has changed since then: everything may have.

        Called from several threads at once. Since 1.1.

        :param prefix: that of the listing.
        :param position: that of the listing.
        :param timeout: seconds.
        :raises Unavailable: it cannot be asked, or the connection broke.
        """

    @required
    def store_lock(self, name: str, holder: str, seconds: float) -> StoreLock:
        """Take a lock, if nobody has it; do not wait for it.

        Called from several threads at once. Since 1.1.

        :param name: as a part of a key.
        :param holder: who we are, for those who wait.
        :param seconds: after which it is free again, unless it is renewed; a store may have a longer time
            of its own.
        :returns: the lock; another's has no token.
        :raises Unavailable: it cannot be asked.
        """

    @required
    def store_renew(self, lock: StoreLock) -> bool:
        """Keep a lock for its time once more; whether it was still ours.

        Called from several threads at once. Since 1.1.

        :param lock: as it was taken.
        :raises Unavailable: it cannot be asked.
        """

    @required
    def store_unlock(self, lock: StoreLock) -> None:
        """Give a lock back. One that is no longer ours is left alone, and that is not an error.

        Called from several threads at once. Since 1.1.

        :raises Unavailable: it cannot be asked; the lock expires by itself.
        """
