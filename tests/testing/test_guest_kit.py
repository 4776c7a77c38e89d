"""The guest kit passes a good plugin, and catches each seeded bug with a sentence about it."""

import contextlib
import inspect
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from _pytest.outcomes import Skipped

from pvefw.core import binding
from pvefw.core.errors import Cancelled, ProviderError, PvefwError, Unavailable, Unsupported
from pvefw.core.families import GUEST
from pvefw.core.hookspecs import hookimpl
from pvefw.core.model import Guest, GuestEvent, GuestState, MigrateTarget
from pvefw.core.settings import setting
from pvefw.testing import guest as kit_module
from pvefw.testing import guest_care as care_module
from pvefw.testing import guest_records as records_module
from pvefw.testing.guest import GuestConformance, PatientTask

STUBBORN = 103


def machines():
    return {
        vmid: Guest(vmid, f"vm{vmid}", "vm", GuestState.STOPPED) for vmid in (101, 102, STUBBORN)
    }


@dataclass
class Good:
    """A hypervisor in memory."""

    uri: str = setting(help="Where.", default="here")
    guests: dict = field(default_factory=machines, init=False)
    changed: threading.Condition = field(default_factory=threading.Condition, init=False)
    events: list = field(default_factory=list, init=False)

    def turn(self, vmid, state):
        with self.changed:
            if vmid not in self.guests:
                raise ProviderError(f"there is no guest {vmid}")
            self.guests[vmid] = replace(self.guests[vmid], state=state)
            self.events.append(GuestEvent(vmid, state, datetime.now(UTC)))
            self.changed.notify_all()

    @hookimpl
    def guest_list(self):
        if self.uri == "nowhere":
            raise Unavailable("there is no hypervisor")
        return list(self.guests.values())

    @hookimpl
    def guest_start(self, guest):
        self.turn(guest.vmid, GuestState.RUNNING)

    @hookimpl
    def guest_shutdown(self, guest, timeout, task):
        if guest.vmid == STUBBORN and self.guests[guest.vmid].state is GuestState.RUNNING:
            task.wait(timeout)
            raise Unavailable("it still runs")
        self.turn(guest.vmid, GuestState.STOPPED)

    @hookimpl
    def guest_stop(self, guest):
        self.turn(guest.vmid, GuestState.STOPPED)

    @hookimpl
    def guest_migrate(self, guest, target):
        raise ProviderError(f"there is no node {target}")

    @hookimpl
    def guest_elsewhere(self, node):
        raise Unavailable(f"there is no node {node}")

    @hookimpl
    def guest_suspend(self, guest, to_disk):
        now = self.guests[guest.vmid]
        if now.state is GuestState.STOPPED and not now.saved:
            raise ProviderError("it does not run")
        self.turn(guest.vmid, GuestState.STOPPED if to_disk else GuestState.PAUSED)
        self.guests[guest.vmid] = replace(self.guests[guest.vmid], saved=to_disk)

    @hookimpl
    def guest_resume(self, guest):
        now = self.guests[guest.vmid]
        if now.state is GuestState.STOPPED and not now.saved:
            raise ProviderError("it was not suspended")
        self.turn(guest.vmid, GuestState.RUNNING)
        self.guests[guest.vmid] = replace(self.guests[guest.vmid], saved=False)

    @hookimpl
    def guest_set(self, guest, values):
        if "vmid" in values:
            raise Unsupported("a guest keeps its number")
        read = {
            "onboot": lambda text: text == "1",
            "ready": str,
            "after": lambda text: [int(vmid) for vmid in text.split(",") if vmid],
        }
        number = lambda text: int(text) if text else None  # noqa: E731 - it is one of several
        kept = {key: read.get(key, number)(text) for key, text in values.items()}
        self.guests[guest.vmid] = replace(self.guests[guest.vmid], **kept)

    @hookimpl
    def guest_watch(self, timeout):
        return self.watch(len(self.events), timeout)

    def watch(self, mark, timeout):
        with self.changed:
            self.changed.wait_for(lambda: len(self.events) > mark, timeout)
            fresh = self.events[mark:]
        yield from fresh


class HasGuestsNowhere(Good):
    @hookimpl
    def guest_elsewhere(self):
        return []


class ChecksNothing(Good):
    @hookimpl
    def guest_migrate_check(self):
        return []


class KnowsEveryNode(Good):
    @hookimpl
    def guest_target(self, target):
        return MigrateTarget(target, 1 << 30)


class ReturnsBeforeRunning(Good):
    @hookimpl
    def guest_start(self, guest):
        if guest.vmid not in self.guests:
            raise ProviderError("no")


class StartsEverybody(Good):
    @hookimpl
    def guest_start(self, guest):
        for vmid in [guest.vmid, *self.guests]:
            self.turn(vmid, GuestState.RUNNING)


class StartToggles(Good):
    @hookimpl
    def guest_start(self, guest):
        self.turn(
            guest.vmid,
            GuestState.STOPPED
            if self.guests.get(guest.vmid, guest).state is GuestState.RUNNING
            else GuestState.RUNNING,
        )


class ShutdownKills(Good):
    @hookimpl
    def guest_shutdown(self, guest):
        self.turn(guest.vmid, GuestState.STOPPED)


class ShutdownPretends(Good):
    @hookimpl
    def guest_shutdown(self, guest):
        pass


class ShutdownKillsLate(Good):
    @hookimpl
    def guest_shutdown(self, guest, timeout, task):
        if guest.vmid == STUBBORN:
            task.wait(timeout)
        self.turn(guest.vmid, GuestState.STOPPED)


class WrongError(Good):
    @hookimpl
    def guest_start(self, guest):
        if guest.vmid not in self.guests:
            raise KeyError(guest.vmid)
        super().guest_start(guest)


class WrongTimeOut(Good):
    @hookimpl
    def guest_shutdown(self, guest, timeout, task):
        try:
            super().guest_shutdown(guest, timeout, task)
        except Unavailable as error:
            raise ProviderError("time-out") from error


class LosesAGuest(Good):
    @hookimpl
    def guest_list(self):
        return [guest for guest in self.guests.values() if guest.state is GuestState.RUNNING]


class ListsTwice(Good):
    @hookimpl
    def guest_list(self):
        return [*self.guests.values(), *self.guests.values()]


class LosesThemWhenStopped(Good):
    @hookimpl
    def guest_stop(self, guest):
        self.turn(guest.vmid, GuestState.STOPPED)
        self.guests[guest.vmid] = replace(self.guests[guest.vmid], name="")


class LosesThemOnTheWay(Good):
    @hookimpl
    def guest_migrate(self, guest, target):
        self.turn(guest.vmid, GuestState.STOPPED)
        raise ProviderError(f"there is no node {target}")


class MigratesToNowhere(Good):
    @hookimpl
    def guest_migrate(self, guest, target):
        pass


class CannotBeCancelled(Good):
    @hookimpl
    def guest_shutdown(self, guest, timeout, task):
        if guest.vmid == STUBBORN and self.guests[guest.vmid].state is GuestState.RUNNING:
            threading.Event().wait(timeout)
            raise Unavailable("it still runs")
        self.turn(guest.vmid, GuestState.STOPPED)


class Forgets(Good):
    @hookimpl
    def guest_set(self, guest, values):
        pass


class SeesNothing(Good):
    def watch(self, mark, timeout):
        yield from ()


class SaysUnknown(Good):
    @hookimpl
    def guest_list(self):
        return [replace(guest, state=GuestState.UNKNOWN) for guest in self.guests.values()]


class RefusesToRepeatAStart(Good):
    @hookimpl
    def guest_start(self, guest):
        if self.guests.get(guest.vmid, guest).state is GuestState.RUNNING:
            raise ProviderError("it runs already")
        super().guest_start(guest)


class RefusesStoppedGuests(Good):
    @hookimpl
    def guest_shutdown(self, guest, timeout, task):
        if self.guests[guest.vmid].state is GuestState.STOPPED:
            raise ProviderError("it does not run")
        super().guest_shutdown(guest, timeout, task)


class StopAsks(Good):
    @hookimpl
    def guest_stop(self, guest):
        if guest.vmid != STUBBORN:
            super().guest_stop(guest)


class StopsEverybody(Good):
    @hookimpl
    def guest_stop(self, guest):
        for vmid in self.guests:
            self.turn(vmid, GuestState.STOPPED)


class ShutsEverybodyDown(Good):
    @hookimpl
    def guest_shutdown(self, guest, timeout, task):
        super().guest_shutdown(guest, timeout, task)
        self.turn(102, GuestState.STOPPED)


@dataclass
class OneAtATime(Good):
    """It keeps what is to start: of two that start at once one is lost."""

    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(2), init=False)

    @hookimpl
    def guest_start(self, guest):
        self.wanted = guest.vmid
        if threading.current_thread() is not threading.main_thread():
            self.meeting.wait(timeout=60)
        if self.wanted == guest.vmid:
            super().guest_start(guest)


class SuspendPretends(Good):
    @hookimpl
    def guest_suspend(self, guest, to_disk):
        pass


class SuspendStops(Good):
    @hookimpl
    def guest_suspend(self, guest, to_disk):
        super().guest_suspend(guest, True)


class ForgetsThatItIsSaved(Good):
    @hookimpl
    def guest_suspend(self, guest, to_disk):
        self.turn(guest.vmid, GuestState.STOPPED if to_disk else GuestState.PAUSED)


class ResumePretends(Good):
    @hookimpl
    def guest_resume(self, guest):
        if self.guests[guest.vmid].state is GuestState.STOPPED:
            super().guest_resume(guest)


class ResumeStartsAfresh(Good):
    @hookimpl
    def guest_resume(self, guest):
        self.turn(guest.vmid, GuestState.RUNNING)
        self.guests[guest.vmid] = replace(self.guests[guest.vmid], saved=False)


class HasNoGuestsWhereItCannotAsk(Good):
    @hookimpl
    def guest_list(self):
        try:
            return super().guest_list()
        except ProviderError:
            return []


class BelievesTheListing(Good):
    """It saves a question: what was listed is still so."""

    @hookimpl
    def guest_start(self, guest):
        if guest.state is not GuestState.RUNNING:
            super().guest_start(guest)


class ShutdownBelievesTheListing(Good):
    @hookimpl
    def guest_shutdown(self, guest, timeout, task):
        if guest.state is not GuestState.STOPPED:
            super().guest_shutdown(guest, timeout, task)


class StopBelievesTheListing(Good):
    @hookimpl
    def guest_stop(self, guest):
        if guest.state is not GuestState.STOPPED:
            super().guest_stop(guest)


@dataclass
class Slow(Good):
    """Its guests take a while to start and to stop; it waits as it should."""

    looks = 5
    """More than fit into the time of hooks that are hurried."""

    def later(self, vmid, state, timeout, task):
        for _ in range(self.looks):
            if timeout <= 0:
                raise Unavailable("it is not there yet")
            task.wait(0.02)
            timeout -= 0.02
        self.turn(vmid, state)

    @hookimpl
    def guest_start(self, guest, timeout, task):
        if self.guests.get(guest.vmid, guest).state is GuestState.RUNNING:
            return
        if guest.vmid not in self.guests:
            raise ProviderError("no")
        self.later(guest.vmid, GuestState.RUNNING, timeout, task)

    @hookimpl
    def guest_stop(self, guest, timeout, task):
        self.later(guest.vmid, GuestState.STOPPED, timeout, task)


class WarnsWhenTheTimeIsOver(Slow):
    @hookimpl
    def guest_start(self, guest, timeout, task):
        try:
            super().guest_start(guest, timeout, task)
        except Unavailable as error:
            task.warn(str(error))


class ReturnsWhenItIsCancelled(Slow):
    @hookimpl
    def guest_start(self, guest, timeout, task):
        with contextlib.suppress(Cancelled):
            super().guest_start(guest, timeout, task)


class StopGivesUpSilently(Slow):
    @hookimpl
    def guest_stop(self, guest, timeout, task):
        with contextlib.suppress(Unavailable):
            super().guest_stop(guest, timeout, task)


class StopReturnsWhenItIsCancelled(Slow):
    @hookimpl
    def guest_stop(self, guest, timeout, task):
        if not task.cancelled:
            super().guest_stop(guest, timeout, task)


@dataclass
class RunsWhenItIsListed(Good):
    """A moment later it runs: what comes after it came too early."""

    starting: list = field(default_factory=list, init=False)

    @hookimpl
    def guest_list(self):
        while self.starting:
            self.turn(self.starting.pop(), GuestState.RUNNING)
        return super().guest_list()

    @hookimpl
    def guest_start(self, guest):
        if guest.vmid not in self.guests:
            raise ProviderError("no")
        self.starting.append(guest.vmid)


class StartRestarts(Slow):
    @hookimpl
    def guest_start(self, guest, timeout, task):
        runs = self.guests.get(guest.vmid, guest).state is GuestState.RUNNING
        if runs:
            self.turn(guest.vmid, GuestState.STOPPED)
        self.looks = 100 if runs else Slow.looks
        super().guest_start(guest, timeout, task)


class PausedIsStopped(Good):
    @hookimpl
    def guest_shutdown(self, guest, timeout, task):
        if self.guests[guest.vmid].state is GuestState.RUNNING:
            super().guest_shutdown(guest, timeout, task)


class StopLeavesPausedOnes(Good):
    @hookimpl
    def guest_stop(self, guest):
        if self.guests[guest.vmid].state is not GuestState.PAUSED:
            super().guest_stop(guest)


class StopRefusesPausedOnes(Good):
    @hookimpl
    def guest_stop(self, guest):
        if self.guests[guest.vmid].state is GuestState.PAUSED:
            raise ProviderError("it does not run")
        super().guest_stop(guest)


class StaysSaved(Good):
    @hookimpl
    def guest_resume(self, guest):
        if not self.guests[guest.vmid].saved:
            super().guest_resume(guest)
        self.turn(guest.vmid, GuestState.RUNNING)


class KeepsWhatIsTakenAway(Good):
    @hookimpl
    def guest_set(self, guest, values):
        if values.get("order"):
            super().guest_set(guest, values)


class WatchesNothing(Good):
    @hookimpl
    def guest_watch(self, timeout):
        return None


@dataclass
class ShowsItsPassword(Good):
    password: str = setting(help="The password.", secret=True, default="s3cr3t-word")

    def __repr__(self):
        return f"ShowsItsPassword({self.password})"


# --- other styles that are right ---------------------------------------------------------------------


@dataclass
class Plain:
    """What is required, and nothing else: it cannot suspend, watch, or keep settings."""

    uri: str = setting(help="Where.", default="here")
    guests: dict = field(default_factory=machines, init=False)
    changed: threading.Condition = field(default_factory=threading.Condition, init=False)
    events: list = field(default_factory=list, init=False)
    turn = Good.turn
    guest_list, guest_start = Good.guest_list, Good.guest_start
    guest_shutdown, guest_stop = Good.guest_shutdown, Good.guest_stop

    @hookimpl
    def guest_migrate(self):
        raise Unsupported("guests stay where they are")


class CannotSuspendThisOne(Good):
    @hookimpl
    def guest_suspend(self, guest):
        raise Unsupported(f"guest {guest.vmid} has a device that cannot be saved")


class PausedOnesDoNotHear(Good):
    """As an operating system that does not run."""

    @hookimpl
    def guest_shutdown(self, guest, timeout, task):
        if self.guests[guest.vmid].state is GuestState.PAUSED:
            task.wait(timeout)
            raise Unavailable("it is paused")
        super().guest_shutdown(guest, timeout, task)


class KeepsNoSettings(Good):
    @hookimpl
    def guest_set(self):
        raise Unsupported("this hypervisor keeps none")


class LooksInShortSteps(Good):
    """It polls with task.wait, as backends without events do."""

    @hookimpl
    def guest_shutdown(self, guest, timeout, task):
        left = timeout
        while guest.vmid == STUBBORN and self.guests[guest.vmid].state is GuestState.RUNNING:
            if left <= 0:
                raise Unavailable("it still runs")
            task.wait(0.05)
            left -= 0.05
        self.turn(guest.vmid, GuestState.STOPPED)


@dataclass
class NoHelp(Good):
    uri: str = "here"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(kit_module, "_SHORT", 0.2)
    monkeypatch.setattr(kit_module, "_MARGIN", 0.5)
    monkeypatch.setattr(care_module, "_SHORT", 0.2)
    monkeypatch.setattr(care_module, "_SETTLES", 0.5)


def cases(test):
    """The arguments that a test is parametrized with, one mapping per run."""
    runs = [{}]
    for mark in getattr(test, "pytestmark", []):
        name, values = mark.args
        runs = [{**run, name: value} for run in runs for value in values]
    return runs


def run_kit(plugin_class, only="test_"):
    """Run every test of the kit by hand; the failures by test."""
    kit = GuestConformance()
    kit.seconds = 5.0
    failures = {}
    for name, test in inspect.getmembers(kit, inspect.ismethod):
        if not name.startswith(only):
            continue
        for arguments in cases(test):
            plugin = plugin_class()
            bound = binding.bind_object(GUEST, plugin, "it")
            available = {
                "plugin": plugin,
                "broken_plugin": plugin_class(uri="nowhere") if hasattr(plugin, "uri") else None,
                "bound": bound,
                "hooks": bound.hooks,
                "vmids": [101, 102],
                "stubborn": STUBBORN,
                "look": lambda vmid, plugin=plugin: plugin.guests[vmid].state,
                "task": PatientTask(),
                **arguments,
            }
            wanted = {
                parameter: available[parameter] for parameter in inspect.signature(test).parameters
            }
            try:
                test(**wanted)
            except (AssertionError, PvefwError, LookupError, Cancelled) as error:
                failures.setdefault(name, str(error))
            except Skipped as skipped:
                failures.setdefault(name, f"skipped: {skipped}")
    return failures


def test_a_good_plugin_passes():
    assert run_kit(Good) == {}


@pytest.mark.parametrize(
    "good",
    [Plain, CannotSuspendThisOne, KeepsNoSettings, LooksInShortSteps, Slow, PausedOnesDoNotHear],
)
def test_a_plugin_of_another_style_passes(good):
    failures = run_kit(good)
    assert [
        sentence_
        for sentence_ in failures.values()
        if not sentence_.startswith("skipped: the plugin")
    ] == []


class TestGood(GuestConformance):
    """The kit as authors use it."""

    seconds = 5.0

    @pytest.fixture
    def plugin(self):
        return Good()

    @pytest.fixture
    def broken_plugin(self):
        return Good(uri="nowhere")

    @pytest.fixture
    def vmids(self):
        return [101, 102]

    @pytest.fixture
    def stubborn(self):
        return STUBBORN

    @pytest.fixture
    def look(self, plugin):
        return lambda vmid: plugin.guests[vmid].state


@pytest.mark.parametrize(
    ("bug", "sentence"),
    [
        (ReturnsBeforeRunning, "does not run although guest_start has returned"),
        (StartsEverybody, "start only the one that is named"),
        (StartToggles, "was started again, and does not run now"),
        (ShutdownKills, "that is core's decision"),
        (ShutdownPretends, "still runs although guest_shutdown has returned"),
        (ShutdownKillsLate, "that is core's decision"),
        (WrongError, "must raise a ProviderError, it raised PluginFailed"),
        (WrongTimeOut, "must raise Unavailable"),
        (LosesAGuest, "guest_list must name every guest"),
        (ListsTwice, "names a VMID twice"),
        (LosesThemWhenStopped, "is not what it was after a start and a stop"),
        (LosesThemOnTheWay, "does not run any more after a migration that failed"),
        (MigratesToNowhere, "to a node that does not exist returned"),
        (CannotBeCancelled, "after the task was cancelled"),
        (Forgets, "and guest_list says"),
        (ChecksNothing, "say why a guest cannot move there"),
        (KnowsEveryNode, "ask the node, and raise a ProviderError"),
        (HasGuestsNowhere, "guest_elsewhere of a node that does not exist returned []"),
        (SeesNothing, "guest_watch does not say so"),
        (NoHelp, "the setting uri has no help"),
        (SaysUnknown, "guest_list says that guest 101 is unknown"),
        (RefusesToRepeatAStart, "it runs already"),
        (RefusesStoppedGuests, "it does not run"),
        (StopAsks, "still runs although guest_stop has returned"),
        (StopsEverybody, "has stopped 102, too"),
        (ShutsEverybodyDown, "has stopped 102, too"),
        (OneAtATime, "hooks of this family are called from several threads"),
        (SuspendPretends, "was suspended to memory, and guest_list says that it is running"),
        (SuspendStops, "was suspended to memory, and guest_list says that it is stopped"),
        (ForgetsThatItIsSaved, "guest_list does not say that it is saved"),
        (ResumePretends, "does not run although guest_resume has returned"),
        (ResumeStartsAfresh, "which is stopped and not saved, returned"),
        (StaysSaved, "runs again, and guest_list says that it is saved"),
        (KeepsWhatIsTakenAway, "took settings away with empty texts"),
        (WatchesNothing, "leave the hook out instead"),
        (HasNoGuestsWhereItCannotAsk, "cannot be asked, and guest_list returns []"),
        (BelievesTheListing, "guest_start returns without starting it"),
        (ShutdownBelievesTheListing, "guest_shutdown returns without stopping it"),
        (StopBelievesTheListing, "guest_stop returns without stopping it"),
        (WarnsWhenTheTimeIsOver, "is over, guest 101 does not run, and guest_start returns"),
        (ReturnsWhenItIsCancelled, "cancelled, guest 101 does not run, and guest_start returns"),
        (StopGivesUpSilently, "is over, guest 101 still runs, and guest_stop returns"),
        (StopReturnsWhenItIsCancelled, "cancelled, guest 101 still runs, and guest_stop returns"),
        (RunsWhenItIsListed, "does not run although guest_start has returned"),
        (StartRestarts, "ran, guest_start was called, and it was stopped meanwhile"),
        (PausedIsStopped, "is paused, and guest_shutdown returns as if it had stopped"),
        (StopLeavesPausedOnes, "is paused, and guest_stop returns as if it had stopped"),
        (StopRefusesPausedOnes, "it does not run: stop it by force"),
        (ShowsItsPassword, "repr() shows the setting password, a secret"),
    ],
)
def test_each_seeded_bug_is_caught_with_a_sentence(bug, sentence):
    failures = run_kit(bug)
    assert any(sentence in sentence_ for sentence_ in failures.values()), failures


# --- what a fifth round of strangers has found ---------------------------------------------------------


class SuspendsWhatHasStopped(Good):
    @hookimpl
    def guest_suspend(self, guest, to_disk):
        if self.guests[guest.vmid].state is GuestState.RUNNING:
            super().guest_suspend(guest, to_disk)


class ShutdownLeavesAnAxe(Good):
    """It gives up in time, and somebody stops the guest all the same."""

    @hookimpl
    def guest_shutdown(self, guest, timeout, task):
        try:
            super().guest_shutdown(guest, timeout, task)
        except Unavailable:
            threading.Timer(0.1, self.turn, [guest.vmid, GuestState.STOPPED]).start()
            raise


class TellsNaiveTimes(Good):
    def turn(self, vmid, state):
        super().turn(vmid, state)
        self.events[-1] = replace(self.events[-1], time=datetime(2026, 1, 1))  # noqa: DTZ001 - the bug


class ForgetsTheOthers(Good):
    @hookimpl
    def guest_set(self, guest, values):
        super().guest_set(guest, {**dict.fromkeys(("onboot", "order", "up", "down"), ""), **values})


class OrderZeroIsNone(Good):
    @hookimpl
    def guest_set(self, guest, values):
        super().guest_set(guest, {**values, "order": (values.get("order") or "").strip("0")})


class AnyTextIsYes(Good):
    @hookimpl
    def guest_set(self, guest, values):
        super().guest_set(
            guest,
            {key: text if key != "onboot" or not text else "1" for key, text in values.items()},
        )


@pytest.mark.parametrize(
    ("plugin", "test", "sentence"),
    [
        (SuspendsWhatHasStopped, "a_stopped_guest_cannot_be_suspended", "raise a ProviderError"),
        (ShutdownLeavesAnAxe, "a_guest_that_ignores_a_shutdown", "leave nothing behind"),
        (TellsNaiveTimes, "changes_are_seen", "make it aware"),
        (ForgetsTheOthers, "settings_of_a_guest_are_kept", "leave everything else"),
        (OrderZeroIsNone, "settings_of_a_guest_are_kept", "is the first, not none"),
        (AnyTextIsYes, "settings_of_a_guest_are_kept", "onboot 0 is no"),
    ],
)
def test_each_bug_of_the_hurried_is_caught(plugin, test, sentence):
    assert sentence in run_kit(plugin, f"test_{test}")[f"test_{test}"]


# --- what a sixth round of strangers has found ---------------------------------------------------------


class KnowsNames(Good):
    @hookimpl
    def guest_start(self, guest):
        named = [other.vmid for other in self.guests.values() if other.name == guest.name]
        self.turn(named[0] if named else guest.vmid, GuestState.RUNNING)


class HasOneLock(Slow):
    """Held while a guest shuts down."""

    lock = threading.Lock()

    @hookimpl
    def guest_start(self, guest, timeout, task):
        with self.lock:
            super().guest_start(guest, timeout, task)

    @hookimpl
    def guest_shutdown(self, guest, timeout, task):
        with self.lock:
            super().guest_shutdown(guest, timeout, task)


class HasOneJob(Slow):
    """The job that was begun last ends every wait."""

    begun, returned = threading.Event(), threading.Event()

    @hookimpl
    def guest_start(self, guest, timeout, task):
        super().guest_start(guest, timeout, task)
        if guest.vmid != STUBBORN:
            self.begun.wait(5)
            self.job = guest.vmid
            self.returned.wait(5)

    @hookimpl
    def guest_shutdown(self, guest, timeout, task):
        self.job = None
        self.begun.set()
        while guest.vmid == STUBBORN and not self.job:
            task.wait(0.02)
        if guest.vmid != STUBBORN:
            self.turn(guest.vmid, GuestState.STOPPED)
        self.returned.set()


def setting_otherwise(change):
    """A backend whose guest_set does something else with what it gets."""

    class Sets(Good):
        @hookimpl
        def guest_set(self, guest, values):
            change(super().guest_set, self, guest, dict(values))

    return Sets


def _of_the_first(kept, self, guest, values):
    kept(next(iter(self.guests.values())), values)


def _without(key):
    def change(kept, _self, guest, values):
        values.pop(key, None)
        kept(guest, values)

    return change


def _one_by_one(kept, _self, guest, values):
    for key, text in values.items():
        kept(guest, {key: text})


def listing(**fields):
    """A backend whose guests have such fields."""

    class Lists(Good):
        @hookimpl
        def guest_list(self):
            return [replace(guest, **fields) for guest in super().guest_list()]

    return Lists


def watching(follow):
    """A backend whose events are these, of what has happened and the place where that begins."""

    class Watches(Good):
        def watch(self, mark, timeout):
            return follow(self, mark, timeout)

    return Watches


def _for_ever(self, mark, timeout):
    yield from Good.watch(self, mark, timeout)
    threading.Event().wait()


def _from_the_beginning(self, _mark, timeout):
    return Good.watch(self, 0, timeout)


def _only_starts(self, mark, timeout):
    for event in Good.watch(self, mark, timeout):
        if event.state is GuestState.RUNNING:
            yield event


def _hours_off(self, mark, timeout):
    for event in Good.watch(self, mark, timeout):
        yield replace(event, time=event.time - timedelta(hours=5))


def _the_first_of_each_answer(self, mark, timeout):
    end = time.monotonic() + timeout
    while (left := end - time.monotonic()) > 0:
        yield from list(Good.watch(self, mark, left))[:1]
        mark = len(self.events)


def _again_and_again(self, mark, timeout):
    end = time.monotonic() + timeout
    while (left := end - time.monotonic()) > 0:
        yield from Good.watch(self, mark, left)


def _in_the_end(self, mark, timeout):
    threading.Event().wait(timeout)
    yield from Good.watch(self, mark, 0)


@pytest.mark.parametrize(
    ("plugin", "test", "sentence"),
    [
        (KnowsNames, "a_guest_is_known_by_its_number", "by vmid or backend_id"),
        (HasOneLock, "no_guest_holds_up_another", "hold no lock while you wait"),
        (HasOneJob, "no_guest_holds_up_another", "out of the instance"),
        (setting_otherwise(_of_the_first), "settings_of_others_stay", "the guest that is named"),
        (setting_otherwise(_without("ready")), "no_setting_is_dropped", "ready is ''"),
        (setting_otherwise(_without("after")), "no_setting_is_dropped", "after is ''"),
        (setting_otherwise(_without("vmid")), "no_setting_is_dropped", "vmid is '101'"),
        (setting_otherwise(_one_by_one), "no_setting_is_dropped", "keep all or nothing"),
        (listing(kind="ct"), "every_guest_is_listed", "'vm' or 'container'"),
        (listing(memory=512), "every_guest_is_listed", "memory is in bytes"),
        (listing(after=""), "every_guest_is_listed", "a list of VMIDs"),
        (listing(after=["101"]), "every_guest_is_listed", "which are numbers"),
        (listing(up="30"), "every_guest_is_listed", "it is a number"),
        (watching(_for_ever), "watching_ends", "end the iterator"),
        (watching(_from_the_beginning), "watching_ends", "from the call on"),
        (watching(_only_starts), "changes_are_seen", "guest 102 is stopped now"),
        (watching(_hours_off), "changes_are_seen", "in its own zone"),
        (watching(_the_first_of_each_answer), "changes_are_seen", "guest 102 is running now"),
        (watching(_again_and_again), "changes_are_seen", "where the last answer has ended"),
        (watching(_in_the_end), "changes_are_seen", "when it happens"),
    ],
)
def test_each_bug_of_the_sixth_round_is_caught(plugin, test, sentence, monkeypatch):
    monkeypatch.setattr(records_module, "_MARGIN", 2.0)
    assert sentence in run_kit(plugin, f"test_{test}")[f"test_{test}"]


def test_watching_that_fails_is_passed_on(monkeypatch):
    """What the hook raises is the failure, whichever test calls it."""
    monkeypatch.setattr(records_module, "_MARGIN", 0.3)

    def fail(_self, _mark, _timeout):
        raise Unavailable("the daemon has gone")
        yield

    failures = run_kit(watching(fail))
    assert {test for test, said in failures.items() if "the daemon has gone" in said} == {
        "test_changes_are_seen",
        "test_watching_ends",
    }
