"""Orders a certificate of a node, or takes over what another node or certificate has."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cryptography import x509

from pvefw import instances
from pvefw.acme.choice import Way
from pvefw.acme.client import Client, Order
from pvefw.acme.order import OrderFlow
from pvefw.acme.renewal_info import certificate_id
from pvefw.certs import accounts as account_use
from pvefw.certs import chain, deploy, install, keys, renewal_rule, revoke, sharing, solvers
from pvefw.certs.certificate import Certificate
from pvefw.certs.chain import CertificateInfo
from pvefw.certs.progress import Progress, Wanted, forget_order
from pvefw.certs.renewal_rule import Record
from pvefw.certs.revocation import Revoked
from pvefw.certs.sharing import SharedPair
from pvefw.core import notices
from pvefw.core.errors import (
    AcmeError,
    AcmeProblem,
    AcmeProtocolError,
    CertificateError,
    ConfigError,
    Locked,
    NoQuorum,
    NotFound,
    UsageError,
)
from pvefw.core.families import DNS
from pvefw.core.model import Task
from pvefw.dns import cleanup
from pvefw.host.clock import SystemClock
from pvefw.store import accounts as account_store
from pvefw.store import files, leases, locks
from pvefw.store.accounts import Account
from pvefw.store.paths import Paths
from pvefw.tasks import events

_ORDER_SECONDS = 3600.0
"""Long enough for slow DNS and an authority that asks to wait; each step has limits of its own."""
_RESUME_SECONDS = 600.0
"""How long an order that was interrupted is waited for: at some authorities one stays in `processing`
for ever, and a new one must have its time."""


def order(certificate: Certificate, task: Task, *, force: bool = False) -> None:
    """Get a certificate for the configured names, install it, and tell the service and the observers.

    Where another node or certificate wants the same and has it already, it is taken over instead.

    :param force: order in any case, and replace a certificate that already exists.
    :raises UsageError: there is one, and no force.
    :raises ConfigError: nothing to order is configured.
    :raises PvefwError: the order failed; the certificate that was there is still there.
    """
    check_order(certificate, force=force)
    obtain(certificate, task, ordered_in_any_case=force)


def check_order(certificate: Certificate, *, force: bool) -> None:
    """Refuse an order that the configuration alone rules out.

    :param force: whether it may replace a certificate that already exists.
    :raises UsageError: there is one, and no force.
    :raises ConfigError: as :func:`check_names`.
    :raises NotFound: as :func:`check_names`.
    """
    if not force and files.exists(certificate.files.certificate):
        raise UsageError(
            f"acme cert order: {certificate.files.certificate} already exists",
            hint=f"Replace it with --force, or renew it: {certificate.settings.renew_command}",
        )
    check_names(certificate)


def check_names(certificate: Certificate) -> None:
    """Refuse names that cannot be ordered for.

    :raises ConfigError: none is configured, or one is configured twice.
    :raises NotFound: the plugin instance of one does not exist.
    """
    for entry in _wanted(certificate).entries:
        instances.load(certificate.node, DNS.name, entry.plugin)


def obtain(
    certificate: Certificate, task: Task, *, ordered_in_any_case: bool = False, instead_of: str = ""
) -> None:
    """Get a certificate from a partner that shares it, or from the authority, and put it to use.

    :param ordered_in_any_case: whatever partners have.
    :param instead_of: the fingerprint of the one that was found due: where another one is there by now,
        another process has done what was to be done.
    :raises PvefwError: as :func:`order`.
    """
    paths = certificate.paths
    with locks.local_lock(paths, f"acme-order-{paths.node}", timeout=0):
        install.recover(paths)
        files.check_writable(paths.state_dir)
        certificate = certificate.fresh()
        wanted, others = _wanted(certificate), sharing.partners(certificate)
        with sharing.turn(certificate, others, task):
            files.check_writable(certificate.files.certificate.parent)
            cleanup.cleanup_first(certificate.node, task)
            before = certificate.installed()
            if instead_of and before and before.fingerprint != instead_of:
                task.log("Another process has replaced it in the meantime")
                return
            pair = sharing.newer(certificate, others, before, SystemClock().now())
            if pair and not ordered_in_any_case:
                account = _take_over(wanted, pair, before, task)
            else:
                account = _order(wanted, before, task)
    deploy.deploy(certificate, task)
    events.tell(certificate.node, events.NOTICE, notices.installed(certificate.event()), task)
    if before and certificate.settings.is_on("revoke-replaced"):
        revoke.revoke_replaced(certificate, before, account, task)


def _take_over(wanted: Wanted, pair: SharedPair, before: CertificateInfo | None, task: Task) -> str:
    """Install what a partner has. An order of ours that was interrupted is over with that.

    :returns: the account that it was ordered from.
    """
    certificate = wanted.certificate
    task.log(
        f"{pair.owner[0].upper()}{pair.owner[1:]} has this certificate already; taking it over"
    )
    record = _record(certificate, _url_of(certificate.paths, wanted.account))
    _install(certificate, pair.certificate, pair.key, record, before, task)
    forget_order(certificate.files)
    return wanted.account


def _order(wanted: Wanted, before: CertificateInfo | None, task: Task) -> str:
    """Order from the configured account; where its authority is down, from the one to fall back to.

    :returns: the account that was ordered from.
    """
    certificate = wanted.certificate
    answering = solvers.for_names(certificate.node, wanted.entries)
    fallback = certificate.settings.fallback_account
    try:
        _order_from(wanted, answering, before, task)
    except AcmeError as error:
        if not fallback or fallback == wanted.account or not _is_down(error):
            raise
        task.warn(f"{error.message}; ordering from the account {fallback} instead")
        wanted = replace(wanted, account=fallback)
        _order_from(wanted, answering, before, task)
    return wanted.account


def _is_down(error: AcmeError) -> bool:
    """Whether another authority might do what this one does not.

    Not where it looked, and found fault with a name: another one would find the same. Whatever else goes
    wrong is its own affair, such as an account that it does not take any more.
    """
    if not isinstance(error, AcmeProblem):
        return True
    if error.is_a_failure or error.type in _ITS_OWN:
        return True
    return bool(error.status) and error.type in ("", "unauthorized")


_ITS_OWN = ("rateLimited", "serverInternal", "accountDoesNotExist", "userActionRequired")


def _order_from(
    wanted: Wanted,
    answering: Mapping[str, Sequence[Way]],
    before: CertificateInfo | None,
    task: Task,
) -> None:
    certificate = wanted.certificate
    task.log("Loading ACME account details")
    account = account_use.load(certificate.paths, wanted.account, task)
    with account_use.connect(account, task, _ORDER_SECONDS) as (client, transport):
        flow = OrderFlow(client, transport, answering, task)
        progress = Progress(wanted, account.location)
        transport.start_anew(_RESUME_SECONDS)
        pem = _resume(flow, progress, wanted, before, task)
        if pem is None:
            transport.start_anew()
            replaces = _replaces(certificate.paths, client, before, account)
            valid = _obtain(flow, progress, wanted, replaces, task)
            pem = flow.download(valid, certificate.settings.get("preferred-chain"))
    try:
        chain.check_ordered(pem, wanted.identifiers, progress.key, f"order {progress.url}")
        record = _record(certificate, account.location)
        _install(certificate, pem, keys.to_pem(progress.key), record, before, task)
    except NoQuorum:
        raise  # it is good, and can only not be written now: the next try resumes the order
    except CertificateError as error:
        progress.end()
        raise AcmeProtocolError(
            f"order {progress.url}: the authority sent a certificate that cannot be used: "
            f"{error.message.removeprefix(f'order {progress.url}: ')}",
            hint="Nothing was changed. Order again; if that does not help, ask the authority. If it is "
            "said to be not yet valid, or to have expired, check this host's clock.",
        ) from error
    except BaseException:
        progress.end()  # a certificate that cannot be used is no reason to download it for ever
        raise
    progress.end()


def _url_of(paths: Paths, account: str) -> str:
    """An account's URL; empty where the account is not there."""
    try:
        return account_store.load(paths, account).location
    except (ConfigError, NotFound):
        return ""


def _record(certificate: Certificate, account: str) -> Record:
    """What is to be known of a new certificate.

    :param account: the URL of the account that it was ordered with.
    """
    return Record(account=account, profile=certificate.settings.get("profile"))


def _install(
    certificate: Certificate,
    pem: bytes,
    key: bytes,
    record: Record,
    before: CertificateInfo | None,
    task: Task,
) -> None:
    """Replace the pair, and keep what is known of it.

    :param before: what it is to replace.
    :raises Locked: somebody has put another one there meanwhile, or the turn to order has been lost.
    """
    leases.check()
    there = certificate.installed()
    if there and (before is None or there.fingerprint != before.fingerprint):
        raise Locked(
            f"{certificate.files.certificate}: another certificate was installed while this one was "
            "ordered",
            hint="That one is still in place. Replace it with: "
            f"{certificate.settings.order_command} --force",
        )
    deploy.prepare(certificate)
    install.install_pair(certificate, pem, key, task, SystemClock().now())
    info = chain.describe(certificate.files.certificate, certificate.pem())
    if before:
        known = renewal_rule.record_of(certificate.paths, before)
        record = replace(record, ask_again=renewal_rule.ask_again(known, info, SystemClock().now()))
    renewal_rule.keep(certificate.paths, info, record)


def _replaces(
    paths: Paths, client: Client, before: CertificateInfo | None, account: Account
) -> str:
    """The ARI id of the certificate to replace, where its authority knows it (RFC 9773 section 5).

    An account of the same name may be another one by now; the record of an older pvefw has only the name.
    """
    if before is None or "renewalInfo" not in client.directory.urls:
        return ""
    if renewal_rule.record_of(paths, before).account not in (account.location, account.name):
        return ""
    return certificate_id(x509.load_pem_x509_certificate(before.pem.encode()))


def _resume(
    flow: OrderFlow, progress: Progress, wanted: Wanted, before: CertificateInfo | None, task: Task
) -> bytes | None:
    """The certificate of an order that was interrupted; ``None`` where a new one has to be placed.

    The authority may have come while nobody answered; then that order is lost. And much may have happened
    since: its certificate must be better than the one that is there.

    :raises AcmeUnreachable: it is there, and cannot be had just now.
    """
    placed = progress.resumed(flow)
    if placed is None:
        return None
    try:
        valid = flow.finalize(flow.authorize(placed), progress.signing_request)
    except AcmeError as error:
        task.log(f"The interrupted order cannot be completed: {error.message}")
        return None
    try:
        pem = flow.download(valid, wanted.certificate.settings.get("preferred-chain"))
        why = _useless(wanted, pem, before)
    except (AcmeProblem, AcmeProtocolError, CertificateError) as error:
        why = error.message
    if not why:
        return pem
    task.log(f"The interrupted order is abandoned: {why}")
    progress.end()
    return None


def _useless(wanted: Wanted, pem: bytes, before: CertificateInfo | None) -> str:
    """Why a certificate should not be installed; empty where it should.

    :raises CertificateError: it is none.
    """
    certificate = wanted.certificate
    info = chain.describe(certificate.files.certificate, pem)
    if Revoked.load(certificate.paths).find_pem(info.pem):
        return "its certificate was revoked"
    if before and info.not_before <= before.not_before:
        return "its certificate is older than the one that is installed"
    if renewal_rule.decide(info, certificate.node.name).due <= SystemClock().now():
        return "its certificate is due for renewal itself"
    return ""


def _obtain(
    flow: OrderFlow, progress: Progress, wanted: Wanted, replaces: str, task: Task
) -> Order:
    """Place an order and bring it to its end.

    To say what it replaces is optional (RFC 9773 section 5): where that is refused, whatever the reason,
    the order is placed without it.
    """
    profile = wanted.certificate.settings.get("profile")
    try:
        placed = flow.place(wanted.identifiers, profile=profile, replaces=replaces)
    except AcmeProblem as problem:
        if not replaces or problem.type == "rateLimited":
            raise
        task.log(f"Ordering without 'replaces': {problem.message}")
        placed = flow.place(wanted.identifiers, profile=profile)
    progress.begin(placed)
    return flow.finalize(flow.authorize(placed), progress.signing_request)


def _wanted(certificate: Certificate) -> Wanted:
    settings = certificate.settings
    entries = settings.names()
    if not entries:
        raise ConfigError(
            f"acme cert order: no names are configured for {settings.what}",
            hint=f"Set one: {settings.set_command} --acmedomain0 NAME,plugin=ID",
        )
    return Wanted(certificate, entries, settings.account)
