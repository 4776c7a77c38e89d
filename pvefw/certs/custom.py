"""Certificates that an administrator brings: checked as a whole before anything is replaced."""

import ssl
import warnings
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from pvefw.certs import (
    chain,
    deploy,
    install,
    keys,
    node_certificate,
    renewal_rule,
    revocation,
    service,
)
from pvefw.certs.certificate import Certificate
from pvefw.certs.renewal_rule import Record
from pvefw.certs.revocation import Revoked
from pvefw.core import notices
from pvefw.core.errors import CertificateError, NotFound, UsageError
from pvefw.core.model import Task
from pvefw.store import files, rehearsal
from pvefw.tasks import events


def set_pair(
    target: Certificate,
    certificate: bytes,
    key: bytes | None,
    task: Task,
    now: datetime,
    *,
    force: bool = False,
    restart: bool = False,
) -> bool:
    """Install a certificate and its key that somebody brings, and tell the observers.

    A rehearsal ends with the checks.

    :param target: which of the node's certificates they are to be.
    :param certificate: PEM: the leaf and its chain, in any unambiguous order.
    :param key: PEM; ``None`` for the key that already exists.
    :param force: replace a pair that is there.
    :param restart: let the service use it now; without it, it does so when it is restarted.
    :returns: whether it is another pair than before.
    :raises UsageError: there is a pair, and no force.
    :raises CertificateError: they cannot be used; each flaw with a message of its own.
    """
    if not force and files.exists(target.files.certificate):
        raise UsageError(
            f"cert set: {target.files.certificate} already exists",
            hint="Replace it with --force, or remove it first: pvefw cert delete"
            + ("" if target.settings.is_own else f" {target.name}"),
        )
    if key is None:
        key = _present_key(target)
    what = "cert set"
    ordered = chain.check_pair(certificate, key, what, now)
    parsed = chain.parse(ordered, what)
    check_use(parsed[0], what)
    check_complete(parsed, task, what)
    _tell_of_changes(chain.parse(certificate, what), parsed, task)
    revoked = Revoked.load(target.paths).find(parsed[0])
    if revoked:
        task.warn(f"Clients may refuse this certificate: {revocation.sentence(revoked)}")
    changed = _is_other(target, ordered, key)
    if rehearsal.is_dry():
        return changed
    deploy.prepare(target)
    event = install.install_pair(target, certificate, key, task, now)
    info = chain.describe(target.files.certificate, ordered)
    renewal_rule.keep(target.paths, info, Record(custom=True))
    if not restart:
        task.log("The service uses it when it is restarted")
        deploy.skip_service(target)
    deploy.deploy(target, task, again=restart)
    events.tell(target.node, events.NOTICE, notices.installed(event), task)
    task.log(f"Fingerprint: {event.fingerprint}")
    return changed


def _is_other(target: Certificate, certificate: bytes, key: bytes) -> bool:
    canonical = keys.to_pem(keys.from_pem(key, "the new certificate"))
    there = [files.read_if_exists(path) for path in (target.files.certificate, target.files.key)]
    return there != [certificate, canonical]


def _tell_of_changes(
    given: list[x509.Certificate], installed: list[x509.Certificate], task: Task
) -> None:
    """A word about what is different from the file."""
    unique = list(dict.fromkeys(given))
    if len(unique) < len(given):
        task.log(f"Left out {len(given) - len(unique)} of the certificates: they occur twice")
    for ended in (certificate for certificate in unique if certificate not in installed):
        name = ended.subject.rfc4514_string()
        task.log(f"Left out {name}: it expired on {ended.not_valid_after_utc:%Y-%m-%d}")
    if [certificate for certificate in unique if certificate in installed] != installed:
        task.log("The certificates were not in order; they are now: leaf first, then its issuers")


def delete_pair(target: Certificate, task: Task, now: datetime, *, restart: bool = False) -> None:
    """Remove a certificate and its key.

    Proxmox VE's services fall back to the node's own then, which is made where it is missing.

    :param restart: let the service do so now.
    :raises NotFound: there is none.
    """
    if not (files.exists(target.files.certificate) or files.exists(target.files.key)):
        name = "certificate of its own" if target.settings.is_own else f"certificate {target.name}"
        raise NotFound(f"cert delete: node {target.node.name} has no {name}")
    if target.has_fallback:
        node_certificate.ensure(target.paths, task, now)
    install.remove_pair(target, task)
    if not target.has_fallback:
        task.log(f"Services go on using it until it is replaced: {target.settings.order_command}")
    if restart:
        service.reload_or_warn(target, task)


def _present_key(target: Certificate) -> bytes:
    key = files.read_if_exists(target.files.key)
    if key is None:
        raise UsageError(
            "cert set: the private key is missing, and the node has none that could be kept",
            hint="Give it: pvefw cert set CERTIFICATE KEY",
        )
    return key


def check_use(leaf: x509.Certificate, what: str) -> None:
    """Refuse a certificate that no client would accept from a server (RFC 5280 section 4.2.1.12).

    :raises CertificateError: it is for something else, or names no server.
    """
    try:
        uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        uses = None
    accepted = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if uses is not None and not accepted & set(uses):
        raise CertificateError(
            f"{what}: the certificate is not for servers: its extended key usage is "
            f"{', '.join(use._name for use in uses)}",  # noqa: SLF001 - the library has no other way
            hint="Request one with the usage serverAuth.",
        )
    if not chain.names(leaf):
        raise CertificateError(
            f"{what}: the certificate names no server in subjectAltName",
            hint="Request one with the host's names as DNS entries of subjectAltName.",
        )


def check_complete(ordered: list[x509.Certificate], task: Task, what: str) -> None:
    """Find out whether clients can follow the chain to a root.

    Where the last certificate says where its issuer can be found, that one belongs into the file. Where
    it does not, the issuer may be a private root that clients trust: that is a warning only.

    :raises CertificateError: an intermediate certificate is missing.
    """
    last = ordered[-1]
    issuer = last.issuer.rfc4514_string()
    if last.issuer == last.subject or last.issuer.public_bytes() in _known_roots():
        return
    url = _issuer_url(last)
    if url and last is ordered[0]:
        raise CertificateError(
            f"{what}: the intermediate certificate of {issuer} is missing",
            hint=f"Append it to the file. It is at {url}",
        )
    task.warn(
        f"The chain ends at {issuer}, which this host does not trust: "
        "clients must trust it, or the certificate of its issuer must be appended"
    )


def _issuer_url(certificate: x509.Certificate) -> str:
    """Where a certificate's issuer can be found (RFC 5280 section 4.2.2.1), or nothing."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    except x509.ExtensionNotFound:
        return ""
    return next(
        (
            str(description.access_location.value)
            for description in access.value
            if description.access_method == AuthorityInformationAccessOID.CA_ISSUERS
        ),
        "",
    )


def _known_roots() -> set[bytes]:
    """The subjects of the roots that this host trusts, DER."""
    der = ssl.create_default_context().get_ca_certs(binary_form=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some roots are old; the host's trust is not ours to judge
        return {x509.load_der_x509_certificate(root).subject.public_bytes() for root in der}
