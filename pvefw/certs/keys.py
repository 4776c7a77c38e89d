"""Private keys of certificates, and signing requests (RFC 2986, RFC 8555 section 7.4)."""

import ipaddress
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from pvefw.certs import formats
from pvefw.core.errors import CertificateError, UsageError
from pvefw.core.model import Identifier

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

KEY_TYPES = ("ec256", "ec384", "rsa2048", "rsa4096")
DEFAULT_TYPE = "ec256"
_LONGEST_COMMON_NAME = 64  # X.520's ub-common-name


def generate(key_type: str) -> PrivateKey:
    """A new private key.

    :param key_type: one of :data:`KEY_TYPES`.
    :raises UsageError: another word.
    """
    match key_type:
        case "ec256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ec384":
            return ec.generate_private_key(ec.SECP384R1())
        case "rsa2048" | "rsa4096":
            return rsa.generate_private_key(65537, int(key_type.removeprefix("rsa")))
    raise UsageError(f"{key_type} is not a key type", hint=f"Choose from {', '.join(KEY_TYPES)}.")


def type_of(key: object) -> str:
    """The type of a public key, in the words of :data:`KEY_TYPES`; empty for another kind."""
    match key:
        case rsa.RSAPublicKey():
            return f"rsa{key.key_size}"
        case ec.EllipticCurvePublicKey():
            return f"ec{key.key_size}"
    return ""


def to_pem(key: PrivateKey) -> bytes:
    """The key as unencrypted PKCS#8 PEM, the form that every web server reads."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def from_pem(pem: bytes, what: str) -> PrivateKey:
    """Read a private key.

    :param what: names the key in errors, usually its path.
    :raises CertificateError: it is encrypted, not a key, or of a kind that servers do not take.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (TypeError, ValueError) as error:
        other = formats.recognize(pem)
        if other is not None:
            raise CertificateError(
                f"{what}: this is {other.name}", hint=f"Convert it: {other.convert}"
            ) from error
        raise CertificateError(
            f"{what}: this is not a private key in PEM format",
            hint="It should begin with -----BEGIN PRIVATE KEY-----.",
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CertificateError(
            f"{what}: a key of type {type(key).__name__.removesuffix('PrivateKey')} is not usable here",
            hint="Use an ECDSA or RSA key.",
        )
    return key


def signing_request(
    key: PrivateKey, identifiers: Sequence[Identifier], *, must_staple: bool = False
) -> bytes:
    """A certificate signing request for these identifiers, in DER.

    The common name is the first DNS name that fits; authorities go by the alternative names.

    :param must_staple: ask for the TLS feature extension (RFC 7633).
    """
    names = [identifier.value for identifier in identifiers if identifier.type == "dns"]
    common = next((name for name in names if len(name) <= _LONGEST_COMMON_NAME), None)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(
            x509.SubjectAlternativeName([_general_name(identifier) for identifier in identifiers]),
            critical=False,
        )
    )
    if must_staple:
        builder = builder.add_extension(
            x509.TLSFeature([x509.TLSFeatureType.status_request]), critical=False
        )
    request = builder.sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def _general_name(identifier: Identifier) -> x509.GeneralName:
    if identifier.type == "ip":
        return x509.IPAddress(ipaddress.ip_address(identifier.value))
    return x509.DNSName(identifier.value)
