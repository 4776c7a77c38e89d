"""Certificate files: what they say, and whether chain and key belong together."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from pvefw.certs import formats, keys
from pvefw.core.errors import CertificateError
from pvefw.core.model import Identifier

_BEGIN = re.compile(rb"-----BEGIN (?:X509 )?CERTIFICATE-----")
_MOST_NAMES = 5
"""That are shown of a list."""
_WEAK_RSA_BITS = 2048
_WEAK_EC_BITS = 224
_CURVES = ("secp224r1", "secp256r1", "secp384r1", "secp521r1")
"""Of the curves for signatures in TLS (RFC 8446 section 4.2.3), and P-224, which is in old files."""


@dataclass(frozen=True)
class CertificateInfo:
    """What ``cert info`` shows of one certificate."""

    filename: str
    fingerprint: str
    """SHA-256, upper case, colons between the bytes."""
    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    public_key_type: str
    public_key_bits: int
    san: Sequence[str]
    pem: str

    def as_dict(self) -> dict[str, object]:
        """The keys and units of the reference's API: dates are seconds since the epoch."""
        return {
            "filename": self.filename,
            "fingerprint": self.fingerprint,
            "subject": self.subject,
            "issuer": self.issuer,
            "notbefore": int(self.not_before.timestamp()),
            "notafter": int(self.not_after.timestamp()),
            "public-key-type": self.public_key_type,
            "public-key-bits": self.public_key_bits,
            "san": list(self.san),
            "pem": self.pem,
        }


def parse(pem: bytes, what: str) -> list[x509.Certificate]:
    """The certificates of a PEM file, in its order.

    :param what: names the file in errors.
    :raises CertificateError: there is none, or one that cannot be read.
    """
    other = formats.recognize(pem)
    if other is not None and b"PRIVATE KEY" not in pem:
        raise CertificateError(
            f"{what}: this is not a PEM certificate but {other.name}",
            hint=f"Convert it: {other.convert}",
        )
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CertificateError(
            f"{what}: this is not a PEM certificate", hint=_instead(pem)
        ) from error
    begun = len(_BEGIN.findall(pem))
    if begun > len(certificates):  # the library leaves out what does not end, without a word
        raise CertificateError(
            f"{what}: the file is incomplete: of {begun} certificates, {len(certificates)} can be read",
            hint="Get it again; each certificate ends with -----END CERTIFICATE-----.",
        )
    return certificates


def _instead(data: bytes) -> str:
    """What a file might be that is no PEM certificate."""
    if b"PRIVATE KEY" in data:
        return "It holds a private key; were certificate and key swapped?"
    if b"CERTIFICATE REQUEST" in data:
        return "It is a signing request; the authority answers it with a certificate."
    return "It should begin with -----BEGIN CERTIFICATE-----."


def describe(path: Path, pem: bytes) -> CertificateInfo:
    """What there is to say of the first certificate in a file.

    :raises CertificateError: the file holds none.
    """
    leaf = parse(pem, str(path))[0]
    key_type, bits = _public_key(leaf)
    return CertificateInfo(
        filename=path.name,
        fingerprint=fingerprint(leaf),
        subject=_name(leaf.subject),
        issuer=_name(leaf.issuer),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        public_key_type=key_type,
        public_key_bits=bits,
        san=names(leaf),
        pem=leaf.public_bytes(serialization.Encoding.PEM).decode(),
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate, upper case, colons between the bytes."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def names(certificate: x509.Certificate) -> list[str]:
    """The DNS names and addresses that a certificate is good for."""
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return san.get_values_for_type(x509.DNSName) + [
        str(address) for address in san.get_values_for_type(x509.IPAddress)
    ]


def _name(name: x509.Name) -> str:
    """A name in the reference's form: ``/C=US/O=Let's Encrypt/CN=R3``."""
    return "".join(f"/{part.rfc4514_attribute_name}={part.value!s}" for part in name)


def _common_name(certificate: x509.Certificate) -> str:
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else _name(certificate.subject) or "without a name"


def _public_key(certificate: x509.Certificate) -> tuple[str, int]:
    key = certificate.public_key()
    match key:
        case rsa.RSAPublicKey():
            return "rsaEncryption", key.key_size
        case ec.EllipticCurvePublicKey():
            return "id-ecPublicKey", key.key_size
    return type(key).__name__.removesuffix("PublicKey"), 0


# --- chain and key belong together -------------------------------------------------------------------


def check_pair(chain_pem: bytes, key_pem: bytes, what: str, now: datetime) -> bytes:
    """Hold a chain against its key before anything is replaced.

    :param what: names the pair in errors.
    :param now: to tell whether it is valid.
    :returns: the chain to install: the leaf first, then its issuers in order.
    :raises CertificateError: each flaw with a message of its own.
    """
    certificates = list(dict.fromkeys(parse(chain_pem, what)))
    key = keys.from_pem(key_pem, what)
    public = _spki(key.public_key())
    leaf = next(
        (certificate for certificate in certificates if _spki(certificate.public_key()) == public),
        None,
    )
    if leaf is None:
        raise CertificateError(
            f"{what}: the private key does not belong to the certificate "
            f"of {_common_name(certificates[0])}",
            hint="Give the key that the certificate was requested with.",
        )
    _check_dates(leaf, what, now)
    _check_strength(leaf, what)
    others = [certificate for certificate in certificates if certificate is not leaf]
    ordered = _in_order(leaf, _without_replaced(others, now), what)
    for issuer in ordered[1:]:
        _check_issuer(issuer, what, now)
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in ordered)


def check_ordered(
    chain_pem: bytes, identifiers: Sequence[Identifier], key: keys.PrivateKey, what: str
) -> None:
    """Whether a certificate that an authority sent is the one that was ordered: the names, and the key.

    Validity and chain are :func:`check_pair`'s.

    :param what: names the order in errors.
    :raises CertificateError: it is another one.
    """
    certificates = parse(chain_pem, what)
    # some send the leaf last, or its issuer before it; check_pair puts them in order
    leaf = next((item for item in certificates if belong_together(item, key)), certificates[0])
    given = {name.lower() for name in names(leaf)}
    wanted = {identifier.value.lower() for identifier in identifiers}
    if given != wanted:
        more, less = sorted(given - wanted), sorted(wanted - given)
        flaws = [f"not ordered: {_some(more)}"] if more else []
        flaws += [f"missing: {_some(less)}"] if less else []
        raise CertificateError(
            f"{what}: the authority sent a certificate for names that were not ordered "
            f"({'; '.join(flaws)})",
            hint="Nothing was changed. Order again; if that does not help, ask the authority.",
        )
    if not belong_together(leaf, key):
        raise CertificateError(
            f"{what}: the authority sent a certificate for another key than the order's",
            hint="Nothing was changed. Order again; if that does not help, ask the authority.",
        )


def _some(words: Sequence[str]) -> str:
    """A list that may be long, for people."""
    more = len(words) - _MOST_NAMES
    return ", ".join(words[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def belong_together(certificate: x509.Certificate, key: keys.PrivateKey) -> bool:
    """Whether a private key is that of a certificate."""
    return _spki(certificate.public_key()) == _spki(key.public_key())


def _spki(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined,no-any-return]  # any public key has it
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _check_dates(leaf: x509.Certificate, what: str, now: datetime) -> None:
    if leaf.not_valid_after_utc < now:
        raise CertificateError(
            f"{what}: the certificate expired on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        )
    if leaf.not_valid_before_utc > now:
        raise CertificateError(
            f"{what}: the certificate is not valid before "
            f"{leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            hint="Check this host's clock.",
        )


def _without_replaced(issuers: Sequence[x509.Certificate], now: datetime) -> list[x509.Certificate]:
    """Without those that have ended and whose authority has a later one, for the same key, here."""

    def authority(issuer: x509.Certificate) -> tuple[bytes, bytes]:
        return issuer.subject.public_bytes(), _spki(issuer.public_key())

    good = {authority(issuer) for issuer in issuers if issuer.not_valid_after_utc >= now}
    return [
        issuer
        for issuer in issuers
        if issuer.not_valid_after_utc >= now or authority(issuer) not in good
    ]


def _check_issuer(issuer: x509.Certificate, what: str, now: datetime) -> None:
    """Refuse what makes clients refuse the whole chain. Those of a root do not count."""
    name = _common_name(issuer)
    if issuer.subject != issuer.issuer:
        if issuer.not_valid_after_utc < now:
            raise CertificateError(
                f"{what}: the intermediate certificate {name} expired on "
                f"{issuer.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; clients refuse the chain",
                hint="Put the authority's current intermediate certificate in its place.",
            )
        if issuer.not_valid_before_utc > now:
            raise CertificateError(
                f"{what}: the intermediate certificate {name} is not valid before "
                f"{issuer.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
                hint="Check this host's clock.",
            )
    if not _may_issue(issuer):
        raise CertificateError(
            f"{what}: {name} has signed the next certificate of the chain and is no CA; "
            "clients refuse the chain",
            hint="Request a certificate from an authority (basic constraint CA).",
        )


def _may_issue(issuer: x509.Certificate) -> bool:
    """Whether it is a CA's (RFC 5280 section 4.2.1.9); old roots, of version 1, do not say it."""
    if issuer.version is x509.Version.v1:
        return True
    try:
        return issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return issuer.subject == issuer.issuer


def _check_strength(leaf: x509.Certificate, what: str) -> None:
    key_type, bits = _public_key(leaf)
    weakest = _WEAK_RSA_BITS if key_type == "rsaEncryption" else _WEAK_EC_BITS
    if bits < weakest:
        raise CertificateError(
            f"{what}: its {key_type} key of {bits} bits is too weak; servers refuse it",
            hint=f"Use RSA with at least {_WEAK_RSA_BITS} bits, or ECDSA P-256.",
        )
    key = leaf.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name not in _CURVES:
        raise CertificateError(
            f"{what}: a key on the curve {key.curve.name} is not usable here: browsers refuse it",
            hint="Use a key on P-256 or P-384, or RSA.",
        )


def _in_order(
    leaf: x509.Certificate, others: Sequence[x509.Certificate], what: str
) -> list[x509.Certificate]:
    """The leaf, then each certificate's issuer (RFC 8446 section 4.4.2)."""
    ordered, rest = [leaf], list(others)
    while rest:
        issuer = next((candidate for candidate in rest if issued(ordered[-1], candidate)), None)
        if issuer is None:
            raise CertificateError(
                f"{what}: {_common_name(rest[0])} is not part of the chain of {_common_name(leaf)}",
                hint="Leave it out, or add the certificate that is missing in between.",
            )
        ordered.append(issuer)
        rest.remove(issuer)
    return ordered


def issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether one certificate signed the other."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
