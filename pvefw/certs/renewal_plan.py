"""Decides for every certificate of a node whether it is to be renewed, and when."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from cryptography import x509

from pvefw.acme.client import Client
from pvefw.acme.renewal_info import RenewalInfo
from pvefw.acme.transport import Transport
from pvefw.certs import (
    accounts,
    authority,
    chain,
    install,
    issue,
    node_certificate,
    offers,
    pins,
    renewal,
    revocation,
    sharing,
)
from pvefw.certs.chain import CertificateInfo
from pvefw.certs.renewal import Decision, Record, Window
from pvefw.certs.revocation import Revoked
from pvefw.certs.sharing import Found
from pvefw.core.errors import AcmeError, CertificateError, ConfigError, NotFound, PvefwError
from pvefw.core.model import Task
from pvefw.store import accounts as account_store
from pvefw.store import files
from pvefw.store.accounts import Account
from pvefw.store.node import Node

_ASK_AGAIN = 6 * 3600.0
"""Seconds until the next question where the authority does not say (RFC 9773 section 4.3.2)."""
_SECOND_LOOK = timedelta(days=1)
"""After the first one that finds the cluster's CA due: a clock that was wrong has been set by then."""
_SOONEST, _LATEST = 60.0, 24 * 3600.0
_ASK_SECONDS = 30.0


@dataclass(frozen=True)
class Planned:
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
    pinned_by: Sequence[str] = ()
    """The instances that trust its fingerprint, and so not its successor."""
    copied: bool = False
    """Another node has it: no order is placed, and no failure of one is a reason to wait."""
    revoked: bool = False
    """Nobody should use it any more."""

    def line(self, now: datetime) -> str:
        """What is decided and why, and what the renewal breaks, for people."""
        return f"{self._decided(now)}{self._pins()}"

    def _decided(self, now: datetime) -> str:
        names = self.info.san[0] if self.info.san else self.info.subject
        more = f" and {len(self.info.san) - 1} more" if len(self.info.san) > 1 else ""
        head = f"{self.info.filename} ({names}{more}): "
        doubt = f"; {self.doubt}" if self.doubt else ""
        if self.info.not_after <= now:
            head += f"expired since {self.info.not_after:%Y-%m-%d %H:%M} UTC; "
        if self.decision is None:
            return f"{head}not renewed: {self.note}{doubt}"
        if self.held_back(now):
            until = f"{self.record.next_try:%Y-%m-%d %H:%M}"
            return f"{head}due, but the last try failed; next at {until} UTC: {self.record.reason}"
        when = (
            "due"
            if self.decision.due <= now
            else f"not due until {self.decision.due:%Y-%m-%d %H:%M} UTC"
        )
        note = f" ({self.note})" if self.note else ""
        return f"{head}{when}: {self.decision.reason}{note}{doubt}"

    def _pins(self) -> str:
        if not self.pinned_by:
            return ""
        who = ", ".join(self.pinned_by)
        return (
            f"; {who}: its fingerprint is pinned and changes then; configure a CA to trust instead"
        )

    def due(self, now: datetime) -> bool:
        """Whether to renew it now."""
        return bool(self.decision and self.decision.due <= now and not self.held_back(now))

    def is_early(self, now: datetime) -> bool:
        """Whether it is not due; what failed before was at a clock that was wrong."""
        return self.decision is not None and self.decision.due > now

    def held_back(self, now: datetime) -> bool:
        """Whether a failure is too recent to try again."""
        due = self.decision is not None and self.decision.due <= now and not self.copied
        return due and self.record.held_back(now)


@dataclass(frozen=True)
class Undecided:
    """A certificate of which nothing can be decided; the others get their turn."""

    file: Path
    error: PvefwError

    def line(self, _now: datetime) -> str:
        """Why, for people."""
        return f"{self.file.name}: not renewed: {self.error.message}"


def overview(node: Node, now: datetime) -> list[dict[str, object]]:
    """What is known of each certificate and its renewal; the authority is not asked.

    :returns: of each ``file``, ``names``, ``not-after`` and ``due`` (ISO 8601; ``due`` is ``None`` where
        it is not for us to renew), ``urgency``, ``failures`` (tries in a row), ``doubt`` (why the
        authority would refuse the order), ``pinned-by`` (instances that trust its fingerprint),
        ``revoked`` (whether a node has revoked it), and ``line``, for people.
    :raises PvefwError: of one of them nothing is known.
    """
    found = list(plan(node, now, keep=False, ask=False))
    for one in found:
        if isinstance(one, Undecided):
            raise one.error
    return [
        {
            "file": planned.info.filename,
            "names": list(planned.info.san),
            "not-after": planned.info.not_after.isoformat(),
            "due": planned.decision.due.isoformat() if planned.decision else None,
            "urgency": renewal.urgency(planned.info, now).value,
            "failures": 0 if planned.is_early(now) else planned.record.failures,
            "doubt": planned.doubt,
            "pinned-by": list(planned.pinned_by),
            "revoked": planned.revoked,
            "line": planned.line(now),
        }
        for planned in found
        if isinstance(planned, Planned)
    ]


def plan(
    node: Node, now: datetime, *, keep: bool, ask: bool = True
) -> Iterator[Planned | Undecided]:
    """What is to happen with each certificate that is there.

    :param keep: whether to keep what the authority says of its window.
    :param ask: whether to ask it; without that, what it said last counts.
    """
    paths = node.paths
    service = partial(_plan_service, keep=keep, ask=ask)
    for path, decide in (
        (install.authority_pair(paths).certificate, partial(_plan_authority, keep=keep)),
        (install.node_pair(paths).certificate, _plan_node),
        (paths.proxy_certificate, service),
    ):
        try:
            pem = files.read_if_exists(path)
            if pem is not None:
                yield _with_pins(node, decide(node, chain.describe(path, pem), now))
            elif decide is service:
                yield from _to_take_over(node, now)
        except PvefwError as error:
            yield Undecided(path, error)


def plan_service(node: Node, info: CertificateInfo, now: datetime) -> Planned:
    """What is to happen with the services' certificate; what its authority says is kept.

    :raises ConfigError: the names to order it for are not clear.
    """
    return _plan_service(node, info, now, keep=True)


def _with_pins(node: Node, planned: Planned) -> Planned:
    """With those who pin it, where it is to be replaced at all."""
    if planned.decision is None:
        return planned
    return replace(planned, pinned_by=pins.pinned_by(node, planned.info))


# --- each certificate -----------------------------------------------------------------------------


def _plan_authority(node: Node, info: CertificateInfo, now: datetime, *, keep: bool) -> Planned:
    paths = node.paths
    record = renewal.record_of(paths, info)

    def unable(note: str) -> Planned:
        return Planned(info, record, None, note, "", lambda _task: None)

    try:
        ca = authority.load(paths)
    except CertificateError as error:
        return unable(error.message)
    if ca is None:
        return unable("its private key is not here")
    early = authority.not_yet_valid(ca.certificate, now)
    if early:
        advice = "check this host's clock; if it is right: pvefw cert ca rollover"
        return replace(unable(early), doubt=advice)
    if ca.previous and ca.previous[0].not_valid_after_utc <= now:
        due, why = ca.previous[0].not_valid_after_utc, "the CA that it replaced has ended"
        work: Callable[[Task], object] = partial(authority.finish_roll_over, paths)
    else:
        due, why = ca.due, "after four fifths of its lifetime"
        work = partial(authority.roll_over, paths, now=now)
    looked = _looked_at(record, now) if due <= now else replace(record, first_due=None)
    if keep and looked != record:
        renewal.keep(paths, info, looked)
    if looked.first_due:
        due = max(due, looked.first_due + _SECOND_LOOK)
    return Planned(info, looked, Decision(due, why), "", "certca", work)


def _looked_at(record: Record, now: datetime) -> Record:
    """The record of a CA that is due, with the first look that found it so.

    A clock that is ahead would have it replaced, which nothing undoes; so it is looked at twice. A first
    look that lies in the future was at such a clock.
    """
    known = record.first_due is not None and record.first_due <= now
    return record if known else replace(record, first_due=now)


def _plan_node(node: Node, info: CertificateInfo, now: datetime) -> Planned:
    paths = node.paths
    try:
        decision, note = node_certificate.decide(paths, now), "the cluster's CA did not sign it"
    except CertificateError as error:
        decision, note = None, error.message
    return Planned(
        info,
        renewal.record_of(paths, info),
        decision,
        "" if decision else note,
        "certnode",
        lambda task: node_certificate.refresh(paths, task, now),
    )


def _plan_service(
    node: Node, info: CertificateInfo, now: datetime, *, keep: bool, ask: bool = True
) -> Planned:
    paths = node.paths
    record = renewal.record_of(paths, info)
    revoked = Revoked.load(paths).find_pem(info.pem)
    said = revocation.said(revoked) if revoked else ""
    why_not = "it was set by hand" if record.custom else _not_configured(node)
    if why_not:
        note = f"{why_not}; {said}" if said else why_not
        return Planned(info, record, None, note, "", lambda _task: None, revoked=bool(said))
    found = sharing.newer(node, sharing.partners(node), info, now)
    note = ""
    if found or said:
        decision = Decision(now, _better(found, said))
    else:
        record, note = _asked(node, info, record, now) if ask else (record, "")
        if keep:
            renewal.keep(paths, info, record)
        decision = _by_time(node, info, record)
    return Planned(
        info,
        record,
        decision,
        note,
        "acmerenew",
        partial(issue.obtain, paths),
        offers.doubt(node, record.profiles),
        copied=found is not None,
        revoked=bool(said),
    )


def _better(found: Found | None, revoked: str) -> str:
    """Why another certificate is needed at once.

    :param found: what another node has.
    :param revoked: what is known of a revocation; empty for none.
    """
    if found is None:
        return revoked
    if revoked:
        return f"{revoked}, and node {found.node} has another one to share"
    return f"node {found.node} has a newer one to share"


def _by_time(node: Node, info: CertificateInfo, record: Record) -> Decision:
    days = node.get("renew-before")
    earlier = timedelta(days=int(days)) if days else None
    return renewal.decide(info, node.name, window=record.window, renew_before=earlier)


def _to_take_over(node: Node, now: datetime) -> Iterator[Planned]:
    """For a node that joined later: the certificate that another one shares."""
    found = sharing.newer(node, sharing.partners(node), None, now)
    if found:
        decision = Decision(now, f"node {found.node} has one to share")
        work = partial(issue.obtain, node.paths)
        yield Planned(found.info, Record(), decision, "", "acmenewcert", work, copied=True)


def _not_configured(node: Node) -> str:
    try:
        return "" if node.certificate_names() else "no names are configured to order it for"
    except ConfigError as error:
        return error.message


def _asked(node: Node, info: CertificateInfo, record: Record, now: datetime) -> tuple[Record, str]:
    """Ask the authority for its window, unless it wants to be asked later.

    No answer is no reason to fail: the last window stands, and without one the lifetime decides.
    """
    latest = now + timedelta(seconds=_LATEST)  # what is later was kept while the clock was ahead
    if record.ask_again and now < record.ask_again <= latest:
        return record, ""
    again, window, note, offered = _ASK_AGAIN, record.window, "", record.profiles
    try:
        found, offered = _renewal_info(node, info, record)
    except (AcmeError, CertificateError, ConfigError, NotFound) as error:
        note = f"its authority could not be asked for its window: {error.message}"
    else:
        window = Window(found.start, found.end, found.explanation) if found else None
        again = (found and found.retry_after) or _ASK_AGAIN
    pause = timedelta(seconds=min(max(again, _SOONEST), _LATEST))
    return replace(record, window=window, profiles=offered, ask_again=now + pause), note


def _account_of(node: Node, record: Record) -> Account:
    """The account that a certificate was ordered with, or the configured one.

    :raises NotFound: it is not there.
    :raises ConfigError: its file is damaged.
    """
    for name in account_store.names(node.paths) if record.account else []:
        try:
            account = account_store.load(node.paths, name)
        except ConfigError:
            continue  # it may be another's
        if record.account in (account.location, name):
            return account
    return account_store.load(node.paths, node.account)


def _renewal_info(
    node: Node, info: CertificateInfo, record: Record
) -> tuple[RenewalInfo | None, list[str]]:
    """What the authority says of the window, and the profiles that it offers."""
    account = _account_of(node, record)
    transport = Transport(ca_file=account.ca_file, deadline=_ASK_SECONDS, task=accounts.Unhurried())
    try:
        client = Client(transport, account.directory)
        offered = sorted(client.directory.profiles or {})
        return client.renewal_info(x509.load_pem_x509_certificate(info.pem.encode())), offered
    finally:
        transport.close()
