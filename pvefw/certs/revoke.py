"""Revokes certificates, and lets the whole cluster know.

The cluster knows first: should we be killed before the authority has answered, the others replace a
certificate that may be revoked, and nobody takes one over that is.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import ReasonFlags

from pvefw.acme.client import Client
from pvefw.acme.jws import AccountKey
from pvefw.certs import accounts, chain, install, node_certificate, revocation, service
from pvefw.certs.certificate import Certificate
from pvefw.certs.chain import CertificateInfo
from pvefw.certs.progress import forget_order
from pvefw.certs.revocation import Revoked
from pvefw.core.errors import AcmeError, AcmeProblem, Locked, PvefwError
from pvefw.core.model import Task
from pvefw.host.clock import SystemClock
from pvefw.store import files, locks, revocations
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.store.revocations import Revocation

_SECONDS = 600.0
_REASONS = {ReasonFlags.superseded: 4}
"""RFC 5280 section 5.3.1."""


def revoke(certificate: Certificate, task: Task) -> None:
    """Revoke a certificate at its authority and remove it from the node.

    From now on no node shares it or orders with its key. Nodes that still have one of them are named.

    :raises NotFound: there is no certificate.
    :raises StoreError: what has to be written cannot be; the authority has not been asked.
    :raises AcmeError: the authority refuses; the certificate stays.
    """
    paths, there = certificate.paths, certificate.files.certificate
    leaf, now = chain.parse(certificate.pem(), str(there))[0], SystemClock().now()
    files.check_writable(there.parent)
    remembered = revocation.of(paths, leaf, now, with_key=True)
    others = revocation.holders(certificate, remembered)
    task.log("Loading ACME account details")
    account = accounts.load(paths, certificate.settings.account, task)
    if certificate.has_fallback:
        node_certificate.ensure(paths, task, now)
    with accounts.connect(account, task, _SECONDS) as (client, _), _remembered(paths, remembered):
        task.log("Revoking old certificate")
        _revoke(client, _der(leaf), certificate.files.key, task)
    _remove(certificate, task)
    for other in others:
        task.warn(_still(other, certificate.node))


def _remove(certificate: Certificate, task: Task) -> None:
    """Take a revoked certificate out of use, and an order that was interrupted with it."""
    paths = certificate.paths
    install.remove_pair(certificate, task)
    with (
        contextlib.suppress(Locked),
        locks.local_lock(paths, f"acme-order-{paths.node}", timeout=0),
    ):
        forget_order(certificate.files)  # else it is under way
    if certificate.has_fallback:
        service.reload_or_warn(certificate, task)
    else:
        order = certificate.settings.order_command
        task.log(f"Services go on using it until it is replaced: {order}")


def _still(other: Certificate, here: Node) -> str:
    """What to do about a certificate that is revoked with another one."""
    if other.node.name != here.name:
        return (
            f"Node {other.node.name} still serves the revoked certificate or its key. Its next "
            "`pvefw renew` replaces them; run it there to do so now"
        )
    return (
        f"The certificate {other.name} is the same one, or has its key. The next `pvefw renew` "
        "replaces it; run it to do so now"
    )


def revoke_replaced(
    certificate: Certificate, before: CertificateInfo, account_name: str, task: Task
) -> None:
    """Revoke a certificate that is no longer in use. If that fails, it simply expires.

    Whoever replaces it looks when that is done: the last one finds that nobody has it.

    :param before: what was installed for ``certificate`` until now.
    """
    paths, now = certificate.paths, SystemClock().now()
    leaf = x509.load_pem_x509_certificate(before.pem.encode())
    if Revoked.load(paths).find(leaf):
        return
    remembered = revocation.of(paths, leaf, now, with_key=False)
    here = Node.open(paths)  # others may have been configured since
    others = [
        other.node.name if other.node.name != here.name else f"certificate {other.name}"
        for other in revocation.holders(replace(certificate, node=here), remembered)
    ]
    if others:
        task.log(
            f"The certificate that was replaced is not revoked yet: {', '.join(others)} still "
            f"serve{'' if len(others) > 1 else 's'} it, and the last one to replace it revokes it"
        )
        return
    try:
        account = accounts.load(paths, account_name, task)
        with (
            accounts.connect(account, task, _SECONDS) as (client, _),
            _remembered(paths, remembered),
        ):
            task.log("Revoking the certificate that was replaced")
            client.revoke(_der(leaf), _REASONS[ReasonFlags.superseded])
    except PvefwError as error:  # that account may never have been here: another node had it
        task.warn(f"The certificate that was replaced is not revoked: {error.message}")


@contextlib.contextmanager
def _remembered(paths: Paths, remembered: Revocation) -> Iterator[None]:
    """Remember a revocation before the authority is asked, and take that back where it refuses."""
    revocations.add(paths, remembered, remembered.time)
    try:
        yield
    except AcmeError:
        revocations.remove(paths, remembered)
        raise


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _revoke(client: Client, certificate: bytes, key: Path, task: Task) -> None:
    """By the account; by the certificate's own key where it was ordered by another account."""
    try:
        client.revoke(certificate)
    except AcmeProblem as problem:
        if problem.type not in ("unauthorized", "accountDoesNotExist", "userActionRequired"):
            raise
        task.log("The account may not revoke it; revoking with the certificate's own key")
        own = AccountKey.from_pem(files.read(key).decode(), str(key))
        client.revoke(certificate, key=own)
