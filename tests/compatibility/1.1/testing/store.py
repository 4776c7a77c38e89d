"""The conformance kit of the store family.

Inherit from :class:`StoreConformance` and say how to make the store, empty, and twice: the second one is
that of another node::

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def plugin(self, server):
            return MyStore(url=server.url, prefix="one-test")

        @pytest.fixture
        def other(self, server):
            return MyStore(url=server.url, prefix="one-test")

What it cannot see: what becomes of the data when members of the store fail, and whether the connection is
encrypted.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from pvefw import seam
from pvefw.api import StoreEntry, StoreLock
from pvefw.seam import StoreSpec
from pvefw.testing._saying import explained
from pvefw.testing._settings import check_help, check_secrets

_LEASE = 2.0
_SECONDS = 60.0
"""How long anything is waited for."""
_WRITERS = 8
_ADDERS, _TURNS = 4, 5
_NOT_OURS = "one that is not ours is no error, leave it alone"
_LARGE = bytes(range(256)) * 4096
"""1 MiB, of all bytes."""


class StoreConformance:
    """What every store must do. Each failure says in one sentence what is wrong."""

    many = 1100
    """How many keys a listing has to have: more than a page of its server's has, if it has pages."""

    @pytest.fixture
    def plugin(self) -> object:
        """The store, made from its settings, empty. To be overridden."""
        raise NotImplementedError("Override the fixture 'plugin': return your store, empty.")

    @pytest.fixture
    def other(self) -> object:
        """The same store as another node has it. To be overridden."""
        raise NotImplementedError(
            "Override the fixture 'other': return another object of the same store."
        )

    @pytest.fixture
    def hooks(self, plugin: object) -> StoreSpec:
        """The store's hooks, bound as core binds them."""
        hooks: StoreSpec = seam.bind("store", plugin).hooks
        return hooks

    @pytest.fixture
    def there(self, other: object) -> StoreSpec:
        """Those that another node has."""
        hooks: StoreSpec = seam.bind("store", other).hooks
        return hooks

    def test_settings_have_help(self, plugin: object) -> None:
        """Every setting has help, and no secret shows."""
        check_help(plugin)
        check_secrets(plugin)

    # --- values -----------------------------------------------------------------------------------

    def test_what_is_written_is_read(self, hooks: StoreSpec, there: StoreSpec) -> None:
        """At once, by other nodes, byte for byte."""
        assert hooks.store_read(key="nodes/pve1/config") is None, (
            "a key is there in an empty store: return None, and let the fixture make an empty store"
        )
        for data in (b"", b"a", _LARGE):
            before = _entry(hooks, "nodes/pve1/config")
            now = hooks.store_swap(
                key="nodes/pve1/config",
                data=data,
                revision=before.revision if before else "",
                locks=[],
            )
            assert now, (
                f"store_swap did not write {len(data)} bytes to the revision that store_read "
                "returned: ask the store in every call, and return the new revision"
            )
            entry = there.store_read(key="nodes/pve1/config")
            assert entry is not None, (
                "another node does not see a key that was written: return from store_swap when most "
                "members have it, and ask them in store_read"
            )
            assert entry.data == data, (
                f"{len(data)} bytes come back as {len(entry.data)} others: values are bytes, up to 1 "
                "MiB; encode them where the server takes text"
            )
            assert entry.revision == now, (
                "store_read has another revision than store_swap returned: both are that of this key, at "
                "its last change"
            )

    def test_of_two_who_create_one_does(self, hooks: StoreSpec, there: StoreSpec) -> None:
        """The empty revision means that there must be no such key."""
        assert hooks.store_swap(key="a", data=b"1", revision="", locks=[])
        assert there.store_swap(key="a", data=b"2", revision="", locks=[]) is None, (
            "store_swap with an empty revision replaced a key that was there: compare and write in one "
            "step of the server's"
        )
        assert _data(hooks, "a") == b"1"

    def test_an_old_revision_changes_nothing(self, hooks: StoreSpec, there: StoreSpec) -> None:
        """Whoever has not seen the last change must not undo it: neither by writing nor by removing."""
        old = hooks.store_swap(key="a", data=b"1", revision="", locks=[]) or ""
        new = there.store_swap(key="a", data=b"2", revision=old, locks=[])
        assert new != old, (
            "a change leaves the revision as it was: take a number that the server counts up"
        )
        same = there.store_swap(key="a", data=b"2", revision=new or "", locks=[])
        assert same not in (None, new), (
            "writing the same value leaves the revision as it was: make no revision of the value, take a "
            "number that the server counts up"
        )
        for data in (b"3", None):
            assert hooks.store_swap(key="a", data=data, revision=old, locks=[]) is None, (
                "store_swap changed a key that had another revision: an update is lost; compare and "
                "write in one step of the server's"
            )
        assert _data(hooks, "a") == b"2", (
            "an update is lost: what store_swap refuses it must not do"
        )

    def test_updates_at_once_are_all_there(self, hooks: StoreSpec, there: StoreSpec) -> None:
        """Nodes that add to one value, again where another was faster."""
        hooks.store_swap(key="sum", data=b"", revision="", locks=[])
        failures: list[BaseException] = []

        def add(node: StoreSpec, number: int) -> None:
            try:
                for _ in range(_TURNS):
                    _append(node, "sum", b"%d" % number)
            except BaseException as error:  # noqa: BLE001 - shown below
                failures.append(error)

        threads = [
            threading.Thread(target=add, args=((hooks, there)[number % 2], number), daemon=True)
            for number in range(_ADDERS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, f"store_swap or store_read failed: {failures[0]}"
        count = len(_data(hooks, "sum") or b"")
        assert count == _ADDERS * _TURNS, (
            f"of {_ADDERS * _TURNS} updates {count} are left: some are lost; compare and write in one "
            "step of the server's"
        )

    def test_what_is_removed_is_gone(self, hooks: StoreSpec, there: StoreSpec) -> None:
        """And can be created again, with a revision that it never had."""
        first = hooks.store_swap(key="a/b", data=b"1", revision="", locks=[]) or ""
        assert hooks.store_swap(key="a/b", data=None, revision=first, locks=[]) == "", (
            "store_swap removed a key: it must return an empty revision after a removal"
        )
        assert there.store_read(key="a/b") is None, (
            "a key that was removed is still read: return from store_swap when it is gone for all nodes"
        )
        assert not there.store_list(prefix="").revisions, (
            "a key that was removed is still listed: leave out what marks a removal"
        )
        again = there.store_swap(key="a/b", data=b"1", revision="", locks=[])
        assert again, (
            "a key that was removed cannot be created again: what is not read has the empty revision"
        )
        assert again != first, (
            "a key that was removed comes back with a revision that it had: let the server count on, or "
            "whoever has seen the old key overwrites the new one"
        )

    # --- watch ------------------------------------------------------------------------------------

    def test_a_watch_misses_nothing(self, hooks: StoreSpec, there: StoreSpec) -> None:
        """What happened between the listing and the watch is in it, and what happens meanwhile."""
        revision = hooks.store_swap(key="w/gone", data=b"1", revision="", locks=[]) or ""
        position = hooks.store_list(prefix="w/").position
        there.store_swap(key="w/early", data=b"1", revision="", locks=[])
        there.store_swap(key="w/gone", data=None, revision=revision, locks=[])
        seen: set[str] = set()
        for key in hooks.store_watch(prefix="w/", position=position, timeout=_SECONDS):
            if not seen:  # the watch is open
                there.store_swap(key="other", data=b"1", revision="", locks=[])
                there.store_swap(key="w/late", data=b"1", revision="", locks=[])
            seen.add(key)
            if not key or seen >= {"w/early", "w/gone", "w/late"}:
                break
        missed = {"w/early", "w/gone", "w/late"} - seen
        assert "" in seen or not missed, (
            f"store_watch misses changes of {', '.join(sorted(missed))}: begin at the listing's "
            "position, go on until the time is over, and yield removals, too"
        )
        assert "other" not in seen, (
            "store_watch yields keys without the prefix: pass on those alone that begin with it"
        )

    def test_a_watch_ends(self, hooks: StoreSpec) -> None:
        """When its time is over, and without an error."""
        position = hooks.store_list(prefix="").position
        ended, seen = threading.Event(), list[str]()
        failures: list[BaseException] = []

        def watch() -> None:
            try:
                seen.extend(hooks.store_watch(prefix="", position=position, timeout=0.5))
            except BaseException as error:  # noqa: BLE001 - shown below
                failures.append(error)
            ended.set()

        threading.Thread(target=watch, daemon=True).start()
        assert ended.wait(_SECONDS), (
            "store_watch does not end when its time is over: give the request that time, and return"
        )
        assert not failures, (
            f"store_watch fails when its time is over ({failures[0]}): that is no error, return"
        )
        assert not seen, (
            f"store_watch yields {seen[0]!r}, which nobody has changed since the listing: begin after "
            "its position"
        )

    # --- locks ------------------------------------------------------------------------------------

    def test_a_lock_has_one_holder(self, hooks: StoreSpec, there: StoreSpec) -> None:
        """Who waits sees who has it; when it is given back, the next may take it."""
        mine = hooks.store_lock(name="order", holder="node pve1", seconds=_SECONDS)
        assert mine.token, "a lock that is free cannot be taken: return it with a token of yours"
        theirs = there.store_lock(name="order", holder="node pve2", seconds=_SECONDS)
        assert not theirs.token, (
            "two nodes have one lock: take it in one step of the server's, and only where nobody has it"
        )
        assert theirs.holder == "node pve1", (
            "a node that waits does not learn who holds the lock: keep the holder with it, and return "
            "that"
        )
        with explained("giving back another's lock", _NOT_OURS):
            there.store_unlock(lock=theirs)
        assert not there.store_lock(name="order", holder="node pve2", seconds=_SECONDS).token, (
            "store_unlock took away the lock of another: compare the token, in one step"
        )
        hooks.store_unlock(lock=mine)
        with explained("giving a lock back twice", _NOT_OURS):
            hooks.store_unlock(lock=mine)
        assert there.store_lock(name="order", holder="node pve2", seconds=_SECONDS).token, (
            "a lock that was given back is not free: remove it in store_unlock"
        )
        assert not hooks.store_renew(lock=mine), (
            "store_renew says that a lock of another is ours: compare the token"
        )

    def test_a_lock_ends_with_its_holder(self, hooks: StoreSpec, there: StoreSpec) -> None:
        """Who does not renew it has lost it, and writes nothing any more."""
        mine = hooks.store_lock(name="order", holder="node pve1", seconds=_LEASE)
        assert hooks.store_swap(key="a", data=b"1", revision="", locks=[mine]), (
            "store_swap refuses the holder of the lock: compare the token with that of the lock"
        )
        taken = _wait(lambda: there.store_lock(name="order", holder="", seconds=_SECONDS))
        assert taken.token, (
            "a lock outlives its holder, who has not renewed it: let the server forget it after 'seconds'"
        )
        revision = (_entry(there, "a") or StoreEntry(b"", "")).revision
        assert hooks.store_swap(key="a", data=b"2", revision=revision, locks=[mine]) is None, (
            "store_swap writes for a node that has lost the lock: let the server compare the locks' "
            "tokens, too, in the step that writes"
        )
        assert not hooks.store_renew(lock=mine), (
            "store_renew says that a lost lock is ours: ask the server whether it still has our token"
        )
        with explained("giving back a lost lock", _NOT_OURS):
            hooks.store_unlock(lock=mine)
        assert not hooks.store_lock(name="order", holder="", seconds=_SECONDS).token, (
            "store_unlock by a node that has lost the lock took it from its holder: compare the token, "
            "in one step"
        )

    def test_a_lock_that_is_renewed_stays(self, hooks: StoreSpec, there: StoreSpec) -> None:
        """For longer than its time."""
        seconds = _LEASE * 2
        mine = hooks.store_lock(name="order", holder="node pve1", seconds=seconds)
        end = seam.monotonic() + seconds * 1.5
        while (now := seam.monotonic()) < end:
            kept = hooks.store_renew(lock=mine)
            if seam.monotonic() - now > seconds / 2:
                pytest.skip("this host is too slow to tell")
            assert kept, (
                "store_renew lets a lock go that was renewed in time: it has its whole time once more"
            )
            taken = there.store_lock(name="order", holder="", seconds=_SECONDS).token
            assert not taken, (
                "a lock was taken from a holder who renews it: let the server count its time from the "
                "last store_renew"
            )
            seam.sleep(0.2)

    # --- many -------------------------------------------------------------------------------------

    def test_a_listing_has_every_page(self, hooks: StoreSpec, there: StoreSpec) -> None:
        """Of a prefix, and no other; also where there are more keys than a server answers with."""
        with ThreadPoolExecutor(_WRITERS) as writers:
            for number in range(self.many):
                writers.submit(
                    hooks.store_swap, key=f"many/{number:04}", data=b"x", revision="", locks=[]
                )
        kept = hooks.store_swap(key="manyfold", data=b"", revision="", locks=[])
        revisions = there.store_list(prefix="many/").revisions
        assert len(revisions) == self.many, (
            f"store_list has {len(revisions)} of {self.many} keys: get every page"
        )
        assert all(key.startswith("many/") for key in revisions), (
            "store_list has keys without the prefix: 'many/' is not 'manyfold', compare the whole prefix"
        )
        everything = there.store_list(prefix="").revisions
        assert len(everything) == self.many + 1, (
            "store_list without a prefix does not have every key: the empty prefix is that of all"
        )
        assert everything["manyfold"] == kept, (
            "store_list has another revision than store_swap returned: it is that of the key, not "
            "that of the whole store"
        )


def _entry(hooks: StoreSpec, key: str) -> StoreEntry | None:
    return hooks.store_read(key=key)


def _data(hooks: StoreSpec, key: str) -> bytes | None:
    entry = hooks.store_read(key=key)
    return entry.data if entry else None


def _append(hooks: StoreSpec, key: str, more: bytes) -> None:
    end = seam.monotonic() + _SECONDS
    while seam.monotonic() < end:
        before = hooks.store_read(key=key)
        assert before is not None, (
            "a key is gone that nobody removed: replace its value in one step"
        )
        if hooks.store_swap(key=key, data=before.data + more, revision=before.revision, locks=[]):
            return
    pytest.fail(
        "store_swap refuses the revision that store_read has returned: both are that of this key alone"
    )


def _wait(take: Callable[[], StoreLock]) -> StoreLock:
    end = seam.monotonic() + _SECONDS
    while not (lock := take()).token and seam.monotonic() < end:
        seam.sleep(0.2)
    return lock
