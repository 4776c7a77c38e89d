"""Revokes certificates, and lets the whole cluster know.

The cluster knows first: should we be killed before the authority has answered, the others replace a
certificate that may be revoked, and nobody takes one over that is.
"""

import contextlib
from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import ReasonFlags

from pvefw.acme.client import Client
from pvefw.acme.jws import AccountKey
from pvefw.certs import accounts, chain, deploy, install, node_certificate, revocation
from pvefw.certs.chain import CertificateInfo
from pvefw.certs.progress import forget_order
from pvefw.certs.revocation import Revoked
from pvefw.core.errors import AcmeError, AcmeProblem, Locked
from pvefw.core.model import Task
from pvefw.host.clock import SystemClock
from pvefw.store import files, locks, revocations
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.store.revocations import Revocation

_SECONDS = 600.0
_REASONS = {ReasonFlags.superseded: 4}
"""RFC 5280 section 5.3.1."""


def revoke(paths: Paths, task: Task) -> None:
    """Revoke the certificate at its authority and remove it from the node.

    No node shares it any more, and none orders again with its key. Nodes that still serve it are named.

    :raises NotFound: there is no certificate.
    :raises StoreError: what has to be written cannot be; the authority has not been asked.
    :raises AcmeError: the authority refuses; the certificate stays.
    """
    certificate = chain.parse(install.service_certificate(paths), str(paths.proxy_certificate))[0]
    files.check_writable(paths.node_dir())
    task.log("Loading ACME account details")
    node, now = Node.open(paths), SystemClock().now()
    node_certificate.ensure(paths, task, now)
    account = accounts.load(paths, node.account, task)
    one = revocation.of(paths, certificate, now, with_key=True)
    with accounts.connect(account, task, _SECONDS) as (client, _), _remembered(paths, one):
        task.log("Revoking old certificate")
        _revoke(paths, client, _der(certificate), task)
    install.remove_pair(paths, task)
    with (
        contextlib.suppress(Locked),
        locks.local_lock(paths, f"acme-order-{paths.node}", timeout=0),
    ):
        forget_order(paths)  # else it is under way
    deploy.reload_service(node, task)
    for name in revocation.holders(node, one):
        task.warn(
            f"Node {name} still serves the revoked certificate or its key. Its next `pvefw renew` "
            "replaces them; run it there to do so now"
        )


def revoke_replaced(node: Node, before: CertificateInfo, account_name: str, task: Task) -> None:
    """Revoke a certificate that no node uses any more. Should that fail, it just runs out.

    Each node that replaces it looks when it has done so: the last one finds that nobody has it.
    """
    paths, now = node.paths, SystemClock().now()
    certificate = x509.load_pem_x509_certificate(before.pem.encode())
    if Revoked.load(paths).find(certificate):
        return
    one = revocation.of(paths, certificate, now, with_key=False)
    others = revocation.holders(node, one)
    if others:
        task.log(
            f"The certificate that was replaced is not revoked yet: {', '.join(others)} still "
            f"serve{'' if len(others) > 1 else 's'} it, and the last one to replace it revokes it"
        )
        return
    try:
        account = accounts.load(paths, account_name, task)
        with accounts.connect(account, task, _SECONDS) as (client, _), _remembered(paths, one):
            task.log("Revoking the certificate that was replaced")
            client.revoke(_der(certificate), _REASONS[ReasonFlags.superseded])
    except AcmeError as error:
        task.warn(f"The certificate that was replaced is not revoked: {error.message}")


@contextlib.contextmanager
def _remembered(paths: Paths, one: Revocation) -> Iterator[None]:
    """Remember a revocation before the authority is asked, and take that back where it refuses."""
    revocations.add(paths, one, one.time)
    try:
        yield
    except AcmeError:
        revocations.remove(paths, one)
        raise


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


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
