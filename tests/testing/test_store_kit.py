"""The store kit passes a good store, and catches each seeded bug with a sentence about it."""

import inspect
import threading
from dataclasses import dataclass, field
from time import monotonic

import pytest

from pvefw.core import binding
from pvefw.core.errors import ProviderError, PvefwError
from pvefw.core.families import STORE
from pvefw.core.hookspecs import hookimpl
from pvefw.core.model import StoreEntry, StoreListing, StoreLock
from pvefw.testing import store
from pvefw.testing.store import StoreConformance


@dataclass
class Shared:
    """What two nodes see."""

    values: dict = field(default_factory=dict)
    history: list = field(default_factory=list)
    locks: dict = field(default_factory=dict)
    turn: threading.RLock = field(default_factory=threading.RLock)


@dataclass
class Good:
    """A store in memory."""

    shared: Shared = field(init=False, repr=False)

    @hookimpl
    def store_read(self, key):
        return self.shared.values.get(key)

    def allowed(self, key, revision, locks):
        there = self.shared.values.get(key)
        return (there.revision if there else "") == revision and all(map(self.holds, locks))

    def write(self, key, data):
        self.shared.history.append(key)
        if data is None:
            del self.shared.values[key]
            return ""
        revision = str(len(self.shared.history))
        self.shared.values[key] = StoreEntry(data, revision)
        return revision

    @hookimpl
    def store_swap(self, key, data, revision, locks):
        with self.shared.turn:
            return self.write(key, data) if self.allowed(key, revision, locks) else None

    @hookimpl
    def store_list(self, prefix):
        with self.shared.turn:
            found = {
                key: value.revision
                for key, value in self.shared.values.items()
                if key.startswith(prefix)
            }
            return StoreListing(found, str(len(self.shared.history)))

    def begin(self, position):
        return int(position)

    @hookimpl
    def store_watch(self, prefix, position, timeout):
        at, end = self.begin(position), monotonic() + timeout
        while monotonic() < end:
            for key in self.shared.history[at:]:
                at += 1
                if key.startswith(prefix):
                    yield key
            threading.Event().wait(0.01)

    def holds(self, lock):
        token, _, end, _ = self.shared.locks.get(lock.name, ("", "", 0.0, 0.0))
        return bool(lock.token) and token == lock.token and monotonic() < end

    @hookimpl
    def store_lock(self, name, holder, seconds):
        with self.shared.turn:
            _, who, end, _ = self.shared.locks.get(name, ("", "", 0.0, 0.0))
            if monotonic() < end:
                return StoreLock(name, who, "")
            token = str(monotonic())
            self.shared.locks[name] = token, holder, monotonic() + seconds, seconds
            return StoreLock(name, holder, token)

    @hookimpl
    def store_renew(self, lock):
        with self.shared.turn:
            if not self.holds(lock):
                return False
            token, who, _, seconds = self.shared.locks[lock.name]
            self.shared.locks[lock.name] = token, who, monotonic() + seconds, seconds
            return True

    @hookimpl
    def store_unlock(self, lock):
        with self.shared.turn:
            if self.holds(lock):
                del self.shared.locks[lock.name]


class LosesUpdates(Good):
    """It writes whatever the revision is."""

    def allowed(self, key, revision, locks):
        return not revision or key in self.shared.values


class LooksBeforeItWrites(Good):
    """Comparison and change are two steps."""

    @hookimpl
    def store_swap(self, key, data, revision, locks):
        allowed = self.allowed(key, revision, locks)
        threading.Event().wait(0.01)
        return self.write(key, data) if allowed else None


class RemovesWhatWasChanged(Good):
    def allowed(self, key, revision, locks):
        return super().allowed(key, revision, locks) or bool(revision)


class ReplacesWhatIsThere(Good):
    def allowed(self, key, revision, locks):
        return not revision or super().allowed(key, revision, locks)


class RevisionIsTheValue(Good):
    def write(self, key, data):
        super().write(key, data)
        if data is None:
            return ""
        self.shared.values[key] = StoreEntry(data, f"v{data!r:.20}")
        return self.shared.values[key].revision


class Text(Good):
    """It takes values for text."""

    def write(self, key, data):
        said = None if data is None else data.decode("ascii", "replace").encode()
        return super().write(key, said)


class OnePage(Good):
    @hookimpl
    def store_list(self, prefix):
        found = super().store_list(prefix)
        return StoreListing(dict(list(found.revisions.items())[:10]), found.position)


class ListsEverything(Good):
    @hookimpl
    def store_list(self, prefix):
        return super().store_list("")


class WatchesFromNow(Good):
    """It misses what happened since the listing."""

    def begin(self, position):
        return len(self.shared.history)


class WatchesOnce(Good):
    """It misses what happens meanwhile."""

    @hookimpl
    def store_watch(self, prefix, position, timeout):
        yield from [key for key in self.shared.history[int(position) :] if key.startswith(prefix)]


class WatchesForEver(Good):
    @hookimpl
    def store_watch(self, prefix, position, timeout):
        return super().store_watch(prefix, position, 30.0)


class LockOutlives(Good):
    @hookimpl
    def store_lock(self, name, holder, seconds):
        return super().store_lock(name, holder, 1e9)


class LockOfTwo(Good):
    @hookimpl
    def store_lock(self, name, holder, seconds):
        return StoreLock(name, holder, super().store_lock(name, holder, seconds).token or "2")


class NobodyHoldsIt(Good):
    @hookimpl
    def store_lock(self, name, holder, seconds):
        found = super().store_lock(name, holder, seconds)
        return found if found.token else StoreLock(name, "", "")


class UnlocksForOthers(Good):
    @hookimpl
    def store_unlock(self, lock):
        self.shared.locks.pop(lock.name, None)


class ForgetsTheLocks(Good):
    """Who has lost a lock writes all the same."""

    def allowed(self, key, revision, locks):
        return super().allowed(key, revision, [])


class RenewsNothing(Good):
    @hookimpl
    def store_renew(self, lock):
        return self.holds(lock)


class KeepsWhatItHasRead(Good):
    """It reads each key once."""

    @hookimpl
    def store_read(self, key):
        known = self.__dict__.setdefault("known", {})
        return known.setdefault(key, super().store_read(key))


class LosesTheEnd(Good):
    """Its server takes 64 KiB."""

    def write(self, key, data):
        return super().write(key, None if data is None else data[: 64 << 10])


class RemovesWithARevision(Good):
    def write(self, key, data):
        return super().write(key, data) or str(len(self.shared.history))


class WatchesWhatIsThere(Good):
    @hookimpl
    def store_watch(self, prefix, position, timeout):
        found = super().store_watch(prefix, position, timeout)
        return (key for key in found if key in self.shared.values)


class WatchesEverything(Good):
    @hookimpl
    def store_watch(self, prefix, position, timeout):
        return super().store_watch("", position, timeout)


class WatchesFromTheBeginning(Good):
    def begin(self, position):
        return 0


class FailsWhenTheTimeIsOver(Good):
    @hookimpl
    def store_watch(self, prefix, position, timeout):
        yield from super().store_watch(prefix, position, timeout)
        raise ProviderError("no answer in time")


class ReadsAnotherRevision(Good):
    """That of the store, not of the key."""

    @hookimpl
    def store_read(self, key):
        there = super().store_read(key)
        return there and StoreEntry(there.data, str(len(self.shared.history) + 1))


class UnlocksOnlyOnce(Good):
    @hookimpl
    def store_unlock(self, lock):
        if not self.holds(lock):
            raise ProviderError(f"there is no lock {lock.name}")
        super().store_unlock(lock)


class KeepsWhatIsGivenBack(Good):
    @hookimpl
    def store_unlock(self, lock):
        pass


def failure(plugin_class, name):
    """What one test of the kit says of a store; empty where it passes."""
    test = getattr(StoreConformance(), name)
    plugins = plugin_class(), plugin_class()
    plugins[0].shared = plugins[1].shared = Shared()
    hooks, there = (binding.bind_object(STORE, plugin, "it").hooks for plugin in plugins)
    available = {"plugin": plugins[0], "hooks": hooks, "there": there}
    if name == "test_a_watch_ends":
        plugins[0].write("before", b"")
    try:
        test(
            **{parameter: available[parameter] for parameter in inspect.signature(test).parameters}
        )
    except (AssertionError, PvefwError, pytest.fail.Exception) as error:
        return str(error)
    return ""


class TestGood(StoreConformance):
    """The kit as authors use it."""

    many = 30

    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch):
        monkeypatch.setattr(store, "_LEASE", 0.3)

    @pytest.fixture
    def plugin(self):
        made = Good()
        made.shared = Shared()
        return made

    @pytest.fixture
    def other(self, plugin):
        made = Good()
        made.shared = plugin.shared
        return made


CREATE, OLD = "test_of_two_who_create_one_does", "test_an_old_revision_changes_nothing"
AT_ONCE, REMOVED = "test_updates_at_once_are_all_there", "test_what_is_removed_is_gone"
LIST, WATCH = "test_a_listing_has_every_page", "test_a_watch_misses_nothing"
HOLDER, ENDS = "test_a_lock_has_one_holder", "test_a_lock_ends_with_its_holder"
SEEDED = [
    (LosesUpdates, OLD, "an update is lost"),
    (LooksBeforeItWrites, AT_ONCE, "some are lost"),
    (RemovesWhatWasChanged, OLD, "an update is lost"),
    (ReplacesWhatIsThere, CREATE, "replaced a key that was there"),
    (RevisionIsTheValue, OLD, "leaves the revision as it was"),
    (RevisionIsTheValue, REMOVED, "comes back with a revision that it had"),
    (Text, "test_what_is_written_is_read", "come back as"),
    (OnePage, LIST, "get every page"),
    (ListsEverything, LIST, "of 30 keys"),
    (WatchesFromNow, WATCH, "misses changes of"),
    (WatchesOnce, WATCH, "misses changes of w/late"),
    (WatchesForEver, "test_a_watch_ends", "does not end"),
    (WatchesFromTheBeginning, "test_a_watch_ends", "'before', which nobody has changed"),
    (FailsWhenTheTimeIsOver, "test_a_watch_ends", "it: no answer in time): that is no error"),
    (ReadsAnotherRevision, AT_ONCE, "both are that of this key alone"),
    (LockOutlives, ENDS, "outlives its holder"),
    (LockOfTwo, HOLDER, "two nodes have one lock"),
    (NobodyHoldsIt, HOLDER, "does not learn who holds"),
    (UnlocksForOthers, HOLDER, "took away the lock of another"),
    (ForgetsTheLocks, ENDS, "writes for a node that has lost the lock"),
    (RenewsNothing, "test_a_lock_that_is_renewed_stays", "was renewed in time"),
    (KeepsWhatItHasRead, "test_what_is_written_is_read", "ask the store in every call"),
    (LosesTheEnd, "test_what_is_written_is_read", "up to 1 MiB"),
    (RemovesWithARevision, REMOVED, "it must return an empty revision"),
    (WatchesWhatIsThere, WATCH, "yield removals, too"),
    (WatchesEverything, WATCH, "pass on those alone that begin with it"),
    (UnlocksOnlyOnce, HOLDER, "is no error, leave it alone"),
    (KeepsWhatIsGivenBack, HOLDER, "remove it in store_unlock"),
]


@pytest.mark.parametrize(
    ("bug", "test", "sentence"), SEEDED, ids=[f"{row[0].__name__}-{row[1]}" for row in SEEDED]
)
def test_each_seeded_bug_is_caught_with_a_sentence(monkeypatch, bug, test, sentence):
    monkeypatch.setattr(store, "_LEASE", 0.3)
    monkeypatch.setattr(store, "_SECONDS", 1.0)  # nothing comes, however long it is waited for
    monkeypatch.setattr(StoreConformance, "many", 30)
    assert sentence in failure(bug, test)


@pytest.mark.parametrize("fixture", ["plugin", "other"])
def test_what_the_author_must_write_says_so(fixture):
    definition = getattr(StoreConformance, fixture)
    with pytest.raises(NotImplementedError, match=f"Override the fixture '{fixture}'"):
        definition._fixture_function(StoreConformance())
