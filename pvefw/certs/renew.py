"""``pvefw renew``: renews every certificate of the node that is due, tells somebody if that fails, and
tries again what could not be deployed.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from threading import Event

from pvefw.certs import (
    chain,
    configured,
    deploy,
    issue,
    persist,
    renamed,
    renewal_plan,
    renewal_rule,
    served,
)
from pvefw.certs.certificate import Certificate
from pvefw.certs.planned import Planned, Undecided
from pvefw.certs.renewal_rule import Record
from pvefw.core.errors import AcmeProblem, Locked, NoQuorum, PvefwError, RateLimited, UsageError
from pvefw.core.model import RenewalFailedEvent, RenewalsEvent, Task
from pvefw.dns import cleanup
from pvefw.host.clock import Clock
from pvefw.store import attention
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.tasks import events
from pvefw.tasks.task import run_task

Say = Callable[[str], None]


@dataclass
class Effect:
    """What a run did, beside that it succeeded or not."""

    done: bool = False
    """Something was renewed or deployed."""
    pending: bool = False
    """Something is still to be done; in a dry run, all that is."""
    held_back: bool = False
    """A renewal that has failed waits for its next try."""


def run(
    paths: Paths,
    say: Say,
    echo: Say,
    clock: Clock,
    *,
    dry_run: bool = False,
    effect: Effect | None = None,
) -> bool:
    """Decide for every certificate of the node, and do what is due.

    :param say: gets one line for each decision.
    :param echo: gets the logs of the tasks that are run.
    :param dry_run: only decide; nothing is kept.
    :param effect: gets what was done, and what is still to be done.
    :returns: whether everything that was tried succeeded.
    :raises StoreError: the configuration cannot be read.
    """
    effect = effect or Effect()
    if dry_run:
        return _decide(paths, say, echo, clock, effect, dry_run=True)
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        say(line)

    _announce(paths, RenewalsEvent(paths.node, "started"), say)
    good = well = False
    try:
        good = _decide(paths, log, echo, clock, effect, dry_run=False)
        # who watches over the runs is not told that all is well while a failed renewal waits
        well = good and not effect.held_back
    except PvefwError as error:
        lines.append(error.message)
        raise
    finally:
        _announce(paths, RenewalsEvent(paths.node, "ended", well, lines), say)
    return good


def _announce(paths: Paths, event: RenewalsEvent, say: Say) -> None:
    """Tell those who watch over the runs; a failure is a line."""
    with contextlib.suppress(PvefwError):  # what cannot be read is said by the run itself
        for failure in events.tell_renewals(Node.open(paths), event):
            say(
                f"{failure.observer or 'observers'}: could not be notified of this run: {failure.reason}"
            )


def _has_its_name(node: Node, say: Say) -> bool:
    """Whether the host is called as it was; if not, that is said."""
    problems = renamed.problems(node)
    for problem in problems:
        say(problem)
    return not problems


def _decide(
    paths: Paths, say: Say, echo: Say, clock: Clock, effect: Effect, *, dry_run: bool
) -> bool:
    now, node = clock.now(), Node.open(paths)
    good = _has_its_name(node, say)
    for planned in renewal_plan.plan(node, now, keep=not dry_run):
        say(planned.line(now))
        if isinstance(planned, Undecided):
            good = False
        elif dry_run:
            effect.pending |= planned.due(now) or planned.held_back(now)
        elif planned.due(now):
            renewed = _renew(paths, planned, echo, clock)
            effect.done, good = effect.done or renewed, good and renewed
        elif planned.decision is None or planned.held_back(now):
            held_back = planned.held_back(now)
            effect.pending |= held_back
            effect.held_back |= held_back
            _remind(paths, planned, echo, clock)
    for absent in renewal_plan.missing(Node.open(paths)):
        say(absent.line(now))
        effect.pending = True
    for warning in persist.warnings(paths, now):
        say(warning)
    left = deploy.pending(Node.open(paths))
    if left:
        say(f"Not deployed yet: {', '.join(left)}")
        effect.pending |= dry_run
        if not dry_run:
            deployed = _deploy(paths, echo, clock)
            effect.done, good = effect.done or deployed, good and deployed
    return good if dry_run else _look(paths, say, echo, clock) and good


def take_over(paths: Paths, say: Say, echo: Say, clock: Clock) -> None:
    """Take over what partners have that is better than what is here; nothing is ordered for that."""
    now = clock.now()
    for planned in renewal_plan.plan(Node.open(paths), now, keep=False, ask=False):
        if isinstance(planned, Planned) and planned.copied:
            say(planned.line(now))
            _renew(paths, planned, echo, clock)


def renew_one(certificate: Certificate, task: Task, clock: Clock, *, force: bool = False) -> None:
    """Renew one certificate, if it is due; records that a killed order left go either way.

    :param force: also when it is not due, and by an order, whatever partners have.
    :raises NotFound: there is none.
    :raises UsageError: it is not due.
    """
    cleanup.cleanup_first(certificate.node, task)
    planned = _due(certificate, clock, force=force)
    issue.obtain(certificate, task, ordered_in_any_case=force)
    _succeeded(certificate.paths, planned, task)


def check_one(certificate: Certificate, clock: Clock, *, force: bool) -> None:
    """Refuse what :func:`renew_one` would refuse, without a task.

    What the authority says of its window meanwhile is kept, and holds for both.

    :raises PvefwError: as for :func:`renew_one`, and where there are no names to order it for.
    """
    _due(certificate, clock, force=force)
    issue.check_names(certificate)


def _due(certificate: Certificate, clock: Clock, *, force: bool) -> Planned:
    """A certificate that is to be renewed."""
    info, now = chain.describe(certificate.files.certificate, certificate.pem()), clock.now()
    planned = renewal_plan.plan_one(certificate, info, now)
    if not force and (planned.decision is None or planned.decision.due > now):
        why = planned.note
        if planned.decision:
            why = f"not due until {planned.decision.due:%Y-%m-%d}"
        raise UsageError(
            f"acme cert renew: {why}; the certificate expires on {info.not_after:%Y-%m-%d}",
            hint="Renew it now with --force.",
        )
    return planned


def _renew(paths: Paths, planned: Planned, echo: Say, clock: Clock) -> bool:
    """Renew one. A failure is kept, and somebody is told; other certificates get their turn."""
    stamp = configured.stamp(planned.certificate) if planned.certificate else ""
    try:
        with run_task(paths, planned.task_type, planned.task_id, echo=echo, clock=clock) as task:
            try:
                planned.work(task)
            except PvefwError as error:
                tried = replace(planned.record, configured=stamp)
                _failed(paths, replace(planned, record=tried), error, task, clock)
                raise
            _succeeded(paths, planned, task)
    except PvefwError as error:
        echo(f"Task ERROR: {error.message}")
        if error.hint:
            echo(f"  {error.hint}")
        return False
    return True


def _failed(paths: Paths, planned: Planned, error: PvefwError, task: Task, clock: Clock) -> None:
    waits = error.retry_after if isinstance(error, AcmeProblem | RateLimited) else None
    now = clock.now()
    record = planned.record.failed(error.message, planned.info, now, waits)
    if planned.copied or isinstance(error, Locked | NoQuorum):
        record = replace(record, next_try=None)  # no authority was asked, and none has to be spared
    else:
        task.log(f"The next try is due at {record.next_try:%Y-%m-%d %H:%M} UTC")
    _tell(paths, planned, record, task, now)


def _succeeded(paths: Paths, planned: Planned, task: Task) -> None:
    """Clear what was kept of failures; who was told of them is told that they are over."""
    if planned.record.told is not None and planned.certificate is not None:
        event = planned.certificate.event()
        events.tell(Node.open(paths), "on_renewal_recovered", event, task)


def _remind(paths: Paths, planned: Planned, echo: Say, clock: Clock) -> None:
    """Tell somebody of a certificate that runs out, and that is not being renewed."""
    now = clock.now()
    ends_soon = renewal_rule.decide(planned.info, paths.node).due <= now
    if not ends_soon or not planned.record.to_be_told(renewal_rule.urgency(planned.info, now), now):
        return
    with run_task(paths, "certcheck", planned.task_id, echo=echo, clock=clock) as task:
        task.warn(planned.line(now))
        reason = planned.record.reason if planned.decision else planned.note
        _tell(paths, planned, replace(planned.record, reason=reason), task, now)


def _tell(paths: Paths, planned: Planned, record: Record, task: Task, now: datetime) -> None:
    """Tell the observers, if it is time to; keep the record either way."""
    info = planned.info
    how = renewal_rule.urgency(info, now)
    issue = f"certificates: {replace(planned, record=record).issue(now)}"
    known = issue in attention.load(paths).acknowledged
    if record.to_be_told(how, now) and not known:
        event = RenewalFailedEvent(
            node=paths.node,
            names=info.san,
            certificate=planned.path,
            not_after=info.not_after,
            days_left=(info.not_after - now) / timedelta(days=1),
            failures=record.failures,
            reason=record.reason,
            urgency=how,
        )
        events.tell(Node.open(paths), "on_renewal_failed", event, task)
        record = replace(record, told=now, told_urgency=how.value)
    renewal_rule.keep(paths, info, record)


def _look(paths: Paths, say: Say, echo: Say, clock: Clock) -> bool:
    """Compare what is served with what is installed, and tell what is news."""
    good, now = True, clock.now()
    for certificate, first_looks in served.of_all(Certificate.all_of(Node.open(paths))):
        looks: Sequence[served.Look] = first_looks
        if served.is_news(certificate, looks, now):
            looks = served.settled(certificate, looks, partial(clock.wait, Event()))
        for look_ in looks:
            if look_.reason:
                say(f"{certificate.name}: {look_.address}: {look_.reason}")
                good = False
        if served.is_news(certificate, looks, now):
            with run_task(paths, "certcheck", certificate.task_id, echo=echo, clock=clock) as task:
                served.tell(certificate, looks, task, now)
    return good


def _deploy(paths: Paths, echo: Say, clock: Clock) -> bool:
    """Tell everybody who is late, of each certificate in a task of its own."""
    good = True
    for certificate in Certificate.all_of(Node.open(paths)):
        if deploy.waiting(certificate):
            with run_task(paths, "certdeploy", certificate.task_id, echo=echo, clock=clock) as task:
                good &= not deploy.deploy(certificate, task)
    return good
