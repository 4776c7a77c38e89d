"""The part of the guest kit that looks at what a backend says of guests: fields, settings, events.

:class:`pvefw.testing.guest.GuestConformance` inherits it. Since 1.1.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from pvefw import seam
from pvefw.api import Cancelled, Guest, GuestEvent, GuestState, ProviderError, Unsupported
from pvefw.seam import Bound, GuestSpec, PvefwError
from pvefw.testing.fakes import FakeTask

_MARGIN = 30.0
"""Seconds for what should happen at once, on a host that has much to do."""
_MOMENT = 0.1
_HOUR = timedelta(hours=1)
_MEBIBYTE = 1 << 20
_ANOTHER_NUMBER = 999_999_997
_KINDS = ("vm", "container")


class GuestRecords:
    """What a careless backend says wrongly. Each failure says in one sentence what is wrong."""

    seconds = 60.0

    def guest(self, hooks: GuestSpec, vmid: int) -> Guest:
        """A guest as it is listed now."""
        raise NotImplementedError

    def start(self, hooks: GuestSpec, vmid: int, task: FakeTask) -> Guest:
        """Start a guest; it as it is listed then."""
        raise NotImplementedError

    # --- which guest -----------------------------------------------------------------------------

    def test_a_guest_is_known_by_its_number(
        self,
        hooks: GuestSpec,
        vmids: Sequence[int],
        look: Callable[[int], GuestState],
        task: FakeTask,
    ) -> None:
        """Two may have one name, and one may have been renamed since it was listed."""
        first, second = (self.guest(hooks, vmid) for vmid in vmids[:2])
        renamed = replace(first, name=second.name)
        with contextlib.suppress(ProviderError):
            hooks.guest_start(guest=renamed, timeout=self.seconds, task=task)
        assert look(second.vmid) is GuestState.STOPPED, (
            f"guest {first.vmid} was to start, and {second.vmid} does, which has the same name: look for "
            "a guest by vmid or backend_id, names may change and be there twice"
        )

    def test_no_guest_holds_up_another(
        self,
        hooks: GuestSpec,
        vmids: Sequence[int],
        stubborn: int | None,
        look: Callable[[int], GuestState],
        task: FakeTask,
    ) -> None:
        """While one ignores its shutdown another starts, and the one is not taken for the other."""
        if stubborn is None:
            pytest.skip("the fixture 'stubborn' names no guest that ignores a shutdown")
        guest, other = self.start(hooks, stubborn, task), self.guest(hooks, vmids[0])
        shutdown = _Aside(
            lambda: hooks.guest_shutdown(guest=guest, timeout=self.seconds, task=task)
        )
        start = _Aside(lambda: hooks.guest_start(guest=other, timeout=self.seconds, task=task))
        started = start.ends()
        shutdown.ends(_MOMENT)
        task.cancelled = True
        shutdown.ends()
        task.cancelled = False
        start.ends()
        assert started, (
            f"guest {stubborn} does not shut down yet, and guest_start of {vmids[0]} does not return "
            "meanwhile: hold no lock while you wait, and keep nothing of one call in the instance"
        )
        assert shutdown.raised is not None or look(stubborn) is GuestState.STOPPED, (
            f"guest {vmids[0]} was started while {stubborn} was to shut down, and guest_shutdown returns "
            "though that one runs: keep what belongs to one call, a job, say, out of the instance"
        )

    # --- settings --------------------------------------------------------------------------------

    def test_settings_of_others_stay(
        self, bound: Bound[GuestSpec], hooks: GuestSpec, vmids: Sequence[int]
    ) -> None:
        """guest_set keeps something of one guest, and of no other."""
        if "guest_set" not in bound.implemented:
            pytest.skip("the plugin has no guest_set")
        for vmid, others in ((vmids[0], vmids[1:]), (vmids[1], vmids[:1])):
            before = [self.guest(hooks, other) for other in others]
            try:
                hooks.guest_set(guest=self.guest(hooks, vmid), values={"onboot": "1"})
            except Unsupported:
                pytest.skip("the plugin cannot keep this setting")
            now, after = self.guest(hooks, vmid), [self.guest(hooks, other) for other in others]
            hooks.guest_set(guest=now, values={"onboot": "1" if before[0].onboot else ""})
            assert now.onboot and after == before, (
                f"guest_set got onboot=1 for guest {vmid}, and guest_list says {[now, *after]}, where it "
                f"said {before} of the others: keep it with the guest that is named"
            )
            hooks.guest_set(guest=now, values={"onboot": ""})

    @pytest.mark.parametrize("key", ["ready", "after", "vmid"])
    def test_no_setting_is_dropped(
        self, key: str, bound: Bound[GuestSpec], hooks: GuestSpec, vmids: Sequence[int]
    ) -> None:
        """What guest_set cannot keep it refuses with Unsupported, and keeps nothing of the others."""
        if "guest_set" not in bound.implemented:
            pytest.skip("the plugin has no guest_set")
        before = self.guest(hooks, vmids[0])
        text: dict[str, str] = {"ready": "agent", "after": str(vmids[1])}
        values = {"onboot": "0" if before.onboot else "1", key: text.get(key, str(_ANOTHER_NUMBER))}
        try:
            hooks.guest_set(guest=before, values=values)
        except ProviderError as error:
            now = self.guest(hooks, vmids[0])
            assert now == before, (
                f"guest_set got {values} and refuses ({error}), and guest_list says {now} instead of "
                f"{before}: keep all or nothing, look at every key before you write"
            )
            return
        number = _ANOTHER_NUMBER if key == "vmid" else vmids[0]
        listed = {guest.vmid: guest for guest in hooks.guest_list()}
        now = listed.get(number, before)
        old = {"ready": before.ready, "after": ",".join(map(str, before.after))}
        back = {key: old.get(key, str(vmids[0])), "onboot": "1" if before.onboot else ""}
        hooks.guest_set(guest=now, values=back)
        kept = {"ready": now.ready, "after": ",".join(map(str, now.after)), "vmid": str(now.vmid)}
        assert kept[key] == values[key], (
            f"guest_set got {values}, and guest_list says that {key} is {kept[key]!r}: keep it, or raise "
            "Unsupported before you write anything"
        )

    # --- events ----------------------------------------------------------------------------------

    def test_changes_are_seen(
        self, bound: Bound[GuestSpec], hooks: GuestSpec, vmids: Sequence[int], task: FakeTask
    ) -> None:
        """Of each guest, as they happen, each once and with the time at which it happened."""
        if "guest_watch" not in bound.implemented:
            pytest.skip("the plugin has no guest_watch")
        seen: list[GuestEvent] = []
        events = hooks.guest_watch(timeout=self.seconds)
        assert events is not None, "guest_watch returned None: leave the hook out instead"
        running = [self.start(hooks, vmid, task) for vmid in vmids[:2]]
        told = _follow(events, seen, [(vmid, GuestState.RUNNING) for vmid in vmids[:2]])
        _explain(told < 1, vmids[0], GuestState.RUNNING, seen)
        again = hooks.guest_watch(timeout=self.seconds) or iter(())
        hooks.guest_stop(guest=running[1], timeout=self.seconds, task=task)
        stopped = [(vmids[1], GuestState.STOPPED)]
        told = _follow(events, seen, stopped) or _follow(again, seen, stopped)
        _explain(not told, vmids[1], GuestState.STOPPED, seen)
        for event in seen:
            assert event.time.utcoffset() is not None, (
                f"an event of guest_watch has a time without a zone, {event.time}: make it aware, with "
                "datetime.now(UTC)"
            )
            assert abs(event.time - seam.now()) < _HOUR, (
                f"an event of guest_watch that just happened has the time {event.time}, and now it is "
                f"{seam.now()}: read the hypervisor's time in its own zone"
            )
        changes = [(event.vmid, event.state, event.time) for event in seen]
        assert len(changes) == len(set(changes)), (
            f"guest_watch reports one change twice ({seen}): go on where the last answer has ended"
        )

    def test_watching_ends(
        self, bound: Bound[GuestSpec], hooks: GuestSpec, vmids: Sequence[int], task: FakeTask
    ) -> None:
        """When its time is over, also where nothing happens; and it reports nothing that was before."""
        if "guest_watch" not in bound.implemented:
            pytest.skip("the plugin has no guest_watch")
        guest = self.start(hooks, vmids[0], task)
        hooks.guest_stop(guest=guest, timeout=self.seconds, task=task)
        seen: list[GuestEvent] = []
        watching = _Aside(lambda: seen.extend(hooks.guest_watch(timeout=_MOMENT) or ()))
        assert watching.ends(), (
            f"guest_watch goes on {_MARGIN:g} s after its time-out of {_MOMENT} s: end the iterator when "
            "the time is over, also where nothing happens"
        )
        if watching.raised is not None:
            raise watching.raised
        old = [event for event in seen if (event.vmid, event.state) == (vmids[0], guest.state)]
        assert not old, (
            f"guest {vmids[0]} ran and was stopped before guest_watch was called, which says that it "
            "runs: report what happens from the call on"
        )


def check_fields(guest: Guest) -> None:
    """What is listed of a guest is of the kinds and in the units of :class:`Guest`."""
    assert guest.kind in _KINDS, (
        f"guest_list says that guest {guest.vmid} is a {guest.kind!r}: kind is 'vm' or 'container'"
    )
    assert guest.memory == 0 or guest.memory >= _MEBIBYTE, (
        f"guest_list says that guest {guest.vmid} may use {guest.memory} bytes: memory is in bytes"
    )
    assert not isinstance(guest.after, str) and all(type(vmid) is int for vmid in guest.after), (
        f"guest_list says that guest {guest.vmid} is after {guest.after!r}: that is a list of VMIDs, "
        "which are numbers"
    )
    numbers = {"vmid": int, "order": int, "up": int | float, "down": int | float}
    for name, kind in numbers.items():
        value = getattr(guest, name)
        assert value is None or isinstance(value, kind), (
            f"guest_list says that {name} of guest {guest.vmid} is {value!r}: it is a number"
        )


class _Aside:
    """A call in a thread of its own, which may never return."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.raised: BaseException | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._run, args=[call], daemon=True).start()

    def _run(self, call: Callable[[], object]) -> None:
        try:
            call()
        except (PvefwError, Cancelled) as error:
            self.raised = error
        finally:
            self._ended.set()

    def ends(self, seconds: float | None = None) -> bool:
        """Whether it has ended, soon or already."""
        return self._ended.wait(_MARGIN if seconds is None else seconds)


def _follow(
    events: Iterator[GuestEvent], seen: list[GuestEvent], wanted: Sequence[tuple[int, GuestState]]
) -> int:
    """Take in events until all that are wanted have come; how many have, before the hook returned."""
    missing = list(wanted)

    def follow() -> None:
        for event in events:
            seen.append(event)
            if (event.vmid, event.state) in missing:
                missing.remove((event.vmid, event.state))
            if not missing:
                return

    following = _Aside(follow)
    ended = following.ends()
    if following.raised is not None:
        raise following.raised
    _explain(not ended, *(missing or wanted)[0], seen)
    return len(wanted) - len(missing)


def _explain(is_missing: bool, vmid: int, state: GuestState, seen: list[GuestEvent]) -> None:
    assert not is_missing, (
        f"guest {vmid} is {state} now, and guest_watch does not say so, but {seen}: yield each change "
        "when it happens, from the call on, and none later than that"
    )
