"""Orders the certificate of a node, or takes it over from another one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cryptography import x509

from pvefw import instances
from pvefw.acme.choice import Way
from pvefw.acme.client import Client, Order
from pvefw.acme.order import OrderFlow
from pvefw.acme.renewal_info import certificate_id
from pvefw.certs import accounts as account_use
from pvefw.certs import chain, deploy, install, keys, renewal, revoke, sharing, solvers
from pvefw.certs.chain import CertificateInfo
from pvefw.certs.progress import Progress, Wanted, forget_order
from pvefw.certs.renewal import Record
from pvefw.certs.revocation import Revoked
from pvefw.certs.sharing import Found
from pvefw.core.errors import (
    AcmeError,
    AcmeProblem,
    AcmeProtocolError,
    AcmeUnreachable,
    CertificateError,
    ConfigError,
    DeadlineExceeded,
    Locked,
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
    check_order(paths, force=force)
    obtain(paths, task, ordered_in_any_case=force)


def check_order(paths: Paths, *, force: bool) -> None:
    """Refuse an order that the configuration alone rules out.

    :param force: whether it may replace a certificate that already exists.
    :raises UsageError: there is one, and no force.
    :raises ConfigError: as :func:`check_names`.
    :raises NotFound: as :func:`check_names`.
    """
    if not force and files.exists(paths.proxy_certificate):
        raise UsageError(
            f"acme cert order: {paths.proxy_certificate} already exists",
            hint="Replace it with --force, or renew it: pvefw acme cert renew",
        )
    check_names(Node.open(paths))


def check_names(node: Node) -> None:
    """Refuse names that cannot be ordered for.

    :raises ConfigError: none is configured, or one stands twice.
    :raises NotFound: the plugin instance of one does not exist.
    """
    for one in _wanted(node).entries:
        instances.load(node, DNS.name, one.plugin)


def obtain(paths: Paths, task: Task, *, ordered_in_any_case: bool = False) -> None:
    """Get a certificate from a node that shares it, or from the authority, and put it to use.

    :param ordered_in_any_case: whatever other nodes have.
    :raises PvefwError: as :func:`order`.
    """
    with locks.local_lock(paths, f"acme-order-{paths.node}", timeout=0):
        install.recover(paths)
        files.check_writable(paths.state_dir)
        node = Node.open(paths)
        wanted, others = _wanted(node), sharing.partners(node)
        with sharing.turn(node, others, task):
            files.check_writable(paths.node_dir())
            cleanup.cleanup_first(node, task)
            before = _current(paths)
            found = sharing.newer(node, others, before, SystemClock().now())
            if found and not ordered_in_any_case:
                account = _take_over(wanted, found, before, task)
            else:
                account = _order(paths, wanted, before, task)
    deploy.deploy(node, task)
    if before and node.is_on("revoke-replaced"):
        revoke.revoke_replaced(node, before, account, task)


def _take_over(wanted: Wanted, found: Found, before: CertificateInfo | None, task: Task) -> str:
    """Install what another node has. An order of ours that was interrupted is over with that.

    :returns: the account that it was ordered from.
    """
    paths = wanted.node.paths
    task.log(f"Node {found.node} has this certificate already; taking it over")
    _install(paths, found.certificate, found.key, _url_of(paths, wanted.account), before, task)
    forget_order(paths)
    return wanted.account


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
        transport.start_anew(_RESUME_SECONDS)
        pem = _resume(flow, progress, wanted, before, task)
        if pem is None:
            transport.start_anew()
            replaces = _replaces(paths, client, before, account)
            valid = _obtain(flow, progress, wanted, replaces, task)
            pem = flow.download(valid, wanted.node.get("preferred-chain"))
    try:
        chain.check_ordered(pem, wanted.identifiers, progress.key, f"order {progress.url}")
        _install(paths, pem, keys.to_pem(progress.key), account.location, before, task)
    finally:
        progress.end()  # a certificate that cannot be used is no reason to download it for ever


def _url_of(paths: Paths, account: str) -> str:
    """An account's URL; empty where the account is not there."""
    try:
        return account_store.load(paths, account).location
    except (ConfigError, NotFound):
        return ""


def _install(
    paths: Paths,
    pem: bytes,
    key: bytes,
    account: str,
    before: CertificateInfo | None,
    task: Task,
) -> None:
    """Replace the pair, and keep whose it is.

    :param account: the URL of the account that it was ordered with.
    :param before: what it is to replace.
    :raises Locked: somebody has put another one there meanwhile, or the turn to order has been lost.
    """
    leases.check()
    there = _current(paths)
    if there and (before is None or there.fingerprint != before.fingerprint):
        raise Locked(
            f"{paths.proxy_certificate}: another certificate was installed while this one was ordered",
            hint="That one is still in place. Replace it with: pvefw acme cert order --force",
        )
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


def _resume(
    flow: OrderFlow,
    progress: Progress,
    wanted: Wanted,
    before: CertificateInfo | None,
    task: Task,
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
        pem = flow.download(valid, wanted.node.get("preferred-chain"))
        why = _useless(wanted, pem, before)
    except (AcmeProblem, AcmeProtocolError, CertificateError) as error:
        why = error.message
    if not why:
        return pem
    task.log(f"The interrupted order is given up: {why}")
    progress.end()
    return None


def _useless(wanted: Wanted, pem: bytes, before: CertificateInfo | None) -> str:
    """Why a certificate should not be installed; empty where it should.

    :raises CertificateError: it is none.
    """
    paths = wanted.node.paths
    info = chain.describe(paths.proxy_certificate, pem)
    if Revoked.load(paths).find_pem(info.pem):
        return "its certificate was revoked"
    if before and info.not_before <= before.not_before:
        return "its certificate is older than the one that is installed"
    if renewal.decide(info, wanted.node.name).due <= SystemClock().now():
        return "its certificate is due for renewal itself"
    return ""


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
            hint="Set one: pvefw config set -acmedomain0 NAME,plugin=ID",
        )
    return Wanted(node, entries, node.account)
