"""What the reference has no trace of: calls that hang, daemons that come back, interruption."""

from pvefw.core.errors import Cancelled, ProviderError, RateLimited, Unavailable
from pvefw.core.model import Guest, GuestState
from pvefw.guests.scheduler import GRACE, HARD_STOP_SECONDS, Action, Job, Result, Scheduler
from pvefw.guests.simulation import simulate
from pvefw.store.guest_reference import Reference

FOREVER = 1e9


def job(vmid, action=Action.START, **more):
    guest = Guest(vmid, f"vm{vmid}", "vm", GuestState.STOPPED)
    return Job(Reference(vmid), guest, action, **{"timeout": 100.0, **more})


def test_a_call_that_hangs_is_given_up_and_the_next_guest_has_its_turn():
    jobs = [job(1), job(2)]
    moments, outcomes = simulate(
        Scheduler(jobs, 1), lambda step: (FOREVER if step.job.id == Reference(1) else 1.0, None)
    )
    assert [outcome.result for outcome in outcomes] == [Result.FAILED, Result.OK]
    assert outcomes[0].reason == "the hypervisor does not answer"
    assert moments[1].second == 100 + GRACE


def test_a_shutdown_that_hangs_is_followed_by_a_hard_stop_that_may_hang_too():
    hung = job(1, Action.SHUTDOWN, hard=True)
    moments, [outcome] = simulate(Scheduler([hung], 1), lambda _step: (FOREVER, None))
    assert [moment.step.action for moment in moments] == [Action.SHUTDOWN, Action.STOP]
    assert outcome.result is Result.FAILED
    assert outcome.ended == 100 + GRACE + HARD_STOP_SECONDS + GRACE


def test_what_fails_for_now_is_tried_again_with_the_time_that_is_left():
    answers = iter([Unavailable("away"), RateLimited("busy", retry_after=30.0), None])
    moments, [outcome] = simulate(Scheduler([job(1)], 1), lambda _step: (2.0, next(answers)))
    assert outcome.result is Result.OK
    assert [(moment.second, moment.step.timeout) for moment in moments] == [
        (0, 100),
        (3, 97),
        (35, 65),
    ]


def test_it_is_not_tried_again_when_the_time_is_over_nor_is_a_migration():
    away = lambda _step: (99.5, Unavailable("away"))  # noqa: E731 - one line says it
    for action in (Action.START, Action.MIGRATE):
        moments, [outcome] = simulate(Scheduler([job(1, action)], 1), away)
        assert len(moments) == 1
        assert (outcome.result, outcome.reason) == (Result.FAILED, "away")


def test_nobody_waits_after_the_last_guest():
    _, outcomes = simulate(
        Scheduler([job(1, pause=60), job(2, pause=60)], 8), lambda _step: (1.0, None)
    )
    assert [outcome.ended for outcome in outcomes] == [1, 61]


def test_a_failed_guest_ends_its_own_delay():
    moments, _ = simulate(
        Scheduler([job(1, pause=60), job(2)], 8), lambda _step: (5.0, ProviderError("no"))
    )
    assert [moment.second for moment in moments] == [0, 5]


def test_a_result_that_comes_too_late_changes_nothing():
    scheduler = Scheduler([job(1, timeout=5.0)], 1)
    [step] = scheduler.step(0)
    assert scheduler.step(5 + GRACE) == []
    scheduler.finished(step, 20)
    assert scheduler.outcomes[Reference(1)].result is Result.FAILED


def test_after_an_interruption_nothing_begins_and_everybody_has_an_outcome():
    scheduler = Scheduler([job(1), job(2), job(3), job(4, group=1)], 2)
    first, second = scheduler.step(0)
    scheduler.cancel(1)
    scheduler.finished(first, 2)
    scheduler.finished(second, 2, Cancelled())
    assert scheduler.step(3) == []
    assert scheduler.done
    results = [scheduler.outcomes[Reference(vmid)].result for vmid in (1, 2, 3, 4)]
    assert results == [Result.OK, *[Result.CANCELLED] * 3]
    assert scheduler.outcomes[Reference(3)].began is None


# --- what guests are seen doing -------------------------------------------------------------------


def test_a_guest_that_stops_while_its_shutdown_hangs_is_done():
    scheduler = Scheduler([job(1, Action.SHUTDOWN, hard=True), job(2, Action.SHUTDOWN)], 1)
    scheduler.step(0)
    scheduler.observed(Reference(1), GuestState.STOPPED, 5)
    assert scheduler.step(5) == []  # the hook has the last word
    [step] = scheduler.step(scheduler.wakeup())
    assert step.job.id == Reference(2)
    assert scheduler.outcomes[Reference(1)].result is Result.OK
    assert scheduler.outcomes[Reference(1)].ended < 10


def test_a_hook_that_says_why_its_guest_stopped_is_heard():
    scheduler = Scheduler([job(1)], 1)
    [step] = scheduler.step(0)
    for state in (GuestState.RUNNING, GuestState.STOPPED):
        scheduler.observed(Reference(1), state, 1)
    scheduler.finished(step, 1.5, ProviderError("its disk is full"))
    assert scheduler.outcomes[Reference(1)].reason == "its disk is full"


def test_a_guest_that_stops_before_its_start_returns_has_failed():
    scheduler = Scheduler([job(1), job(2, after=(Reference(1),), needs=True)], 2)
    scheduler.step(0)
    scheduler.observed(Reference(1), GuestState.STOPPED, 1)  # it has not run yet: an old tale
    assert scheduler.wakeup() > 100
    for state in (GuestState.RUNNING, GuestState.STOPPED):
        scheduler.observed(Reference(1), state, 2)
    assert scheduler.step(scheduler.wakeup()) == []
    assert [outcome.result for outcome in scheduler.outcomes.values()] == [
        Result.FAILED,
        Result.BLOCKED,
    ]


def test_a_guest_that_stops_again_ends_its_delay_and_blocks_what_needs_it():
    jobs = [
        job(1, pause=600),
        job(2, after=(Reference(1),), needs=True),
        job(3),
        job(4, group=1, after=(Reference(1),), needs=True),
    ]
    scheduler = Scheduler(jobs, 4)
    [step] = scheduler.step(0)
    scheduler.finished(step, 1)
    assert scheduler.step(1) == []
    scheduler.observed(Reference(1), GuestState.STOPPED, 2)
    [third] = scheduler.step(2)
    assert third.job.id == Reference(3)
    scheduler.finished(third, 3)
    assert scheduler.step(3) == []
    assert scheduler.done
    results = [scheduler.outcomes[Reference(vmid)].result for vmid in (1, 2, 3, 4)]
    assert results == [Result.FAILED, Result.BLOCKED, Result.OK, Result.BLOCKED]


def test_a_guest_that_runs_again_was_not_stopped():
    scheduler = Scheduler([job(1, Action.SHUTDOWN), job(2, Action.SHUTDOWN)], 2)
    for step in scheduler.step(0):
        if step.job.id == Reference(1):
            scheduler.finished(step, 1)
    scheduler.observed(Reference(1), GuestState.RUNNING, 2)
    assert scheduler.outcomes[Reference(1)].reason == "it had stopped, and runs again"


def test_a_guest_that_stops_between_two_attempts_needs_no_third():
    scheduler = Scheduler([job(1, Action.SHUTDOWN)], 1)
    [step] = scheduler.step(0)
    scheduler.finished(step, 1, Unavailable("away"))
    scheduler.observed(Reference(1), GuestState.STOPPED, 1.5)
    assert scheduler.done
    assert scheduler.outcomes[Reference(1)].result is Result.OK


def test_guests_that_move_stop_here_and_that_means_nothing():
    scheduler = Scheduler([job(1, Action.MIGRATE)], 1)
    [step] = scheduler.step(0)
    scheduler.observed(Reference(1), GuestState.STOPPED, 1)
    scheduler.finished(step, 2)
    scheduler.observed(Reference(1), GuestState.STOPPED, 3)
    assert scheduler.outcomes[Reference(1)].result is Result.OK
