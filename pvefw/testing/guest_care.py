"""The part of the guest kit that looks at old listings, short times, paused guests and lost connections.

:class:`pvefw.testing.guest.GuestConformance` inherits it. Since 1.1.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from pvefw import seam
from pvefw.api import Cancelled, Guest, GuestState, ProviderError, Unsupported
from pvefw.seam import Bound, GuestSpec
from pvefw.testing.fakes import FakeTask

_NO_TIME = 0.05
"""Seconds in which hardly any guest starts: core passes on what is left of a time."""
_SHORT = 2.0
_SETTLES = 10.0
"""Seconds for a start that was given up to happen all the same: the next test is not to see it."""
_LOOKS_EVERY = 0.02


class GuestCare:
    """What a careless backend does not do. Each failure says in one sentence what is wrong."""

    seconds = 60.0

    @pytest.fixture
    def broken_plugin(self) -> object | None:
        """The plugin where the hypervisor cannot be asked; ``None`` where that cannot be."""
        return None

    def guest(self, hooks: GuestSpec, vmid: int) -> Guest:
        """A guest as it is listed now."""
        raise NotImplementedError

    def start(self, hooks: GuestSpec, vmid: int, task: FakeTask) -> Guest:
        """Start a guest; it as it is listed then."""
        raise NotImplementedError

    # --- what cannot be asked --------------------------------------------------------------------

    def test_a_hypervisor_that_cannot_be_asked_is_not_one_without_guests(
        self, broken_plugin: object | None
    ) -> None:
        """A ProviderError: with an empty list nobody's guests are shut down before the host is."""
        if broken_plugin is None:
            pytest.skip("override the fixture 'broken_plugin': a plugin that reaches no hypervisor")
        hooks = seam.bind("guest", broken_plugin, type(broken_plugin).__name__).hooks
        try:
            listed = hooks.guest_list()
        except ProviderError:
            return
        raise AssertionError(
            f"the hypervisor cannot be asked, and guest_list returns {list(listed)}: raise Unavailable, "
            "or the host goes down while guests run"
        )

    # --- old listings ----------------------------------------------------------------------------

    def test_starting_relies_on_no_old_listing(
        self,
        hooks: GuestSpec,
        vmids: Sequence[int],
        look: Callable[[int], GuestState],
        task: FakeTask,
    ) -> None:
        """The guest that a hook gets was listed a while ago: it may have stopped since."""
        ran = self.start(hooks, vmids[0], task)
        hooks.guest_stop(guest=ran, timeout=self.seconds, task=task)
        hooks.guest_start(guest=ran, timeout=self.seconds, task=task)
        assert look(vmids[0]) is GuestState.RUNNING, (
            f"guest {vmids[0]} was running when it was listed and has stopped since, and guest_start "
            "returns without starting it: ask for its state, the argument 'guest' is as old as the list"
        )

    @pytest.mark.parametrize("hook", ["guest_shutdown", "guest_stop"])
    def test_stopping_relies_on_no_old_listing(
        self,
        hook: str,
        hooks: GuestSpec,
        vmids: Sequence[int],
        look: Callable[[int], GuestState],
        task: FakeTask,
    ) -> None:
        """The guest that a hook gets was listed a while ago: it may have been started since."""
        stopped = self.guest(hooks, vmids[0])
        self.start(hooks, vmids[0], task)
        getattr(hooks, hook)(guest=stopped, timeout=self.seconds, task=task)
        assert look(vmids[0]) is GuestState.STOPPED, (
            f"guest {vmids[0]} was stopped when it was listed and runs since, and {hook} returns without "
            "stopping it: ask for its state, the argument 'guest' is as old as the list"
        )

    # --- what returns has been done --------------------------------------------------------------

    @pytest.mark.parametrize("why", ["time", "cancelled"])
    def test_a_start_that_is_given_up_is_no_success(
        self,
        why: str,
        hooks: GuestSpec,
        vmids: Sequence[int],
        look: Callable[[int], GuestState],
        task: FakeTask,
    ) -> None:
        """When the time is over, or the task is cancelled: guest_start raises where nothing runs."""
        guest = self.guest(hooks, vmids[0])
        with self._given_up(hooks, guest, look, task), _hurried(why, task):
            hooks.guest_start(guest=guest, timeout=_time(why, self.seconds), task=task)
            assert look(vmids[0]) is GuestState.RUNNING, (
                f"{_REASONS[why]}, guest {vmids[0]} does not run, and guest_start returns: raise "
                "Unavailable when the time is over, and let Cancelled through"
            )

    @pytest.mark.parametrize("why", ["time", "cancelled"])
    @pytest.mark.parametrize("hook", ["guest_shutdown", "guest_stop"])
    def test_a_stop_that_is_given_up_is_no_success(
        self,
        hook: str,
        why: str,
        hooks: GuestSpec,
        vmids: Sequence[int],
        look: Callable[[int], GuestState],
        task: FakeTask,
    ) -> None:
        """When the time is over, or the task is cancelled: the hook raises where the guest still runs."""
        guest = self.start(hooks, vmids[0], task)
        with contextlib.suppress(ProviderError, Cancelled), _hurried(why, task):
            getattr(hooks, hook)(guest=guest, timeout=_time(why, self.seconds), task=task)
            assert look(vmids[0]) is GuestState.STOPPED, (
                f"{_REASONS[why]}, guest {vmids[0]} still runs, and {hook} returns: raise Unavailable "
                "when the time is over, and let Cancelled through"
            )

    @contextlib.contextmanager
    def _given_up(
        self,
        hooks: GuestSpec,
        guest: Guest,
        look: Callable[[int], GuestState],
        task: FakeTask,
    ) -> Iterator[None]:
        """A start that is given up may happen later: the test ends when it has."""
        with contextlib.suppress(ProviderError, Cancelled):
            yield
        task.cancelled = False
        end = seam.monotonic() + _SETTLES
        while look(guest.vmid) is not GuestState.RUNNING and seam.monotonic() < end:
            with contextlib.suppress(ProviderError):
                hooks.guest_start(guest=guest, timeout=self.seconds, task=task)
            task.wait(_LOOKS_EVERY)

    # --- what runs goes on -----------------------------------------------------------------------

    def test_a_guest_that_runs_goes_on_while_it_is_started_again(
        self,
        hooks: GuestSpec,
        vmids: Sequence[int],
        look: Callable[[int], GuestState],
        task: FakeTask,
    ) -> None:
        """Nobody may have noticed that it ran: it is not started afresh."""
        guest = self.start(hooks, vmids[0], task)
        with _watched(look, vmids[0]) as seen:
            hooks.guest_start(guest=guest, timeout=self.seconds, task=task)
        others = sorted(seen - {GuestState.RUNNING})
        assert not others, (
            f"guest {vmids[0]} ran, guest_start was called, and it was {others[0]} meanwhile: return at "
            "once where it runs"
        )

    @pytest.mark.parametrize("hook", ["guest_shutdown", "guest_stop"])
    def test_a_paused_guest_has_not_stopped(
        self,
        hook: str,
        bound: Bound[GuestSpec],
        hooks: GuestSpec,
        vmids: Sequence[int],
        look: Callable[[int], GuestState],
        task: FakeTask,
    ) -> None:
        """It has its memory still: it stops, or the hook raises; guest_stop stops it."""
        if "guest_suspend" not in bound.implemented:
            pytest.skip("the plugin has no guest_suspend")
        guest = self.start(hooks, vmids[0], task)
        try:
            hooks.guest_suspend(guest=guest, to_disk=False, timeout=self.seconds, task=task)
        except Unsupported:
            pytest.skip("the plugin cannot suspend guests to memory")
        paused, seconds = self.guest(hooks, vmids[0]), _SHORT
        if hook == "guest_stop":
            seconds = self.seconds
        try:
            getattr(hooks, hook)(guest=paused, timeout=seconds, task=task)
        except ProviderError as error:
            assert hook == "guest_shutdown", (
                f"guest {vmids[0]} is paused, and guest_stop raises {error}: stop it by force"
            )
            return
        assert look(vmids[0]) is GuestState.STOPPED, (
            f"guest {vmids[0]} is paused, and {hook} returns as if it had stopped: only what is stopped "
            "has stopped; a paused guest loses its memory when the host goes down"
        )


_REASONS = {"time": f"the time of {_NO_TIME} s is over", "cancelled": "the task was cancelled"}


def _time(why: str, seconds: float) -> float:
    return _NO_TIME if why == "time" else seconds


@contextlib.contextmanager
def _hurried(why: str, task: FakeTask) -> Iterator[None]:
    task.cancelled = why == "cancelled"
    try:
        yield
    finally:
        task.cancelled = False


@contextlib.contextmanager
def _watched(look: Callable[[int], GuestState], vmid: int) -> Iterator[set[GuestState]]:
    """Every state that a guest is seen in meanwhile."""
    seen: set[GuestState] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOKS_EVERY):
            with contextlib.suppress(Exception):  # it may not like threads
                seen.add(look(vmid))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
        seen.add(look(vmid))
