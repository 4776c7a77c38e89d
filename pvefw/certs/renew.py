"""``pvefw renew``: decides for every certificate of the node, renews those that are due, tells somebody
if that fails, and tries again what could not be deployed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509

from pvefw.acme.client import Client
from pvefw.acme.renewal_info import RenewalInfo
from pvefw.acme.transport import Transport
from pvefw.certs import (
    accounts,
    authority,
    chain,
    deploy,
    install,
    issue,
    node_certificate,
    offers,
    persist,
    renewal,
    sharing,
)
from pvefw.certs.chain import CertificateInfo
from pvefw.certs.renewal import Decision, Record, Window
from pvefw.core.errors import (
    AcmeError,
    AcmeProblem,
    CertificateError,
    NotFound,
    PvefwError,
    RateLimited,
    UsageError,
)
from pvefw.core.model import RenewalFailedEvent, Task
from pvefw.dns import cleanup
from pvefw.host.clock import Clock
from pvefw.store import accounts as account_store
from pvefw.store import files, node_settings
from pvefw.store.accounts import Account
from pvefw.store.paths import Paths
from pvefw.tasks import events
from pvefw.tasks.task import run_task

Say = Callable[[str], None]

_ASK_AGAIN = 6 * 3600.0
"""Seconds until the next question where the authority does not say (RFC 9773 section 4.3.2)."""
_SOONEST, _LATEST = 60.0, 24 * 3600.0
_ASK_SECONDS = 30.0


@dataclass(frozen=True)
class _Planned:
    """One certificate, and what is to happen with it."""

    info: CertificateInfo
    record: Record
    decision: Decision | None
    """``None`` where it is not for us to renew."""
    note: str
    """Why not, or what beside the date decides; may be empty."""
    task_type: str
    work: Callable[[Task], object]
    doubt: str = ""
    """Why the authority would refuse the order."""

    def line(self, now: datetime) -> str:
        """What is decided and why, for people."""
        names = self.info.san[0] if self.info.san else self.info.subject
        more = f" and {len(self.info.san) - 1} more" if len(self.info.san) > 1 else ""
        head = f"{self.info.filename} ({names}{more}): "
        if self.decision is None:
            return f"{head}not renewed: {self.note}"
        if self.held_back(now):
            until = f"{self.record.next_try:%Y-%m-%d %H:%M}"
            return f"{head}due, but the last try failed; next at {until} UTC: {self.record.reason}"
        when = (
            "due"
            if self.decision.due <= now
            else f"not due until {self.decision.due:%Y-%m-%d %H:%M} UTC"
        )
        note = f" ({self.note})" if self.note else ""
        doubt = f"; {self.doubt}" if self.doubt else ""
        return f"{head}{when}: {self.decision.reason}{note}{doubt}"

    def due(self, now: datetime) -> bool:
        """Whether to renew it now."""
        return bool(self.decision and self.decision.due <= now and not self.held_back(now))

    def held_back(self, now: datetime) -> bool:
        """Whether a failure is too recent to try again."""
        due = self.decision is not None and self.decision.due <= now
        return due and self.record.next_try is not None and self.record.next_try > now


def run(paths: Paths, say: Say, echo: Say, clock: Clock, *, dry_run: bool = False) -> bool:
    """Decide for every certificate of the node, and do what is due.

    :param say: gets one line for each decision.
    :param echo: gets the logs of the tasks that are run.
    :param dry_run: only decide; nothing is kept.
    :returns: whether everything that was tried succeeded.
    :raises ConfigError: the configuration is damaged.
    """
    now = clock.now()
    good = True
    for planned in plan(paths, now, keep=not dry_run):
        say(planned.line(now))
        if dry_run:
            continue
        if planned.due(now):
            good &= _renew(paths, planned, echo, clock)
        elif planned.decision is None or planned.held_back(now):
            _remind(paths, planned, echo, clock)
    for warning in persist.warnings(paths, now):
        say(warning)
    left = deploy.pending(paths)
    if left:
        say(f"Not deployed yet: {', '.join(left)}")
        if not dry_run:
            good &= _deploy(paths, echo, clock)
    return good


def overview(paths: Paths, now: datetime) -> list[dict[str, object]]:
    """What is known of each certificate and its renewal; the authority is not asked.

    :returns: of each ``file``, ``names``, ``not-after`` and ``due`` (ISO 8601; ``due`` is ``None`` where
        it is not for us to renew), ``urgency``, ``failures`` (tries in a row), ``doubt`` (why the
        authority would refuse the order), and ``line``, for people.
    :raises ConfigError: the configuration is damaged.
    """
    return [
        {
            "file": planned.info.filename,
            "names": list(planned.info.san),
            "not-after": planned.info.not_after.isoformat(),
            "due": planned.decision.due.isoformat() if planned.decision else None,
            "urgency": renewal.urgency(planned.info, now).value,
            "failures": planned.record.failures,
            "doubt": planned.doubt,
            "line": planned.line(now),
        }
        for planned in plan(paths, now, keep=False, ask=False)
    ]


def plan(paths: Paths, now: datetime, *, keep: bool, ask: bool = True) -> Iterator[_Planned]:
    """What is to happen with each certificate that is there.

    :param keep: whether to keep what the authority says of its window.
    :param ask: whether to ask it; without that, what it said last counts.
    """
    for pair, planned in (
        (install.authority_pair(paths), _plan_authority),
        (install.node_pair(paths), _plan_node),
    ):
        pem = files.read_if_exists(pair.certificate)
        if pem is not None:
            info = chain.describe(pair.certificate, pem)
            yield planned(paths, info, renewal.record_of(paths, info), now)
    pem = files.read_if_exists(paths.proxy_certificate)
    if pem is not None:
        info = chain.describe(paths.proxy_certificate, pem)
        yield _plan_service(paths, info, now, keep=keep, ask=ask)
    elif found := sharing.newer(paths, sharing.partners(paths), None, now):
        yield _to_take_over(paths, found, now)


def renew_service(paths: Paths, task: Task, clock: Clock, *, force: bool = False) -> None:
    """Renew the services' certificate, if it is due; records that a killed order left go either way.

    :param force: also when it is not due, and by an order, whatever other nodes have.
    :raises NotFound: there is none.
    :raises UsageError: it is not due.
    """
    cleanup.cleanup_first(paths, task)
    pem = install.service_certificate(paths)
    info, now = chain.describe(paths.proxy_certificate, pem), clock.now()
    planned = _plan_service(paths, info, now, keep=True)
    if not force and (planned.decision is None or planned.decision.due > now):
        why = planned.note or "it is not due"
        if planned.decision:
            why = f"its renewal is due on {planned.decision.due:%Y-%m-%d}"
        raise UsageError(
            f"acme cert renew: the certificate is good until {info.not_after:%Y-%m-%d}, {why}",
            hint="Renew it now with --force.",
        )
    issue.obtain(paths, task, ordered_in_any_case=force)
    _succeeded(paths, planned, task)


# --- each certificate -----------------------------------------------------------------------------


def _plan_authority(paths: Paths, info: CertificateInfo, record: Record, now: datetime) -> _Planned:
    def unable(note: str) -> _Planned:
        return _Planned(info, record, None, note, "", lambda _task: None)

    try:
        ca = authority.load(paths)
    except CertificateError as error:
        return unable(error.message)
    if ca is None:
        return unable("its private key is not here")
    if ca.previous and ca.previous[0].not_valid_after_utc <= now:
        over = Decision(now, "the CA that it replaced has ended")
        return _Planned(
            info, record, over, "", "certca", lambda task: authority.finish_roll_over(paths, task)
        )
    decision = Decision(ca.due, "four fifths of its lifetime are over then")
    return _Planned(
        info, record, decision, "", "certca", lambda task: authority.roll_over(paths, task, now)
    )


def _plan_node(paths: Paths, info: CertificateInfo, record: Record, now: datetime) -> _Planned:
    try:
        decision, note = node_certificate.decide(paths, now), "the cluster's CA did not sign it"
    except CertificateError as error:
        decision, note = None, error.message
    return _Planned(
        info,
        record,
        decision,
        "" if decision else note,
        "certnode",
        lambda task: node_certificate.refresh(paths, task, now),
    )


def _plan_service(
    paths: Paths, info: CertificateInfo, now: datetime, *, keep: bool, ask: bool = True
) -> _Planned:
    record = renewal.record_of(paths, info)
    why_not = "it was set by hand" if record.custom else _not_configured(paths)
    if why_not:
        return _Planned(info, record, None, why_not, "", lambda _task: None)
    found = sharing.newer(paths, sharing.partners(paths), info, now)
    if found:
        decision, note = Decision(now, f"node {found.node} has a newer one to share"), ""
    else:
        record, note = _asked(paths, info, record, now) if ask else (record, "")
        if keep:
            renewal.keep(paths, info, record)
        days = node_settings.get(paths, "renew-before")
        earlier = timedelta(days=int(days)) if days else None
        decision = renewal.decide(info, paths.node, window=record.window, renew_before=earlier)
    doubt = offers.doubt(paths, record.profiles)
    return _Planned(
        info, record, decision, note, "acmerenew", lambda task: issue.obtain(paths, task), doubt
    )


def _to_take_over(paths: Paths, found: sharing.Found, now: datetime) -> _Planned:
    """For a node that joined later."""
    decision = Decision(now, f"node {found.node} has one to share")
    return _Planned(
        found.info, Record(), decision, "", "acmenewcert", lambda task: issue.obtain(paths, task)
    )


def _not_configured(paths: Paths) -> str:
    return (
        "" if node_settings.certificate_names(paths) else "no names are configured to order it for"
    )


def _asked(
    paths: Paths, info: CertificateInfo, record: Record, now: datetime
) -> tuple[Record, str]:
    """Ask the authority for its window, unless it wants to be asked later.

    No answer is no reason to fail: the last window stands, and without one the lifetime decides.
    """
    if record.ask_again and record.ask_again > now:
        return record, ""
    again, window, note, offered = _ASK_AGAIN, record.window, "", record.profiles
    try:
        found, offered = _renewal_info(paths, info, record)
    except (AcmeError, CertificateError, NotFound) as error:
        note = f"its authority could not be asked for its window: {error.message}"
    else:
        window = Window(found.start, found.end, found.explanation) if found else None
        again = (found and found.retry_after) or _ASK_AGAIN
    pause = timedelta(seconds=min(max(again, _SOONEST), _LATEST))
    return replace(record, window=window, profiles=offered, ask_again=now + pause), note


def _account_of(paths: Paths, record: Record) -> Account:
    """The account that a certificate was ordered with, or the configured one.

    :raises NotFound: it is not there.
    :raises ConfigError: its file is damaged.
    """
    for name in account_store.names(paths) if record.account else []:
        account = account_store.load(paths, name)
        if record.account in (account.location, name):
            return account
    return account_store.load(paths, node_settings.account_name(paths))


def _renewal_info(
    paths: Paths, info: CertificateInfo, record: Record
) -> tuple[RenewalInfo | None, list[str]]:
    """What the authority says of the window, and the profiles that it offers."""
    account = _account_of(paths, record)
    transport = Transport(ca_file=account.ca_file, deadline=_ASK_SECONDS, task=accounts.Unhurried())
    try:
        client = Client(transport, account.directory)
        offered = sorted(client.directory.profiles or {})
        return client.renewal_info(x509.load_pem_x509_certificate(info.pem.encode())), offered
    finally:
        transport.close()


# --- doing it -------------------------------------------------------------------------------------


def _renew(paths: Paths, planned: _Planned, echo: Say, clock: Clock) -> bool:
    """Renew one. A failure is kept, and somebody is told; other certificates get their turn."""
    try:
        with run_task(paths, planned.task_type, echo=echo, clock=clock) as task:
            try:
                planned.work(task)
            except PvefwError as error:
                _failed(paths, planned, error, task, clock)
                raise
            _succeeded(paths, planned, task)
    except PvefwError as error:
        echo(f"Task ERROR: {error.message}")
        if error.hint:
            echo(f"  {error.hint}")
        return False
    return True


def _failed(paths: Paths, planned: _Planned, error: PvefwError, task: Task, clock: Clock) -> None:
    waits = error.retry_after if isinstance(error, AcmeProblem | RateLimited) else None
    now = clock.now()
    record = planned.record.failed(error.message, planned.info, now, waits)
    task.log(f"The next try is due at {record.next_try:%Y-%m-%d %H:%M} UTC")
    _tell(paths, planned, record, task, now)


def _succeeded(paths: Paths, planned: _Planned, task: Task) -> None:
    """Clear what was kept of failures; who was told of them is told that they are over."""
    if planned.record.told is None:
        return
    target = install.service_pair(paths).certificate
    if planned.info.filename == target.name:
        event = install.event(paths, files.read(target))
        events.tell(paths, "on_renewal_recovered", event, task)


def _remind(paths: Paths, planned: _Planned, echo: Say, clock: Clock) -> None:
    """Tell somebody of a certificate that runs out, and that is not being renewed."""
    now = clock.now()
    ends_soon = renewal.decide(planned.info, paths.node).due <= now
    if not ends_soon or not planned.record.to_be_told(renewal.urgency(planned.info, now), now):
        return
    with run_task(paths, "certcheck", echo=echo, clock=clock) as task:
        task.warn(planned.line(now))
        reason = planned.record.reason if planned.decision else planned.note
        _tell(paths, planned, replace(planned.record, reason=reason), task, now)


def _tell(paths: Paths, planned: _Planned, record: Record, task: Task, now: datetime) -> None:
    """Tell the observers, if it is time to; keep the record either way."""
    info = planned.info
    how = renewal.urgency(info, now)
    if record.to_be_told(how, now):
        event = RenewalFailedEvent(
            node=paths.node,
            names=info.san,
            certificate=paths.node_dir() / info.filename,
            not_after=info.not_after,
            days_left=(info.not_after - now) / timedelta(days=1),
            failures=record.failures,
            reason=record.reason,
            urgency=how,
        )
        events.tell(paths, "on_renewal_failed", event, task)
        record = replace(record, told=now, told_urgency=how.value)
    renewal.keep(paths, info, record)


def _deploy(paths: Paths, echo: Say, clock: Clock) -> bool:
    with run_task(paths, "certdeploy", echo=echo, clock=clock) as task:
        return not deploy.deploy(paths, task)
