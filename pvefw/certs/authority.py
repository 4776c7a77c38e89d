"""The cluster's certificate authority: made once, replaced with an overlap, never overwritten.

It signs the certificates of the nodes. Clients that trust it need to be told only once: when it is
replaced, the new CA is also signed by the old one ("new with old", RFC 4210 section 4.4.1), so that
whoever trusts only the old one can go on for as long as that is good, and ``pve-root-ca.pem`` holds
both meanwhile. Both have the same subject, which makes the certificate in between self-issued: it does
not count against the path length (RFC 5280 section 4.2.1.9).
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pvefw.certs import chain, install, keys
from pvefw.certs.keys import PrivateKey
from pvefw.core.errors import CertificateError, UsageError
from pvefw.core.model import Task
from pvefw.store import files, locks
from pvefw.store.node import Node
from pvefw.store.paths import Paths

LIFETIME = timedelta(days=3650)
_CLOCK_SKEW = timedelta(minutes=10)
"""Between the nodes of a cluster."""
_RENEWAL_SHARE = 4 / 5
"""Of its lifetime, after which it is replaced: certificates of nodes are good for what is left."""
_LOCK = "pvefw-ca"
_KEY_USES = (
    *["digital_signature", "content_commitment", "key_encipherment", "data_encipherment"],
    *["key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"],
)


@dataclass(frozen=True)
class Authority:
    """The CA that signs now."""

    certificate: x509.Certificate
    key: PrivateKey
    previous: Sequence[x509.Certificate] = ()
    """Those it replaces, which are still to be trusted."""
    cross: x509.Certificate | None = None
    """Itself, signed by the one it replaces."""

    @property
    def due(self) -> datetime:
        """When it is to be replaced."""
        begin = self.certificate.not_valid_before_utc
        return begin + (self.certificate.not_valid_after_utc - begin) * _RENEWAL_SHARE


def load(paths: Paths) -> Authority | None:
    """The cluster's CA; ``None`` where there is none.

    :raises CertificateError: there is one, but not whole: its key is gone, or is that of another.
    """
    pem, key_pem = (
        files.read_if_exists(path) for path in (paths.authority_certificate, paths.authority_key)
    )
    if pem is None and key_pem is None:
        return None
    if pem is None or key_pem is None:
        lost = paths.authority_certificate if pem is None else paths.authority_key
        raise CertificateError(
            f"cluster CA: {lost} is missing, but its counterpart exists",
            hint="Restore it from a backup; or move the counterpart away, and make a new CA: "
            "pvefw cert ca init",
        )
    current, *previous = chain.parse(pem, str(paths.authority_certificate))
    key = keys.from_pem(key_pem, str(paths.authority_key))
    if not chain.belong_together(current, key):
        raise CertificateError(
            f"cluster CA: {paths.authority_key} is not the key of {paths.authority_certificate}",
            hint="If another node is replacing the CA just now, wait; if it was interrupted there, "
            "run any pvefw command there.",
        )
    return Authority(current, key, previous, _cross(paths, current))


def _cross(paths: Paths, current: x509.Certificate) -> x509.Certificate | None:
    pem = files.read_if_exists(paths.authority_cross)
    if pem is None:
        return None
    cross = chain.parse(pem, str(paths.authority_cross))[0]
    return cross if cross.public_key() == current.public_key() else None


def ensure(paths: Paths, task: Task, now: datetime) -> Authority:
    """The cluster's CA, made where there is none.

    :raises CertificateError: as :func:`load`.
    """
    authority = load(paths)
    if authority:
        return authority
    with locks.cluster_lock(paths, _LOCK):
        authority = load(paths)  # another node may have been faster
        if authority:
            return authority
        task.log("Generating the cluster's CA")
        organization = [
            x509.NameAttribute(NameOID.COMMON_NAME, "pvefw cluster CA"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, str(uuid.uuid4())),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "pvefw"),
        ]
        key = _new_key(paths)
        made = Authority(_self_signed(paths, x509.Name(organization), key, now), key)
        _install(paths, made, task)
        return made


def create(paths: Paths, task: Task, now: datetime) -> Authority:
    """Make the cluster's CA.

    :raises UsageError: there is one.
    """
    if load(paths):
        raise UsageError(
            f"cert ca init: the cluster already has a CA ({paths.authority_certificate})",
            hint="It is never overwritten. Replace it, with an overlap: pvefw cert ca rollover",
        )
    return ensure(paths, task, now)


def roll_over(paths: Paths, task: Task, now: datetime) -> Authority:
    """Replace the CA by one with the same name and a new key; the old one is trusted until it ends.

    The nodes' certificates follow with each node's next ``pvefw renew``.

    One that is not valid yet was made while a clock was ahead. It may be replaced although it replaces
    another one: nobody can use it.

    :raises UsageError: there is no CA, or it is being replaced already.
    """
    with locks.cluster_lock(paths, _LOCK):
        old = _there(paths, "rollover")
        if old.previous and not_yet_valid(old.certificate, now) is None:
            raise UsageError(
                "cert ca rollover: the CA is already being replaced, the old one is valid until "
                f"{old.previous[0].not_valid_after_utc:%Y-%m-%d}",
                hint="When all clients trust the new one: pvefw cert ca rollover --finish",
            )
        task.log("Generating a new CA of the same name, also signed by the old one")
        key = _new_key(paths)
        new = _self_signed(paths, old.certificate.subject, key, now)
        cross = _sign_authority(paths, old, new, now) if _is_valid(old.certificate, now) else None
        if cross is None:  # nobody believes what the old one would say now
            files.remove(paths.authority_cross)
        else:
            files.replace(paths.authority_cross, _pem([cross]))
        good = [
            certificate
            for certificate in (old.certificate, *old.previous)
            if _is_valid(certificate, now)
        ]
        made = Authority(new, key, good, cross)
        _install(paths, made, task)
        return made


def finish_roll_over(paths: Paths, task: Task) -> Authority:
    """Stop trusting the CA that was replaced.

    :raises UsageError: none was.
    """
    with locks.cluster_lock(paths, _LOCK):
        current = _there(paths, "rollover")
        if not current.previous:
            raise UsageError("cert ca rollover: no CA is being replaced")
        made = Authority(current.certificate, current.key)
        task.log("The CA that was replaced is no longer trusted")
        files.remove(paths.authority_cross)
        files.replace(paths.authority_certificate, _pem([made.certificate]))
        return made


def sign(
    paths: Paths,
    authority: Authority,
    public_key: keys.PublicKey,
    subject: str,
    names: x509.SubjectAlternativeName,
    lifetime: timedelta,
    now: datetime,
) -> bytes:
    """A certificate for a server of the cluster, good until the CA ends at most.

    :param subject: the common name.
    :returns: PEM: the certificate, and what leads to the CA that is being replaced, if one is.
    :raises CertificateError: by this host's clock, the CA is not valid.
    """
    issuer = authority.certificate
    _check_valid(issuer, now)
    with locks.cluster_lock(paths, f"{_LOCK}-serial"):
        builder = (
            x509.CertificateBuilder()
            .serial_number(_next_serial(paths))
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(issuer.subject)
            .public_key(public_key)
            .not_valid_before(max(now - _CLOCK_SKEW, issuer.not_valid_before_utc))
            .not_valid_after(min(now + lifetime, issuer.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage("digital_signature", "key_encipherment"), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(names, critical=False)
        )
        signed = _signed(builder, public_key, authority)
    return _pem([signed, authority.cross] if authority.cross else [signed])


def signed_by(certificate: x509.Certificate, authority: Authority) -> bool:
    """Whether the CA, or one that it replaces, made a certificate."""
    return any(
        chain.issued(certificate, issuer) for issuer in (authority.certificate, *authority.previous)
    )


def not_yet_valid(certificate: x509.Certificate, now: datetime) -> str | None:
    """What is wrong with a certificate that is from the future, or nothing.

    Either this host's clock is behind, or one was ahead when the certificate was made.
    """
    if certificate.not_valid_before_utc <= now + _CLOCK_SKEW:
        return None
    return f"it is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"


def _is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    return not_yet_valid(certificate, now) is None and now < certificate.not_valid_after_utc


def _check_valid(issuer: x509.Certificate, now: datetime) -> None:
    if not _is_valid(issuer, now):
        begin, end = issuer.not_valid_before_utc, issuer.not_valid_after_utc
        raise CertificateError(
            f"cluster CA: it is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}, and by this host's "
            f"clock it is {now:%Y-%m-%d %H:%M} UTC",
            hint="Check the clock. If it is right: pvefw cert ca rollover",
        )


# --- making ---------------------------------------------------------------------------------------


def _there(paths: Paths, command: str) -> Authority:
    authority = load(paths)
    if authority is None:
        raise UsageError(
            f"cert ca {command}: the cluster has no CA", hint="Make one: pvefw cert ca init"
        )
    return authority


def _new_key(paths: Paths) -> PrivateKey:
    return keys.generate(Node.open(paths).get("ca-key-type", "ec256"))


def _self_signed(
    paths: Paths, subject: x509.Name, key: PrivateKey, now: datetime
) -> x509.Certificate:
    builder = _authority_builder(paths, subject, key.public_key(), now, now + LIFETIME)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        builder.issuer_name(subject)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )


def _sign_authority(
    paths: Paths, old: Authority, new: x509.Certificate, now: datetime
) -> x509.Certificate:
    public: keys.PublicKey = new.public_key()  # type: ignore[assignment]  # we made it
    end = old.certificate.not_valid_after_utc
    builder = _authority_builder(paths, new.subject, public, now, end)
    return _signed(builder.issuer_name(old.certificate.subject), public, old)


def _authority_builder(
    paths: Paths, subject: x509.Name, public: keys.PublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .serial_number(_next_serial(paths))
        .subject_name(subject)
        .public_key(public)
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage("key_cert_sign", "crl_sign"), critical=True)
    )


def _signed(
    builder: x509.CertificateBuilder, public: keys.PublicKey, authority: Authority
) -> x509.Certificate:
    """Signed by an authority, with both keys named (RFC 5280 sections 4.2.1.1 and 4.2.1.2)."""
    return (
        builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(_issuer_key(authority.certificate), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _issuer_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """As the issuer itself names its key; OpenSSL compares the two."""
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        public: keys.PublicKey = issuer.public_key()  # type: ignore[assignment]  # its key is one of ours
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(public)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _key_usage(*uses: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{use: use in uses for use in _KEY_USES})


def _next_serial(paths: Paths) -> int:
    """One more than the last, which is on disk before it is used: none is given twice."""
    last = (files.read_if_exists(paths.authority_serial) or b"").strip()
    try:
        serial = int(last, 16) + 1
    except ValueError:
        serial = (
            x509.random_serial_number() >> 96
        )  # not one, as a CA whose file was lost may have given it
    digits = f"{serial:X}"
    text = f"{digits.zfill(len(digits) + len(digits) % 2)}\n"
    files.replace(paths.authority_serial, text.encode(), private=True)
    return serial


def _install(paths: Paths, made: Authority, task: Task) -> None:
    pem = _pem([made.certificate, *made.previous])
    install.replace_pair(paths, install.authority_pair(paths), pem, keys.to_pem(made.key), task)


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(
        certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates
    )
