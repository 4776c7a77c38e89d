"""What a bulk action would do, and when: the rows that ``--dry-run`` shows."""

from collections.abc import Sequence

from pvefw.guests.bulk import LIMITED
from pvefw.guests.scheduler import Action, Job, Result, Scheduler, Step
from pvefw.guests.simulation import Moment, simulate
from pvefw.store import guest_reference


def planned(jobs: Sequence[Job], workers_: int) -> list[dict[str, object]]:
    """What a bulk action would do, and when at the earliest: a row for each guest, in order of time."""

    def instant(_step: Step) -> tuple[float, None]:
        return 0.0, None

    def slow(step: Step) -> tuple[float, None]:
        return step.timeout or 0.0, None

    stopping = any(job.action in LIMITED for job in jobs)
    # a start takes no time to speak of; a shutdown may take all that it is allowed
    moments, outcomes = simulate(Scheduler(jobs, workers_), instant)
    latest: list[Moment] = []
    if stopping:
        latest, _ = simulate(Scheduler(jobs, workers_), slow)
    ends = {moment.step.job.id: moment.second + (moment.step.timeout or 0.0) for moment in latest}
    begins = [moment for moment in moments if moment.step.action is not Action.READY]
    rows = [_row(moment.step.job, moment.second, ends.get(moment.step.job.id)) for moment in begins]
    blocked = [outcome for outcome in outcomes if outcome.result is Result.BLOCKED]
    return rows + [{**_row(outcome.job, None, None), "note": outcome.reason} for outcome in blocked]


def _row(job: Job, second: float | None, latest: float | None) -> dict[str, object]:
    notes = [job.note] if job.note else []
    if job.after:
        notes.append(f"after {guest_reference.names(job.after)}")
    if job.probe:
        notes.append(f"ready: {job.guest.ready}")
    if job.hard:
        notes.append("force-stop after the timeout")
    return {
        "id": str(job.id),
        "name": job.guest.name,
        "action": job.action.value,
        "target": job.target,
        "second": _short(second),
        "pause": _short(job.pause) if job.action is Action.START else None,
        "timeout": _short(job.timeout),
        "latest": _short(latest),
        "note": ", ".join(notes),
    }


def _short(seconds: float | None) -> float | None:
    """Without a fraction where there is none."""
    return int(seconds) if seconds is not None and seconds == int(seconds) else seconds
