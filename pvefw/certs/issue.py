"""Orders, renews and revokes the certificate of a node."""

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
_RESUME_SECONDS = 600.0
"""How long an order that was interrupted is waited for: at some authorities one stays in `processing`
for ever, and a new one must have its time."""
"""Long enough for slow DNS and an authority that asks to wait; each step has limits of its own."""


def order(paths: Paths, task: Task, *, force: bool = False) -> None:
    """Get a certificate for the configured names, install it, and tell the service and the observers.

    Where another node wants the same one and has it already, it is taken over instead of ordered.

    :param force: order in any case, and replace a certificate that already exists.
    :raises UsageError: there is one, and no force.
    :raises ConfigError: nothing to order is configured.
    :raises PvefwError: the order failed; the certificate that was there is still there.
    """
    if not force and files.exists(paths.proxy_certificate):
        raise UsageError(
            f"acme cert order: {paths.proxy_certificate} already exists",
            hint="Replace it with --force, or renew it: pvefw acme cert renew",
        )
    obtain(paths, task, ordered_in_any_case=force)


def obtain(paths: Paths, task: Task, *, ordered_in_any_case: bool = False) -> None:
    """Get a certificate from a node that shares it, or from the authority, and put it to use.

    :param ordered_in_any_case: whatever other nodes have.
    :raises PvefwError: as :func:`order`.
    """
    with locks.local_lock(paths, f"acme-order-{paths.node}", timeout=0):
        install.recover(paths)
        files.check_writable(paths.node_dir())
        files.check_writable(paths.state_dir)
        node = Node.open(paths)
        cleanup.cleanup_first(node, task)
        wanted = _wanted(node)
        before = _current(paths)
        others = sharing.partners(node)
        with sharing.turn(node, others, task):
            now = SystemClock().now()
            found = sharing.newer(node, others, before, now)
            if found and not ordered_in_any_case:
                task.log(f"Node {found.node} has this certificate already; taking it over")
                account = wanted.account
                _install(paths, found.certificate, found.key, _url_of(paths, account), task)
            else:
                account = _order(paths, wanted, before, task)
    deploy.deploy(node, task)
    if before and node.is_on("revoke-replaced"):
        _revoke_replaced(paths, before, account, task)


def revoke(paths: Paths, task: Task) -> None:
    """Revoke the certificate at its authority and remove it from the node.

    :raises NotFound: there is no certificate.
    :raises AcmeError: the authority refuses; the certificate stays.
    """
    certificate = chain.parse(install.service_certificate(paths), str(paths.proxy_certificate))[0]
    task.log("Loading ACME account details")
    node = Node.open(paths)
    account = account_use.load(paths, node.account, task)
    with account_use.connect(account, task, _ORDER_SECONDS) as (client, _):
        task.log("Revoking old certificate")
        _revoke(paths, client, certificate.public_bytes(serialization.Encoding.DER), task)
    node_certificate.ensure(paths, task, SystemClock().now())
    install.remove_pair(paths, task)
    deploy.reload_service(node, task)


def _revoke_replaced(paths: Paths, before: CertificateInfo, account_name: str, task: Task) -> None:
    """Revoke a certificate that is no longer in use. Should that fail, it just runs out."""
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


def _revoke(paths: Paths, client: Client, certificate: bytes, task: Task) -> None:
    """By the account; by the certificate's own key where it was ordered by another account."""
    try:
        client.revoke(certificate)
    except AcmeProblem as problem:
        if problem.type != "unauthorized":
            raise
        task.log("The account may not revoke it; revoking with the certificate's own key")
        pem, what = files.read(paths.proxy_key).decode(), str(paths.proxy_key)
        client.revoke(certificate, key=AccountKey.from_pem(pem, what))


def _current(paths: Paths) -> CertificateInfo | None:
    """The certificate that is installed."""
    pem = files.read_if_exists(paths.proxy_certificate)
    return chain.describe(paths.proxy_certificate, pem) if pem else None


def _order(paths: Paths, wanted: Wanted, before: CertificateInfo | None, task: Task) -> str:
    """Order from the configured account; where its authority is down, from the one to fall back to.

    :returns: the account that was ordered from.
    """
    answering = solvers.for_names(wanted.node, wanted.entries)
    fallback = wanted.node.get("fallback-account")
    try:
        _order_from(paths, wanted, answering, before, task)
    except AcmeError as error:
        if not fallback or fallback == wanted.account or not _is_down(error):
            raise
        task.warn(f"{error.message}; ordering from the account {fallback} instead")
        wanted = replace(wanted, account=fallback)
        _order_from(paths, wanted, answering, before, task)
    return wanted.account


def _is_down(error: AcmeError) -> bool:
    """Whether another authority might do what this one does not."""
    if isinstance(error, AcmeProblem):
        return error.status >= _SERVER_ERROR or error.type == "rateLimited"
    return isinstance(error, AcmeUnreachable | AcmeProtocolError | DeadlineExceeded)


_SERVER_ERROR = 500


def _order_from(
    paths: Paths,
    wanted: Wanted,
    answering: Mapping[str, Sequence[Way]],
    before: CertificateInfo | None,
    task: Task,
) -> None:
    task.log("Loading ACME account details")
    account = account_use.load(paths, wanted.account, task)
    with account_use.connect(account, task, _ORDER_SECONDS) as (client, transport):
        flow = OrderFlow(client, transport, answering, task)
        progress = Progress(paths, wanted, account.location)
        replaces = _replaces(paths, client, before, account)
        transport.start_anew(_RESUME_SECONDS)
        valid = _resume(flow, progress, task)
        if valid is None:
            transport.start_anew()
            valid = _obtain(flow, progress, wanted, replaces, task)
        pem = flow.download(valid, wanted.node.get("preferred-chain"))
    try:
        chain.check_ordered(pem, wanted.identifiers, progress.key, f"order {valid.url}")
        _install(paths, pem, keys.to_pem(progress.key), account.location, task)
    finally:
        progress.end()  # a certificate that cannot be used is no reason to download it for ever


def _url_of(paths: Paths, account: str) -> str:
    """An account's URL; empty where the account is not there."""
    try:
        return account_store.load(paths, account).location
    except (ConfigError, NotFound):
        return ""


def _install(paths: Paths, pem: bytes, key: bytes, account: str, task: Task) -> None:
    """Replace the pair, and keep whose it is.

    :param account: the URL of the account that it was ordered with.
    """
    deploy.prepare(paths)
    install.install_pair(paths, pem, key, task, SystemClock().now())
    renewal.keep(
        paths,
        chain.describe(paths.proxy_certificate, install.service_certificate(paths)),
        Record(account=account),
    )


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
    profile = wanted.node.get("profile")
    try:
        placed = flow.place(wanted.identifiers, profile=profile, replaces=replaces)
    except AcmeProblem as problem:
        if not replaces or problem.type == "rateLimited":
            raise
        task.log(f"Ordering without 'replaces': {problem.message}")
        placed = flow.place(wanted.identifiers, profile=profile)
    progress.begin(placed)
    return flow.finalize(flow.authorize(placed), progress.signing_request)


def _wanted(node: Node) -> Wanted:
    entries = node.certificate_names()
    if not entries:
        raise ConfigError(
            f"acme cert order: no names are configured for node {node.name}",
            hint="Set one: pvefw config set -acmedomain0 NAME[,plugin=ID]",
        )
    return Wanted(node, entries, node.account)
