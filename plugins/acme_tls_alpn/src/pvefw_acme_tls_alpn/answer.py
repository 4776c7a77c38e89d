"""The certificate that answers a challenge (RFC 8737 section 3, RFC 8738 section 6)."""

import datetime as dt
import hashlib
import ipaddress
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pvefw.api import Identifier

PROTOCOL = "acme-tls/1"
"""The application protocol of a validation; nothing is said in it after the handshake."""
ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
_OCTET_STRING = b"\x04\x20"
"""DER: an OCTET STRING of 32 bytes follows."""
_BEGIN = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_END = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
"""RFC 5280 section 4.1.2.5: no date is meant. The authority looks at none, and a clock may be wrong."""


def server_name(identifier: Identifier) -> str:
    """What the authority sends as server name: for an address its name in the reverse mapping."""
    if identifier.type == "ip":
        return ipaddress.ip_address(identifier.value).reverse_pointer
    return identifier.value


def context_for(identifier: Identifier, key_authorization: str) -> ssl.SSLContext:
    """TLS that answers one challenge and speaks nothing but the protocol of validations."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([PROTOCOL])
    pem = _certificate(identifier, key_authorization)
    # the ssl module takes a file only; this one is in memory, so that the key is never on a disk
    with os.fdopen(os.memfd_create("acme-tls"), "wb") as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    return context


def _certificate(identifier: Identifier, key_authorization: str) -> bytes:
    """The self-signed certificate and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ACME challenge")])
    digest = hashlib.sha256(key_authorization.encode()).digest()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .add_extension(x509.SubjectAlternativeName([_general_name(identifier)]), critical=False)
        .add_extension(
            x509.UnrecognizedExtension(ACME_IDENTIFIER, _OCTET_STRING + digest), critical=True
        )
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _general_name(identifier: Identifier) -> x509.GeneralName:
    if identifier.type == "ip":
        return x509.IPAddress(ipaddress.ip_address(identifier.value))
    return x509.DNSName(identifier.value)
