"""What happens on the way: observers, silent hypervisors, interruptions, and what is said then."""

import json
import textwrap
import threading

import pytest

from pvefw.core import binding
from pvefw.core.errors import Cancelled, NotFound, ProviderError, Unavailable, Unsupported
from pvefw.core.families import GUEST
from pvefw.core.hookspecs import hookimpl
from pvefw.core.model import Guest, GuestState, MigrateTarget
from pvefw.guests import backends, draining, elsewhere, plan, readiness, targets
from pvefw.guests.backends import Backends
from pvefw.guests.bulk import Bulk
from pvefw.guests.plan import Listed
from pvefw.guests.runner import Runner
from pvefw.guests.scheduler import Action, Job, Result, Scheduler
from pvefw.host.clock import SystemClock
from pvefw.store import drained, locks
from pvefw.store.guest_reference import Reference
from pvefw.store.node import Node
from pvefw.testing.fakes import FakeClock, FakeTask

RUNNING, STOPPED = GuestState.RUNNING, GuestState.STOPPED


class Plain:
    """A hypervisor that does what it must, and nothing that is optional."""

    def __init__(self, **states):
        self.states = {int(name.removeprefix("vm")): state for name, state in states.items()}
        self.silent = ""
        self.stays = 0
        """How many moves are in vain."""

    @hookimpl
    def guest_list(self):
        if self.silent:
            raise Unavailable(self.silent)
        return [Guest(vmid, f"vm{vmid}", "vm", state) for vmid, state in self.states.items()]

    @hookimpl
    def guest_start(self, guest):
        self.states[guest.vmid] = RUNNING

    @hookimpl
    def guest_shutdown(self, guest):
        self.states[guest.vmid] = STOPPED

    @hookimpl
    def guest_stop(self, guest):
        self.states[guest.vmid] = STOPPED

    @hookimpl
    def guest_migrate(self, guest):
        if self.stays == 0:
            del self.states[guest.vmid]
        self.stays -= 1


def bound(**plugins):
    return {name: binding.bind_object(GUEST, plugin, name) for name, plugin in plugins.items()}


@pytest.fixture
def bulk(paths):
    """A bulk action on the guests of a plugin."""

    def made(plugin, clock=None):
        known = Backends(bound(farm=plugin))
        return Bulk(Node.open(paths), known, 1, FakeTask(), "startall", clock or SystemClock())

    return made


def starts(*vmids):
    guests = {vmid: Guest(vmid, f"vm{vmid}", "vm", STOPPED) for vmid in vmids}
    return [Job(Reference(vmid), guest, Action.START) for vmid, guest in guests.items()]


# --- observers ------------------------------------------------------------------------------------

EAR = """
    import json
    from dataclasses import dataclass
    from pathlib import Path
    from pvefw.api import hookimpl, setting

    @dataclass
    class Ear:
        '''Writes down what it hears.'''

        file: Path = setting(help="Where.")

        @hookimpl
        def on_guest(self, event):
            line = [event.guest.vmid, event.action, event.outcome]
            with self.file.open("a") as file:
                file.write(json.dumps(line) + "\\n")
"""


@pytest.fixture
def ear(farm):
    """What an observer has heard of guests, as often as it is asked."""
    info = farm.site / "dist_ear-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: dist-ear\nVersion: 1.0\nRequires-Dist: pvefw>=1,<2\n"
    )
    (info / "entry_points.txt").write_text("[pvefw.observer]\near = dist_ear:Ear\n")
    (farm.site / "dist_ear.py").write_text(textwrap.dedent(EAR))
    heard = farm.root.parent / "heard"
    farm.configure(f"guest: farm\n\tdirectory {farm.directory}\n\nobserver: ear\n\tfile {heard}\n")
    return lambda: [json.loads(line) for line in heard.read_text().splitlines()]


def test_observers_hear_how_it_went_with_each_guest(farm, typed, ear):
    farm.guest(100)
    farm.guest(101, fail=True)
    farm.guest(102, after=[101])
    assert typed("startall", "--max-workers", "1")[0] == 1
    assert sorted(ear()) == [
        [100, "start", "ok"],
        [101, "start", "failed: farm: no bootable device"],
        [102, "start", "blocked: it waits for 101, which failed"],
    ]


def test_observers_hear_that_a_guest_was_stopped_by_force(farm, typed, ear):
    farm.guest(100, state="running", down_secs=None)
    assert typed("stopall", "--timeout", "0")[0] == 0
    assert ear() == [[100, "stop", "ok"]]


def test_observers_that_cannot_be_read_keep_no_guest_from_starting(bulk, monkeypatch):
    def damaged(*_arguments):
        raise ProviderError("pvefw.cfg: line 3 is damaged")

    monkeypatch.setattr("pvefw.instances.load_used", damaged)
    plugin = Plain(vm100=STOPPED)
    made = bulk(plugin)
    made.run(starts(100))
    assert made.task.warnings == ["could not notify the observers: pvefw.cfg: line 3 is damaged"]
    assert plugin.states == {100: RUNNING}


# --- hypervisors that fall silent -----------------------------------------------------------------


def test_what_was_done_is_done_where_nobody_can_look_again(bulk):
    class Falls(Plain):
        @hookimpl
        def guest_start(self, guest):
            self.silent = "the daemon is gone"

    made = bulk(Falls(vm100=STOPPED))
    [outcome] = made.run(starts(100))
    assert outcome.result is Result.OK
    assert "could not read the guests' state: farm: the daemon is gone" in made.task.warnings


@pytest.mark.parametrize("silent", ["", "the daemon is gone"])
def test_an_interruption_says_what_is_not_known(bulk, silent):
    class Slow(Plain):
        begun, let_go = threading.Event(), threading.Event()

        @hookimpl
        def guest_start(self):
            self.begun.set()
            self.let_go.wait(30)
            self.silent = silent
            raise Cancelled

    class Interrupted(SystemClock):
        pressed = False

        def wait(self, event, seconds):
            main = threading.current_thread() is threading.main_thread()  # another one watches
            if main and not self.pressed:
                self.pressed = Slow.begun.wait(30)
                Slow.let_go.set()
                raise KeyboardInterrupt
            return super().wait(event, seconds)

    made = bulk(Slow(vm100=STOPPED), Interrupted())
    with pytest.raises(KeyboardInterrupt):
        made.run(starts(100))
    now = "what it does now is not known" if silent else "it is stopped now"
    assert f"100 (vm100): interrupted; {now}" in made.task.lines


def test_a_backend_that_is_silent_may_have_the_guest_that_was_not_found():
    away, here = Plain(), Plain(vm100=RUNNING)
    away.silent = "no route to it"
    with pytest.raises(NotFound) as raised:
        backends.find(Backends(bound(away=away, here=here)), "101")
    assert raised.value.hint == (
        "See: pvefw guest list. One backend did not answer: away: no route to it"
    )


def test_one_guest_is_wanted_and_several_are_named():
    with pytest.raises(NotFound, match="guest: 100-101: there are 2 guests of that id"):
        backends.find(Backends(bound(farm=Plain(vm100=RUNNING, vm101=RUNNING))), "100-101")


def test_nodes_that_cannot_be_listed_are_no_nodes_without_the_guest(paths):
    paths.nodes.parent.mkdir(parents=True, exist_ok=True)
    paths.nodes.symlink_to(paths.nodes.name)  # as a file system that fails
    guest = Guest(100, "web", "vm", STOPPED, onboot=True, after=[200])
    here = [Listed(Reference(100), guest), Listed(Reference(101), Guest(101, "", "vm", STOPPED))]
    absence = elsewhere.look(paths, Backends(bound(farm=Plain())), here).absence
    said = absence(Reference(200))
    assert said.startswith("it waits for 200, which this node does not have; other nodes could not")
    assert str(paths.nodes) in said


# --- what a backend cannot do ---------------------------------------------------------------------


def test_settings_that_a_backend_has_no_place_for():
    with pytest.raises(Unsupported, match="guest set: 100: farm stores no settings of guests"):
        backends.change(Backends(bound(farm=Plain(vm100=RUNNING))), "100", {"order": "1"})


def test_a_backend_that_knows_no_other_node_prevents_no_move():
    known = Backends(bound(farm=Plain(vm100=RUNNING)))
    assert known.target(Reference(100), "pve2") is None
    assert known.elsewhere("farm", "pve2") == ()


def test_nobody_is_ready_where_the_agent_cannot_be_asked():
    [farm] = bound(farm=Plain()).values()
    guest = Guest(100, "", "vm", RUNNING, ready="agent")
    assert readiness.wait(farm, guest, 60.0, FakeTask(), SystemClock()) is False


def test_readiness_that_does_not_come_fails_no_guest_and_shortens_no_delay(bulk):
    made = bulk(Plain(vm100=STOPPED, vm101=STOPPED))
    guest = Guest(100, "vm100", "vm", STOPPED, ready="agent")
    first = Job(Reference(100), guest, Action.START, pause=0.05, probe=True)
    outcomes = made.run([first, *starts(101)])
    assert [outcome.result for outcome in outcomes] == [Result.OK, Result.OK]
    assert outcomes[1].began >= 0.05


def test_a_guest_that_is_named_waits_for_one_that_is_not():
    guests = [Guest(100, "", "vm", STOPPED), Guest(101, "", "vm", STOPPED, after=[100, 999])]
    here = [Listed(Reference(guest.vmid), guest) for guest in guests]
    [job] = plan.to_start(here, ["101"], force=True)
    assert job.blocked == "it waits for 100, which is stopped and not selected"
    [_, job] = plan.to_start(here, force=True)
    assert job.blocked == "it waits for 999, which does not exist"


# --- moving and draining --------------------------------------------------------------------------


class Mover(Plain):
    """One that looks at a move beforehand."""

    refuses = ""
    free = 8 << 30

    @hookimpl
    def guest_target(self, target):
        return MigrateTarget(target, self.free)

    @hookimpl
    def guest_migrate_check(self):
        if self.refuses:
            raise Unavailable(self.refuses)
        return []


def test_what_cannot_be_looked_at_or_read_stays_and_says_why():
    mover = Mover()
    known = Backends(bound(farm=mover))
    odd = Guest(100, "odd", "vm", RUNNING, problem="its XML is odd")
    here = [Listed(Reference(100), odd), Listed(Reference(101), Guest(101, "", "vm", RUNNING))]

    def reasons():
        jobs = targets.to_migrate(known, here, here, ["pve2"], with_local_disks=False)
        return {job.id.vmid: job.blocked for job in jobs}

    odd_one = "its settings could not be read: its XML is odd"
    assert reasons() == {100: odd_one, 101: ""}
    mover.refuses = "pve2 does not answer"
    assert reasons() == {100: odd_one, 101: "pve2: farm: pve2 does not answer"}


def test_what_runs_here_again_after_a_drain_is_named(bulk, paths):
    mover = Mover(vm100=RUNNING)
    mover.stays = 1
    with pytest.raises(ProviderError) as raised:
        draining.drain(bulk(mover), ["pve2"], wait=False)
    assert str(raised.value) == "node drain: pve1: 100 still run here, or run here again"
    assert drained.read(paths), "it is drained all the same: it goes on where it is drained again"


def test_a_drain_that_waits_tries_again_until_nothing_runs_here(bulk, paths):
    mover = Mover(vm100=RUNNING, vm101=STOPPED)
    mover.stays = 2
    made = bulk(mover)
    draining.drain(made, ["pve2"], wait=True)
    assert made.task.lines.count("again in 30 s") == 2
    assert made.task.waited >= 60
    assert made.task.lines[-1] == "pve1 is drained: 100 to pve2"
    assert mover.states == {101: STOPPED}
    assert drained.read(paths).guests == {Reference(100): "pve2"}


def test_nothing_comes_back_where_it_is_not_known_what_is_here(bulk, paths):
    note = drained.Drained("", {Reference(100): "pve2"})
    drained.write(paths, note)
    here = Plain()
    here.silent = "no route to it"
    made = bulk(here)
    made.backends = Backends(bound(away=here, other=Plain()))
    with pytest.raises(Unavailable, match="away: no route to it"):
        draining.bring_back(made, remote=None)
    assert drained.read(paths).guests == note.guests


def test_a_drain_ends_where_the_guests_stay_where_they_are(farm, typed):
    drained.write(farm.paths, drained.Drained("2026-01-01", {Reference(100): "pve2"}))
    with locks.local_lock(farm.paths, "drain"):
        status, said = typed("node", "return", "--leave")
    assert status != 0
    assert "pvefw: drain: process" in said
    assert "has locked this" in said
    assert drained.read(farm.paths)
    assert typed("node", "return", "--leave") == (
        0,
        "pve1 is no longer drained; its guests stay where they are.\n",
    )
    assert drained.read(farm.paths) is None


# --- the scheduler --------------------------------------------------------------------------------


def shutdown(vmid, **more):
    guest = Guest(vmid, "", "vm", RUNNING)
    return Job(Reference(vmid), guest, Action.SHUTDOWN, **{"timeout": 100.0, **more})


def test_a_hard_stop_that_fails_says_both_reasons():
    scheduler = Scheduler([shutdown(1, hard=True)], 1)
    [step] = scheduler.step(0)
    scheduler.finished(step, 1, ProviderError("it is deaf"))
    [step] = scheduler.step(1)
    scheduler.finished(step, 2, ProviderError("no such process"))
    [outcome] = scheduler.outcomes.values()
    assert (outcome.result, outcome.reason) == (
        Result.FAILED,
        "it is deaf; then: no such process",
    )


def test_an_interruption_leaves_nobody_without_an_outcome():
    """One waits to be tried again, one hangs, one went well and is undone before all is over."""
    scheduler = Scheduler([shutdown(1), shutdown(2), shutdown(3)], 3)
    first, _, third = scheduler.step(0)
    scheduler.finished(first, 1, Unavailable("away"))
    scheduler.cancel(2)
    scheduler.finished(third, 2)
    scheduler.observed(Reference(3), RUNNING, 3)
    scheduler.abandon(12)
    assert scheduler.done
    assert [
        (str(key), outcome.result, outcome.reason) for key, outcome in scheduler.outcomes.items()
    ] == [
        ("1", Result.CANCELLED, "interrupted"),
        ("3", Result.FAILED, "it had stopped, and runs again"),
        ("2", Result.CANCELLED, "interrupted; it did not answer"),
    ]


def test_who_waits_for_two_starts_after_both_and_is_blocked_once():
    first, second, third, fourth = starts(1, 2, 3, 4)
    both = (first.id, second.id)
    waiting = [
        Job(job.id, job.guest, job.action, after=both, needs=True) for job in (third, fourth)
    ]
    scheduler = Scheduler([first, second, *waiting], 4)
    one, two = scheduler.step(0)
    scheduler.finished(one, 1)
    assert scheduler.step(1) == []
    scheduler.finished(two, 2)
    assert [step.job.id for step in scheduler.step(2)] == [third.id, fourth.id]

    scheduler = Scheduler([first, second, *waiting], 4)
    one, two = scheduler.step(0)
    for step in (one, two):
        scheduler.finished(step, 1, ProviderError("no"))
    told = [outcome.job.id for outcome in scheduler.news()]
    assert told == [first.id, third.id, fourth.id, second.id]
    assert scheduler.outcomes[third.id].reason == "it waits for 1, which failed"


def test_an_interruption_before_a_worker_has_its_guest_waits_for_nobody():
    jobs = starts(1, 2)

    def began(_step):
        raise KeyboardInterrupt

    runner = Runner(Scheduler(jobs, 2), lambda _step: None, clock := FakeClock(), began)
    with pytest.raises(KeyboardInterrupt):
        runner.run()
    assert clock.monotonic() == 0
    assert {outcome.result for outcome in runner.scheduler.outcomes.values()} == {Result.CANCELLED}
