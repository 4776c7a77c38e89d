"""Certificates and keys in other formats than PEM: named as what they are, and PKCS#12 is read."""

from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from pvefw.core.errors import CertificateError

_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
"""The object identifier at the beginning of a PKCS#7 file (RFC 2315 section 14)."""
_PFX_VERSION = bytes.fromhex("020103")
"""The version at the beginning of a PKCS#12 file (RFC 7292 section 4)."""
_BEGINNING = 40
"""Bytes in which either is found."""


@dataclass(frozen=True)
class Format:
    """A format that is not taken as it is."""

    name: str
    convert: str
    """The command that makes PEM of FILE."""


def recognize(data: bytes) -> Format | None:
    """What a file is that servers do not read as it is; ``None`` where nothing else than PEM shows."""
    return next((name for name, fits in _FORMATS if fits(data)), None)


def is_pkcs12(data: bytes) -> bool:
    """Whether a file holds a PKCS#12 container (``.p12``, ``.pfx``)."""
    return data[:1] == b"\x30" and _PFX_VERSION in data[:8]


def from_pkcs12(data: bytes, password: bytes | None, what: str) -> tuple[bytes, bytes]:
    """Certificate with chain, and key, both PEM, out of a PKCS#12 container.

    :param password: ``None`` or empty for one that has none.
    :param what: names it in errors.
    :raises CertificateError: the password is wrong, or certificate or key is missing.
    """
    try:
        container = pkcs12.load_pkcs12(data, password or None)
    except ValueError as error:
        how = "with this" if password else "without a"
        raise CertificateError(
            f"{what}: the PKCS#12 container cannot be opened {how} password",
            hint="Give the password that it was exported with: --password-file FILE",
        ) from error
    if container.cert is None or container.key is None:
        missing = "private key" if container.key is None else "certificate"
        raise CertificateError(f"{what}: the PKCS#12 container has no {missing}")
    chain = [container.cert, *container.additional_certs]
    pem = b"".join(member.certificate.public_bytes(serialization.Encoding.PEM) for member in chain)
    key = container.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem, key


def _is_pkcs7(data: bytes) -> bool:
    der = data[:1] == b"\x30" and _SIGNED_DATA in data[:_BEGINNING]
    return der or b"-----BEGIN PKCS7-----" in data or b"-----BEGIN CMS-----" in data


def _is_der_certificate(data: bytes) -> bool:
    return data[:1] == b"\x30" and _loads(x509.load_der_x509_certificate, data)


def _is_der_key(data: bytes) -> bool:
    return data[:1] == b"\x30" and _loads(
        lambda text: serialization.load_der_private_key(text, None), data
    )


def _loads(load: Callable[[bytes], object], data: bytes) -> bool:
    try:
        load(data)
    except (ValueError, TypeError):
        return False
    return True


def _is_utf16(data: bytes) -> bool:
    return data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00-\x00-" in data[:200]


_FORMATS: tuple[tuple[Format, Callable[[bytes], bool]], ...] = (
    (Format("text in UTF-16", "iconv -f UTF-16 -t UTF-8 -o OUT FILE"), _is_utf16),
    (Format("a PKCS#12 container", "openssl pkcs12 -in FILE -nodes -out OUT"), is_pkcs12),
    (
        Format("a PKCS#7 file in PEM", "openssl pkcs7 -print_certs -in FILE -out OUT"),
        lambda data: _is_pkcs7(data) and b"-----BEGIN" in data,
    ),
    (
        Format("a PKCS#7 file in DER", "openssl pkcs7 -inform der -print_certs -in FILE -out OUT"),
        _is_pkcs7,
    ),
    (
        Format("a trusted certificate of OpenSSL's", "openssl x509 -in FILE -out OUT"),
        lambda data: b"-----BEGIN TRUSTED CERTIFICATE-----" in data,
    ),
    (
        Format("a certificate in DER format", "openssl x509 -inform der -in FILE -out OUT"),
        _is_der_certificate,
    ),
    (
        Format("a private key in DER format", "openssl pkey -inform der -in FILE -out OUT"),
        _is_der_key,
    ),
    (
        Format("a private key that is protected by a password", "openssl pkey -in FILE -out OUT"),
        lambda data: (
            b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in data or b"Proc-Type: 4,ENCRYPTED" in data
        ),
    ),
    (
        Format("a private key in OpenSSH's format", "ssh-keygen -p -m PKCS8 -f FILE"),
        lambda data: b"-----BEGIN OPENSSH PRIVATE KEY-----" in data,
    ),
)
