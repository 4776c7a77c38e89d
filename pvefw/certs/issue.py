"""Orders, renews and revokes a certificate of a node."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import ReasonFlags

from pvefw.acme.choice import Way
from pvefw.acme.client import Client, Order
from pvefw.acme.jws import AccountKey
from pvefw.acme.order import OrderFlow
from pvefw.acme.renewal_info import certificate_id
from pvefw.certs import accounts as account_use
from pvefw.certs import chain, deploy, install, keys, node_certificate, renewal, sharing, solvers
from pvefw.certs.certificate import Certificate, installed_of
from pvefw.certs.chain import CertificateInfo
from pvefw.certs.progress import Progress, Wanted
from pvefw.certs.renewal import Record
from pvefw.core.errors import (
    AcmeError,
    AcmeProblem,
    AcmeProtocolError,
    AcmeUnreachable,
    ConfigError,
    DeadlineExceeded,
    NotFound,
    UsageError,
)
from pvefw.core.model import Task
from pvefw.dns import cleanup
from pvefw.host.clock import SystemClock
from pvefw.store import accounts as account_store
from pvefw.store import files, locks
from pvefw.store.accounts import Account
from pvefw.store.node import Node
from pvefw.store.paths import Paths

_ORDER_SECONDS = 3600.0
"""Long enough for slow DNS and an authority that asks to wait; each step has limits of its own."""


def order(certificate: Certificate, task: Task, *, force: bool = False) -> None:
    """Get a certificate for the configured names, install it, and tell the service and the observers.

    Where another node or certificate wants the same and has it already, it is taken over instead.

    :param force: order in any case, and replace a certificate that already exists.
    :raises UsageError: there is one, and no force.
    :raises ConfigError: nothing to order is configured.
    :raises PvefwError: the order failed; the certificate that was there is still there.
    """
    if not force and files.exists(certificate.files.certificate):
        renew = certificate.settings.order_command.replace("cert order", "cert renew")
        raise UsageError(
            f"acme cert order: {certificate.files.certificate} already exists",
            hint=f"Replace it with --force, or renew it: {renew}",
        )
    obtain(certificate, task, ordered_in_any_case=force)


def obtain(certificate: Certificate, task: Task, *, ordered_in_any_case: bool = False) -> None:
    """Get a certificate from a partner that shares it, or from the authority, and put it to use.

    :param ordered_in_any_case: whatever partners have.
    :raises PvefwError: as :func:`order`.
    """
    paths = certificate.paths
    with locks.local_lock(paths, f"acme-order-{paths.node}", timeout=0):
        install.recover(paths)
        files.check_writable(certificate.files.certificate.parent)
        certificate = certificate.fresh()
        cleanup.cleanup_first(certificate.node, task)
        wanted = _wanted(certificate)
        before = certificate.installed()
        others = sharing.partners(certificate)
        with sharing.turn(certificate, others, task):
            now = SystemClock().now()
            found = sharing.newer(certificate, others, before, now)
            if found and not ordered_in_any_case:
                owner = found.owner[0].upper() + found.owner[1:]
                task.log(f"{owner} has this certificate already; taking it over")
                account = wanted.account
                record = _record(certificate, _url_of(paths, account))
                _install(certificate, found.certificate, found.key, record, task)
            else:
                account = _order(wanted, before, task)
    deploy.deploy(certificate, task)
    if before and certificate.settings.is_on("revoke-replaced"):
        _revoke_replaced(paths, before, account, task)


def revoke(certificate: Certificate, task: Task) -> None:
    """Revoke the certificate at its authority and remove it from the node.

    :raises NotFound: there is no certificate.
    :raises AcmeError: the authority refuses; the certificate stays.
    """
    paths, there = certificate.paths, str(certificate.files.certificate)
    leaf = chain.parse(certificate.pem(), there)[0]
    also = _same_leaf(certificate, leaf)
    task.log("Loading ACME account details")
    account = account_use.load(paths, certificate.settings.account, task)
    with account_use.connect(account, task, _ORDER_SECONDS) as (client, _):
        task.log("Revoking old certificate")
        _revoke(client, leaf.public_bytes(serialization.Encoding.DER), certificate, task)
    if certificate.has_fallback:
        node_certificate.ensure(paths, task, SystemClock().now())
    install.remove_pair(certificate, task)
    for name in also:
        task.warn(f"The certificate {name} is the same one, and is revoked with it: order it again")
    if certificate.has_fallback:
        deploy.reload_service(certificate, task)
    else:
        task.log(
            f"Who serves it goes on until another is there: {certificate.settings.order_command}"
        )


def _same_leaf(certificate: Certificate, leaf: x509.Certificate) -> list[str]:
    """The other certificates of the node that are the same one: equal ones are ordered once."""
    this = chain.fingerprint(leaf)
    found = installed_of(certificate.node)
    return [one.name for one, info in found if info.fingerprint == this and one != certificate]


def _revoke_replaced(paths: Paths, before: CertificateInfo, account_name: str, task: Task) -> None:
    """Revoke a certificate that is no longer in use. Should that fail, it just runs out."""
    users = [
        one.name
        for one, info in installed_of(Node.open(paths))
        if info.fingerprint == before.fingerprint
    ]
    if users:
        task.log(f"The certificate that was replaced is not revoked yet: {', '.join(users)} has it")
        return
    old = x509.load_pem_x509_certificate(before.pem.encode())
    try:
        account = account_use.load(paths, account_name, task)
        with account_use.connect(account, task, _ORDER_SECONDS) as (client, _):
            task.log("Revoking the certificate that was replaced")
            superseded = _REASONS[ReasonFlags.superseded]
            client.revoke(old.public_bytes(serialization.Encoding.DER), superseded)
    except AcmeError as error:
        task.warn(f"The certificate that was replaced is not revoked: {error.message}")


_REASONS = {ReasonFlags.superseded: 4}
"""RFC 5280 section 5.3.1."""


def _revoke(client: Client, leaf: bytes, certificate: Certificate, task: Task) -> None:
    """By the account; by the certificate's own key where it was ordered by another account."""
    try:
        client.revoke(leaf)
    except AcmeProblem as problem:
        if problem.type != "unauthorized":
            raise
        task.log("The account may not revoke it; revoking with the certificate's own key")
        path = certificate.files.key
        client.revoke(leaf, key=AccountKey.from_pem(files.read(path).decode(), str(path)))


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
    """Whether another authority might do what this one does not."""
    if isinstance(error, AcmeProblem):
        return error.status >= _SERVER_ERROR or error.type == "rateLimited"
    return isinstance(error, AcmeUnreachable | AcmeProtocolError | DeadlineExceeded)


_SERVER_ERROR = 500


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
        replaces = _replaces(certificate.paths, client, before, account)
        valid = _resume(flow, progress, task) or _obtain(flow, progress, wanted, replaces, task)
        pem = flow.download(valid, certificate.settings.get("preferred-chain"))
    try:
        chain.check_ordered(pem, wanted.identifiers, progress.key, f"order {valid.url}")
        record = _record(certificate, account.location)
        _install(certificate, pem, keys.to_pem(progress.key), record, task)
    finally:
        progress.end()  # a certificate that cannot be used is no reason to download it for ever


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


def _install(certificate: Certificate, pem: bytes, key: bytes, record: Record, task: Task) -> None:
    """Replace the pair, and keep what is known of it."""
    deploy.prepare(certificate)
    install.install_pair(certificate, pem, key, task, SystemClock().now())
    info = chain.describe(certificate.files.certificate, certificate.pem())
    renewal.keep(certificate.paths, info, record)


def _replaces(
    paths: Paths, client: Client, before: CertificateInfo | None, account: Account
) -> str:
    """The ARI id of the certificate to replace, where its authority knows it (RFC 9773 section 5).

    An account of the same name may be another one by now; the record of an older pvefw has only the name.
    """
    if before is None or "renewalInfo" not in client.directory.urls:
        return ""
    if renewal.record_of(paths, before).account not in (account.location, account.name):
        return ""
    return certificate_id(x509.load_pem_x509_certificate(before.pem.encode()))


def _resume(flow: OrderFlow, progress: Progress, task: Task) -> Order | None:
    """Go on with an order that was interrupted.

    The authority may have come while nobody answered; then that order is lost, and a new one is placed.
    """
    placed = progress.resumed(flow)
    if placed is None:
        return None
    try:
        return flow.finalize(flow.authorize(placed), progress.signing_request)
    except AcmeError as error:
        task.log(f"The interrupted order cannot be completed: {error.message}")
        return None


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
            hint=f"Set one: {settings.set_command} --acmedomain0 NAME[,plugin=ID]",
        )
    return Wanted(certificate, entries, settings.account)
