"""The conformance kit of the guest family.

Inherit from :class:`GuestConformance` and say how to make the plugin, which guests it may play with, and
how to see from outside what a guest does::

    class TestLibvirt(GuestConformance):
        @pytest.fixture
        def plugin(self, daemon):
            return Libvirt(uri=daemon.uri)

        @pytest.fixture
        def vmids(self, daemon):
            return [101, 102]

        @pytest.fixture
        def look(self, daemon):
            return lambda vmid: GuestState.RUNNING if daemon.runs(vmid) else GuestState.STOPPED

Hooks that the plugin does not have, or that raise ``Unsupported``, are passed over.

Give it ``broken_plugin``, too, one that reaches no hypervisor. Let the guests of a fake take a second to
start and to stop, or a hook that returns too early does not show.

What it cannot see: what a guest loses when it is suspended, moves to another node that succeed, an agent
inside a guest, a hypervisor that restarts meanwhile, and guests that somebody else changes then.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from pvefw import seam
from pvefw.api import (
    Cancelled,
    Guest,
    GuestState,
    MigrateOptions,
    ProviderError,
    Unavailable,
    Unsupported,
)
from pvefw.seam import Bound, GuestSpec
from pvefw.testing._saying import unlike_a_refusal
from pvefw.testing._settings import check_help, check_secrets
from pvefw.testing.fakes import FakeTask
from pvefw.testing.guest_care import GuestCare
from pvefw.testing.guest_records import GuestRecords, check_fields

Look = Callable[[int], GuestState]
_NOBODY = 999_999_998
_MARGIN = 30.0
"""Seconds that a hook may take beyond its time-out: core waits no longer."""
_SHORT = 2.0
_AFTERWARDS = 0.5


class PatientTask(FakeTask):
    """A task whose :meth:`wait` really waits: hooks of this family wait for guests."""

    def __init__(self) -> None:
        super().__init__()
        self._never = threading.Event()

    def wait(self, seconds: float) -> None:
        """Sleep, or raise :class:`Cancelled` where the task is cancelled."""
        super().wait(seconds)
        end = seam.monotonic() + seconds
        while (left := end - seam.monotonic()) > 0:
            self._never.wait(min(left, 0.1))
            if self.cancelled:
                raise Cancelled


class GuestConformance(GuestCare, GuestRecords):
    """What every guest backend must do. Each failure says in one sentence what is wrong."""

    seconds = 60.0
    """The time-out that hooks get where it should not matter."""

    @pytest.fixture
    def plugin(self) -> object:
        """The plugin, made from its settings. To be overridden."""
        raise NotImplementedError(
            "Override the fixture 'plugin': return your plugin, ready to use."
        )

    @pytest.fixture
    def vmids(self) -> Sequence[int]:
        """At least two guests that the kit may start and stop, and that obey. To be overridden."""
        raise NotImplementedError(
            "Override the fixture 'vmids': return the VMIDs of two guests that shut down when asked."
        )

    @pytest.fixture
    def look(self) -> Look:
        """Sees from outside, not through the plugin, what a guest does. To be overridden."""
        raise NotImplementedError(
            "Override the fixture 'look': return a function that takes a VMID and returns its state."
        )

    @pytest.fixture
    def stubborn(self) -> int | None:
        """A guest that runs on when it is asked to shut down; ``None`` where there can be none."""
        return None

    @pytest.fixture
    def task(self) -> FakeTask:
        """The task that hooks get."""
        return PatientTask()

    @pytest.fixture
    def bound(self, plugin: object) -> Bound[GuestSpec]:
        """The plugin as core binds it."""
        made: Bound[GuestSpec] = seam.bind("guest", plugin, type(plugin).__name__)
        return made

    @pytest.fixture
    def hooks(
        self, bound: Bound[GuestSpec], vmids: Sequence[int], stubborn: int | None, task: FakeTask
    ) -> Iterator[GuestSpec]:
        """The plugin's hooks; all guests are stopped before and after the test."""
        everybody = [*vmids, *([] if stubborn is None else [stubborn])]
        self._stop(bound.hooks, everybody, task)
        yield bound.hooks
        task.cancelled = False
        self._stop(bound.hooks, everybody, task)

    def _stop(self, hooks: GuestSpec, vmids: Sequence[int], task: FakeTask) -> None:
        listed = {guest.vmid: guest for guest in hooks.guest_list()}
        for vmid in vmids:
            if vmid in listed and listed[vmid].state is not GuestState.STOPPED:
                hooks.guest_stop(guest=listed[vmid], timeout=self.seconds, task=task)

    def guest(self, hooks: GuestSpec, vmid: int) -> Guest:
        """A guest as it is listed now."""
        listed = [guest for guest in hooks.guest_list() if guest.vmid == vmid]
        assert listed, f"guest {vmid} is not listed: guest_list must name every guest of this node"
        return listed[0]

    def start(self, hooks: GuestSpec, vmid: int, task: FakeTask) -> Guest:
        """Start a guest; it as it is listed then."""
        hooks.guest_start(guest=self.guest(hooks, vmid), timeout=self.seconds, task=task)
        return self.guest(hooks, vmid)

    # --- what is there -------------------------------------------------------------------------

    def test_settings_have_help(self, plugin: object) -> None:
        """Every setting says what it is for."""
        check_help(plugin)

    def test_secrets_do_not_show(self, plugin: object) -> None:
        """``repr`` may appear in any log."""
        check_secrets(plugin)

    def test_every_guest_is_listed(
        self, hooks: GuestSpec, vmids: Sequence[int], look: Look
    ) -> None:
        """Also those that are stopped, each once, with the state that it has."""
        listed = [other.vmid for other in hooks.guest_list()]
        assert len(listed) == len(set(listed)), (
            "guest_list names a VMID twice: name each guest once"
        )
        for vmid in vmids:
            guest = self.guest(hooks, vmid)
            check_fields(guest)
            assert guest.state is look(vmid), (
                f"guest_list says that guest {vmid} is {guest.state}, and it is {look(vmid)}: ask for "
                "its state in every call"
            )

    # --- start ---------------------------------------------------------------------------------

    def test_a_guest_runs_when_start_returns(
        self, hooks: GuestSpec, vmids: Sequence[int], look: Look, task: FakeTask
    ) -> None:
        """Not a moment earlier: what comes after it relies on that."""
        guest = self.guest(hooks, vmids[0])
        hooks.guest_start(guest=guest, timeout=self.seconds, task=task)
        state = look(vmids[0])  # at once: a moment later it may run
        listed = self.guest(hooks, vmids[0])
        assert state is GuestState.RUNNING, (
            f"guest {vmids[0]} does not run although guest_start has returned: wait until it does"
        )
        assert listed.state is GuestState.RUNNING, (
            f"guest {vmids[0]} runs, and guest_list says that it is {listed.state}: ask for its state in "
            "every call"
        )

    def test_only_that_guest_starts(
        self, hooks: GuestSpec, vmids: Sequence[int], look: Look, task: FakeTask
    ) -> None:
        """The others stay as they are."""
        self.start(hooks, vmids[0], task)
        assert look(vmids[1]) is GuestState.STOPPED, (
            f"guest_start of {vmids[0]} has started {vmids[1]}, too: start only the one that is named"
        )

    def test_starting_a_guest_that_runs_is_not_an_error(
        self, hooks: GuestSpec, vmids: Sequence[int], look: Look, task: FakeTask
    ) -> None:
        """And does not start it again."""
        guest = self.start(hooks, vmids[0], task)
        hooks.guest_start(guest=guest, timeout=self.seconds, task=task)
        assert look(vmids[0]) is GuestState.RUNNING, (
            f"guest {vmids[0]} ran, was started again, and does not run now: repeat nothing"
        )

    def test_guests_start_side_by_side(
        self, hooks: GuestSpec, vmids: Sequence[int], look: Look, task: FakeTask
    ) -> None:
        """From several threads at once."""
        with ThreadPoolExecutor(len(vmids)) as pool:
            list(pool.map(lambda vmid: self.start(hooks, vmid, task), vmids))
        for vmid in vmids:
            assert look(vmid) is GuestState.RUNNING, (
                f"guest {vmid} does not run after several were started at once: "
                "hooks of this family are called from several threads"
            )

    def test_a_guest_that_does_not_exist(
        self, hooks: GuestSpec, vmids: Sequence[int], task: FakeTask
    ) -> None:
        """A ProviderError in the hypervisor's words."""
        somebody = self.guest(hooks, vmids[0])
        nobody = replace(somebody, vmid=_NOBODY, name="nobody", backend_id="")
        raised = unlike_a_refusal(
            lambda: hooks.guest_start(guest=nobody, timeout=_SHORT, task=task)
        )
        assert not raised, (
            f"starting a guest that does not exist must raise a ProviderError, it raised {raised}: "
            "catch what your hypervisor raises, and pass its words on"
        )

    # --- shutdown and stop ---------------------------------------------------------------------

    def test_a_guest_has_stopped_when_shutdown_returns(
        self, hooks: GuestSpec, vmids: Sequence[int], look: Look, task: FakeTask
    ) -> None:
        """Not a moment earlier; and only this one."""
        guest = self.start(hooks, vmids[0], task)
        self.start(hooks, vmids[1], task)
        hooks.guest_shutdown(guest=guest, timeout=self.seconds, task=task)
        assert look(vmids[0]) is GuestState.STOPPED, (
            f"guest {vmids[0]} still runs although guest_shutdown has returned: wait until it stopped"
        )
        assert look(vmids[1]) is GuestState.RUNNING, (
            f"guest_shutdown of {vmids[0]} has stopped {vmids[1]}, too: ask the one that is named"
        )

    def test_shutting_down_a_stopped_guest_is_not_an_error(
        self, hooks: GuestSpec, vmids: Sequence[int], task: FakeTask
    ) -> None:
        """It is as it was to be."""
        guest = self.guest(hooks, vmids[0])
        hooks.guest_shutdown(guest=guest, timeout=self.seconds, task=task)
        hooks.guest_stop(guest=guest, timeout=self.seconds, task=task)

    def test_a_guest_that_ignores_a_shutdown(
        self, hooks: GuestSpec, stubborn: int | None, look: Look, task: FakeTask
    ) -> None:
        """Is left running, and named with Unavailable, when the time is over."""
        if stubborn is None:
            pytest.skip("the fixture 'stubborn' names no guest that ignores a shutdown")
        guest = self.start(hooks, stubborn, task)
        begin = seam.monotonic()
        try:
            hooks.guest_shutdown(guest=guest, timeout=_SHORT, task=task)
        except Unavailable:
            pass
        except ProviderError as error:
            raise AssertionError(
                "a guest that still runs after the time-out must raise Unavailable, "
                f"guest_shutdown raised {type(error).__name__}: {error}"
            ) from error
        else:
            assert look(stubborn) is GuestState.STOPPED, (
                "guest_shutdown returned although the guest still runs: raise Unavailable"
            )
        assert look(stubborn) is GuestState.RUNNING, (
            "guest_shutdown has stopped a guest hard that ignored it: that is core's decision"
        )
        took = seam.monotonic() - begin
        seam.sleep(_AFTERWARDS)
        assert look(stubborn) is GuestState.RUNNING, (
            "guest_shutdown has given up, and the guest is stopped a moment later: leave nothing behind "
            "that stops it hard, that is core's decision"
        )
        assert took < _SHORT + _MARGIN, (
            f"guest_shutdown took {took:.0f} s with a time-out of {_SHORT:g} s: "
            "give up with Unavailable when it is over"
        )

    def test_stop_does_not_ask(
        self,
        hooks: GuestSpec,
        vmids: Sequence[int],
        stubborn: int | None,
        look: Look,
        task: FakeTask,
    ) -> None:
        """It stops one that ignores shutdowns, too, and has stopped it when it returns."""
        vmid = vmids[0] if stubborn is None else stubborn
        guest = self.start(hooks, vmid, task)
        self.start(hooks, vmids[1], task)
        hooks.guest_stop(guest=guest, timeout=self.seconds, task=task)
        assert look(vmid) is GuestState.STOPPED, (
            f"guest {vmid} still runs although guest_stop has returned: stop it by force, and wait until "
            "it has stopped"
        )
        assert look(vmids[1]) is GuestState.RUNNING, (
            f"guest_stop of {vmid} has stopped {vmids[1]}, too: stop the one that is named"
        )

    def test_a_guest_is_still_there_when_it_has_stopped(
        self, hooks: GuestSpec, vmids: Sequence[int], task: FakeTask
    ) -> None:
        """Guests are started and stopped, never removed."""
        guest = self.start(hooks, vmids[0], task)
        hooks.guest_stop(guest=guest, timeout=self.seconds, task=task)
        after = self.guest(hooks, vmids[0])
        assert after == replace(guest, state=GuestState.STOPPED), (
            f"guest {vmids[0]} is not what it was after a start and a stop: {guest} became {after}"
        )

    def test_a_cancelled_shutdown_ends(
        self, hooks: GuestSpec, stubborn: int | None, look: Look, task: FakeTask
    ) -> None:
        """Soon after the task is cancelled, and the guest runs on."""
        if stubborn is None:
            pytest.skip("the fixture 'stubborn' names no guest that ignores a shutdown")
        guest = self.start(hooks, stubborn, task)
        ended = threading.Event()

        def shut_down() -> None:
            try:
                hooks.guest_shutdown(guest=guest, timeout=self.seconds, task=task)
            except (Cancelled, ProviderError):
                pass
            finally:
                ended.set()

        threading.Thread(target=shut_down, daemon=True).start()
        assert not ended.wait(_SHORT / 2), "guest_shutdown returned at once: wait for the guest"
        task.cancelled = True
        assert ended.wait(_MARGIN), (
            f"guest_shutdown goes on {_MARGIN:g} s after the task was cancelled: look at "
            "task.cancelled, or wait with task.wait()"
        )
        assert look(stubborn) is GuestState.RUNNING, (
            "a shutdown that was cancelled has stopped the guest hard: let it run, and return"
        )

    # --- suspend and resume --------------------------------------------------------------------

    def _suspend(
        self, bound: Bound[GuestSpec], vmid: int, task: FakeTask, *, to_disk: bool
    ) -> Guest:
        """Start a guest and suspend it; it as it is listed then."""
        if not {"guest_suspend", "guest_resume"} <= bound.implemented:
            pytest.skip("the plugin has no guest_suspend and guest_resume")
        hooks = bound.hooks
        guest = self.start(hooks, vmid, task)
        try:
            for again in (guest, guest):  # once more is not an error
                hooks.guest_suspend(guest=again, to_disk=to_disk, timeout=self.seconds, task=task)
        except Unsupported:
            pytest.skip("the plugin cannot suspend guests in this way")
        return self.guest(hooks, vmid)

    def _resume(self, hooks: GuestSpec, guest: Guest, look: Look, task: FakeTask) -> None:
        for again in (guest, guest):
            hooks.guest_resume(guest=again, timeout=self.seconds, task=task)
        assert look(guest.vmid) is GuestState.RUNNING, (
            f"guest {guest.vmid} does not run although guest_resume has returned: wait until it does"
        )
        assert not self.guest(hooks, guest.vmid).saved, (
            f"guest {guest.vmid} runs again, and guest_list says that it is saved: look in every call "
            "whether there is a saved state"
        )

    def test_a_guest_that_is_suspended_to_memory_is_paused_and_continues(
        self,
        bound: Bound[GuestSpec],
        hooks: GuestSpec,
        vmids: Sequence[int],
        look: Look,
        task: FakeTask,
    ) -> None:
        """Neither running on nor stopped. Since 1.1."""
        guest = self._suspend(bound, vmids[0], task, to_disk=False)
        assert (guest.state, guest.saved) == (GuestState.PAUSED, False), (
            f"guest {vmids[0]} was suspended to memory, and guest_list says that it is {guest.state}: "
            "suspend it, wait until it is, and call that paused"
        )
        self._resume(hooks, guest, look, task)

    def test_a_guest_that_is_suspended_to_disk_is_saved_and_continues(
        self,
        bound: Bound[GuestSpec],
        hooks: GuestSpec,
        vmids: Sequence[int],
        look: Look,
        task: FakeTask,
    ) -> None:
        """Stopped, and marked as saved. Since 1.1."""
        guest = self._suspend(bound, vmids[0], task, to_disk=True)
        assert guest.state is look(vmids[0]) is GuestState.STOPPED, (
            f"guest {vmids[0]} was suspended to disk, and is {look(vmids[0])}: wait until it has "
            "stopped, and call it so"
        )
        assert guest.saved, (
            f"guest {vmids[0]} was suspended to disk, and guest_list does not say that it is saved: set "
            "Guest.saved where there is a saved state"
        )
        self._resume(hooks, guest, look, task)

    def test_a_stopped_guest_cannot_be_resumed(
        self, bound: Bound[GuestSpec], hooks: GuestSpec, vmids: Sequence[int], task: FakeTask
    ) -> None:
        """It was not suspended: it would start afresh. Since 1.1."""
        if "guest_resume" not in bound.implemented:
            pytest.skip("the plugin has no guest_resume")
        guest = self.guest(hooks, vmids[0])
        try:
            hooks.guest_resume(guest=guest, timeout=self.seconds, task=task)
        except ProviderError:
            return
        raise AssertionError(
            f"guest_resume of {vmids[0]}, which is stopped and not saved, returned: "
            "raise a ProviderError"
        )

    def test_a_stopped_guest_cannot_be_suspended(
        self, bound: Bound[GuestSpec], hooks: GuestSpec, vmids: Sequence[int], task: FakeTask
    ) -> None:
        """It has no memory to keep; core would take it for one that continues. Since 1.1."""
        if "guest_suspend" not in bound.implemented:
            pytest.skip("the plugin has no guest_suspend")
        for to_disk in (False, True):
            guest = self.guest(hooks, vmids[0])
            with contextlib.suppress(ProviderError):
                hooks.guest_suspend(guest=guest, to_disk=to_disk, timeout=_SHORT, task=task)
                raise AssertionError(
                    f"guest_suspend(to_disk={to_disk}) of {vmids[0]}, which is stopped and not saved, "
                    "returned: raise a ProviderError"
                )

    # --- moving, settings, events --------------------------------------------------------------

    def test_a_guest_that_cannot_move_goes_on(
        self, hooks: GuestSpec, vmids: Sequence[int], look: Look, task: FakeTask
    ) -> None:
        """To a node that does not exist: a ProviderError, Unsupported perhaps; nothing is lost."""
        guest = self.start(hooks, vmids[0], task)
        try:
            hooks.guest_migrate(
                guest=guest, target="no-such-node.invalid", options=MigrateOptions(), task=task
            )
        except ProviderError:
            pass
        else:
            raise AssertionError(
                "guest_migrate to a node that does not exist returned: raise a ProviderError"
            )
        assert look(vmids[0]) is GuestState.RUNNING, (
            f"guest {vmids[0]} does not run any more after a migration that failed: look whether it can "
            "move before you stop it"
        )

    def test_a_node_that_is_not_there_cannot_be_asked(
        self, bound: Bound[GuestSpec], hooks: GuestSpec
    ) -> None:
        """It may have what a guest is after: a ProviderError, not a node without guests. Since 1.1."""
        if "guest_elsewhere" not in bound.implemented:
            pytest.skip("the plugin has no guest_elsewhere")
        try:
            guests = hooks.guest_elsewhere(node="no-such-node.invalid")
        except ProviderError:
            return
        raise AssertionError(
            f"guest_elsewhere of a node that does not exist returned {guests}: raise a ProviderError"
        )

    def test_a_node_that_is_not_there_takes_no_guest(
        self, bound: Bound[GuestSpec], hooks: GuestSpec, vmids: Sequence[int]
    ) -> None:
        """guest_target and guest_migrate_check say so before a guest is touched. Since 1.1."""
        guest, target = self.guest(hooks, vmids[0]), "no-such-node.invalid"
        with contextlib.suppress(ProviderError):
            if "guest_target" in bound.implemented:
                known = hooks.guest_target(target=target)
                assert known is None, (
                    f"guest_target knows {known} of a node that does not exist: ask the node, and "
                    "raise a ProviderError"
                )
        with contextlib.suppress(ProviderError):
            if "guest_migrate_check" in bound.implemented:
                reasons = hooks.guest_migrate_check(
                    guest=guest, target=target, options=MigrateOptions()
                )
                assert reasons is None or reasons, (
                    "guest_migrate_check has nothing against a node that does not exist: say why a guest "
                    "cannot move there, or raise a ProviderError"
                )

    def test_settings_of_a_guest_are_kept(
        self, bound: Bound[GuestSpec], hooks: GuestSpec, vmids: Sequence[int]
    ) -> None:
        """What guest_set got, guest_list says; an empty text takes it away again."""
        if "guest_set" not in bound.implemented:
            pytest.skip("the plugin has no guest_set")
        before = self.guest(hooks, vmids[0])
        given = {"onboot": "1", "order": "7", "up": "2", "down": "9"}
        try:
            hooks.guest_set(guest=before, values=given)
        except Unsupported:
            pytest.skip("the plugin cannot keep these settings")
        now = self.guest(hooks, vmids[0])
        assert (now.onboot, now.order, now.up, now.down) == (True, 7, 2, 9), (
            f"guest_set got {given}, and guest_list says {now}: keep them with the guest, and read "
            "them there"
        )
        hooks.guest_set(guest=now, values={"onboot": "0", "order": "0"})
        now = self.guest(hooks, vmids[0])
        assert (now.onboot, now.order) == (False, 0), (
            f"guest_set got onboot=0 and order=0, and guest_list says {now}: onboot 0 is no, and the "
            "order 0 is the first, not none"
        )
        as_before = replace(
            now, onboot=before.onboot, order=before.order, up=before.up, down=before.down
        )
        assert (now.up, now.down) == (2, 9) and as_before == before, (
            f"guest_set got onboot and order, and guest_list says {now}, where it said {before} at "
            "first: change what was given, and leave everything else of the guest"
        )
        hooks.guest_set(guest=now, values=dict.fromkeys(given, ""))
        now = self.guest(hooks, vmids[0])
        assert (now.onboot, now.order, now.up, now.down) == (False, None, None, None), (
            f"guest_set took settings away with empty texts, and guest_list says {now}: remove a setting "
            "whose text is empty"
        )
