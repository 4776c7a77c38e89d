"""Decides for every certificate of a node whether it is to be renewed, and when."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
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
    comparison,
    configured,
    install,
    issue,
    node_certificate,
    offer_checks,
    pins,
    renewal_rule,
    revocation,
    sharing,
)
from pvefw.certs.certificate import Certificate
from pvefw.certs.chain import CertificateInfo
from pvefw.certs.planned import Missing, Planned, Undecided
from pvefw.certs.renewal_rule import Decision, Record, Window
from pvefw.certs.revocation import Revoked
from pvefw.certs.sharing import SharedPair
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


def overview(node: Node, now: datetime) -> list[dict[str, object]]:
    """What is known of each certificate and its renewal; the authority is not asked.

    :returns: of each ``file``, ``names``, ``not-after`` and ``due`` (ISO 8601; ``due`` is ``None`` where
        it is not for us to renew), ``urgency``, ``failures`` (tries in a row), ``doubt`` (why the
        authority would refuse the order), ``pinned-by`` (who trusts its fingerprint),
        ``revoked`` (whether a node has revoked it), ``line``, for people, ``name`` (of the certificate's
        section; ``pveproxy`` for that of the services, empty for those of the cluster's CA),
        ``differences`` (what is wanted otherwise than it is), and ``issue`` (:meth:`Planned.issue`).
    :raises PvefwError: of one of them nothing is known.
    """
    plans = list(plan(node, now, keep=False, ask=False))
    for planned in plans:
        if isinstance(planned, Undecided):
            raise planned.error
    return [
        {
            "file": planned.info.filename,
            "names": list(planned.info.san),
            "not-after": planned.info.not_after.isoformat(),
            "due": planned.decision.due.isoformat() if planned.decision else None,
            "urgency": renewal_rule.urgency(planned.info, now).value,
            "failures": 0 if planned.is_early(now) else planned.record.failures,
            "doubt": planned.doubt,
            "pinned-by": list(planned.pinned_by),
            "revoked": planned.revoked,
            "line": planned.line(now),
            "name": planned.certificate.name if planned.certificate else "",
            "differences": list(planned.differences),
            "issue": planned.issue(now),
        }
        for planned in plans
        if isinstance(planned, Planned)
    ]


def missing(node: Node) -> list[Missing]:
    """The certificates that are wanted and are not there.

    :raises StoreError: the configuration cannot be read.
    """
    known = renewal_rule.records(node.paths)
    return [
        Missing(
            certificate,
            removed=certificate.files.certificate.name in known and not certificate.has_fallback,
        )
        for certificate in Certificate.all_of(node)
        if not files.exists(certificate.files.certificate) and not _not_configured(certificate)
    ]


def plan(
    node: Node, now: datetime, *, keep: bool, ask: bool = True
) -> Iterator[Planned | Undecided]:
    """What is to happen with each certificate that is there.

    :param keep: whether to keep what the authority says of its window.
    :param ask: whether to ask it; without that, what it said last counts.
    """
    paths = node.paths
    for path, decide in (
        (install.authority_pair(paths).certificate, partial(_plan_authority, keep=keep)),
        (install.node_pair(paths).certificate, _plan_node),
    ):
        try:
            pem = files.read_if_exists(path)
            if pem is not None:
                yield _with_pins(node, decide(node, path, chain.describe(path, pem), now))
        except PvefwError as error:
            yield Undecided(path, error)
    try:
        ordered = Certificate.all_of(node)
    except PvefwError as error:
        yield Undecided(paths.proxy_certificate, error)
        return
    for certificate in ordered:
        try:
            info = certificate.installed()
            if info is not None:
                planned = plan_one(certificate, info, now, keep=keep, ask=ask)
                yield _with_pins(node, planned)
            else:
                yield from _to_take_over(certificate, now)
        except PvefwError as error:
            yield Undecided(certificate.files.certificate, error)


def _with_pins(node: Node, planned: Planned) -> Planned:
    """With those who pin it, where it is to be replaced at all."""
    if planned.decision is None:
        return planned
    return replace(planned, pinned_by=pins.pinned_by(node, planned.info))


# --- each certificate -----------------------------------------------------------------------------


def _plan_authority(
    node: Node, path: Path, info: CertificateInfo, now: datetime, *, keep: bool
) -> Planned:
    paths = node.paths
    record = renewal_rule.record_of(paths, info)

    def unable(note: str) -> Planned:
        return Planned(path, info, record, None, note)

    try:
        ca = authority.load(paths)
    except CertificateError as error:
        return unable(error.message)
    if ca is None:
        return unable("its private key is missing")
    early = authority.not_yet_valid(ca.certificate, now)
    if early:
        advice = "check this host's clock; if it is right: pvefw cert ca rollover"
        return replace(unable(early), doubt=advice)
    if ca.previous and ca.previous[0].not_valid_after_utc <= now:
        due, why = ca.previous[0].not_valid_after_utc, "the CA that it replaced has expired"
        work: Callable[[Task], object] = partial(authority.finish_roll_over, paths)
    else:
        due, why = ca.due, "after four fifths of its lifetime"
        work = partial(authority.roll_over, paths, now=now)
    looked = _looked_at(record, now) if due <= now else replace(record, first_due=None)
    if keep and looked != record:
        renewal_rule.keep(paths, info, looked)
    if looked.first_due:
        due = max(due, looked.first_due + _SECOND_LOOK)
    return Planned(path, info, looked, Decision(due, why), "", "certca", work)


def _looked_at(record: Record, now: datetime) -> Record:
    """The record of a CA that is due, with the first look that found it so.

    A clock that is ahead would have it replaced, which nothing undoes; so it is looked at twice. A first
    look that lies in the future was at such a clock.
    """
    known = record.first_due is not None and record.first_due <= now
    return record if known else replace(record, first_due=now)


def _plan_node(node: Node, path: Path, info: CertificateInfo, now: datetime) -> Planned:
    paths = node.paths
    try:
        decision, note = node_certificate.decide(paths, now), "the cluster's CA did not sign it"
    except CertificateError as error:
        decision, note = None, error.message
    return Planned(
        path,
        info,
        renewal_rule.record_of(paths, info),
        decision,
        "" if decision else note,
        "certnode",
        lambda task: node_certificate.refresh(paths, task, now),
        unusable=install.unusable(paths, install.node_pair(paths)),
    )


def plan_one(
    certificate: Certificate,
    info: CertificateInfo,
    now: datetime,
    *,
    keep: bool = True,
    ask: bool = True,
) -> Planned:
    """What is to happen with a certificate that is ordered.

    :param keep: as for :func:`plan`; ``ask`` as well.
    :raises ConfigError: the names to order it for are not clear.
    """
    node, path = certificate.node, certificate.files.certificate
    record = _tried(certificate, renewal_rule.record_of(node.paths, info))
    known = Revoked.load(node.paths).find_pem(info.pem)
    revoked = revocation.sentence(known) if known else ""
    unusable = install.unusable(node.paths, certificate.pair)
    why_not = "it was set by hand" if record.custom else _not_configured(certificate)
    if why_not:
        note = f"{why_not}; {revoked}" if revoked else why_not
        return Planned(
            path,
            info,
            record,
            None,
            note,
            certificate=certificate,
            revoked=bool(revoked),
            unusable=unusable,
        )
    wrong = comparison.differences(certificate, info, record)
    shared = sharing.newer(certificate, sharing.partners(certificate), info, now)
    note = ""
    if shared or revoked or wrong or unusable:
        decision = Decision(now, _better(shared, revoked, wrong, unusable))
    else:
        record, note = _asked(certificate, info, record, now) if ask else (record, "")
        if keep:
            renewal_rule.keep(node.paths, info, record)
        decision = _by_time(certificate, info, record)
    return Planned(
        path,
        info,
        record,
        decision,
        note,
        "acmerenew",
        partial(issue.obtain, certificate, instead_of=info.fingerprint),
        offer_checks.doubt(certificate.settings, node.paths, record.profiles),
        certificate,
        wrong,
        copied=shared is not None,
        revoked=bool(revoked),
        unusable=unusable,
    )


def _tried(certificate: Certificate, record: Record) -> Record:
    """The record, without a wait that was for another configuration."""
    if record.next_try is None or not record.configured:
        return record
    changed = configured.stamp(certificate) != record.configured
    return replace(record, next_try=None) if changed else record


def _better(shared: SharedPair | None, revoked: str, wrong: Sequence[str], unusable: str) -> str:
    """Why another certificate is needed at once.

    :param shared: what a partner has.
    :param revoked: what is known of a revocation; empty for none.
    :param wrong: what is wanted otherwise than it is.
    :param unusable: why no service can use the one that is there; empty where one can.
    """
    if shared is None:
        return revoked or unusable or f"the configuration has changed: {'; '.join(wrong)}"
    if revoked:
        return f"{revoked}, and {shared.owner} has another one to share"
    return f"{shared.owner} has a newer one to share"


def _by_time(certificate: Certificate, info: CertificateInfo, record: Record) -> Decision:
    days = certificate.settings.get("renew-before")
    earlier = timedelta(days=int(days)) if days else None
    node = certificate.node.name
    return renewal_rule.decide(info, node, window=record.window, renew_before=earlier)


def _to_take_over(certificate: Certificate, now: datetime) -> Iterator[Planned]:
    """For a node that joined later: the certificate that another one shares."""
    if _not_configured(certificate):
        return
    shared = sharing.newer(certificate, sharing.partners(certificate), None, now)
    if shared:
        decision = Decision(now, f"{shared.owner} has one to share")
        work, path = partial(issue.obtain, certificate), certificate.files.certificate
        yield Planned(
            path,
            shared.info,
            Record(),
            decision,
            "",
            "acmenewcert",
            work,
            certificate=certificate,
            copied=True,
        )


def _not_configured(certificate: Certificate) -> str:
    try:
        names = certificate.settings.names()
    except ConfigError as error:
        return error.message
    return "" if names else "no names are configured to order it for"


def _asked(
    certificate: Certificate, info: CertificateInfo, record: Record, now: datetime
) -> tuple[Record, str]:
    """Ask the authority for its window, unless it wants to be asked later.

    No answer is no reason to fail: the last window holds, and without one the lifetime decides.
    """
    latest = now + timedelta(seconds=_LATEST)  # what is later was kept while the clock was ahead
    if record.ask_again and now < record.ask_again <= latest:
        return record, ""
    again, window, note, offered = _ASK_AGAIN, record.window, "", record.profiles
    try:
        ari, offered = _renewal_info(certificate, info, record)
    except (AcmeError, CertificateError, ConfigError, NotFound) as error:
        note = f"its authority could not be asked for its window: {error.message}"
    else:
        window = Window(ari.start, ari.end, ari.explanation) if ari else None
        again = (ari and ari.retry_after) or _ASK_AGAIN
    pause = timedelta(seconds=min(max(again, _SOONEST), _LATEST))
    return replace(record, window=window, profiles=offered, ask_again=now + pause), note


def _account_of(certificate: Certificate, record: Record) -> Account:
    """The account that a certificate was ordered with, or the configured one.

    :raises NotFound: it is not there.
    :raises ConfigError: its file is damaged.
    """
    paths = certificate.paths
    for name in account_store.names(paths) if record.account else []:
        try:
            account = account_store.load(paths, name)
        except ConfigError:
            continue  # it may be another's
        if record.account in (account.location, name):
            return account
    return account_store.load(paths, certificate.settings.account)


def _renewal_info(
    certificate: Certificate, info: CertificateInfo, record: Record
) -> tuple[RenewalInfo | None, list[str]]:
    """What the authority says of the window, and the profiles that it offers."""
    account = _account_of(certificate, record)
    transport = Transport(ca_file=account.ca_file, deadline=_ASK_SECONDS, task=accounts.Unhurried())
    try:
        client = Client(transport, account.directory)
        offered = sorted(client.directory.profiles or {})
        return client.renewal_info(x509.load_pem_x509_certificate(info.pem.encode())), offered
    finally:
        transport.close()
