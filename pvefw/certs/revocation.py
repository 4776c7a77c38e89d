"""Which certificates and keys this cluster has revoked, and which nodes still have one of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pvefw.certs import chain
from pvefw.certs.keys import PrivateKey
from pvefw.core.errors import PvefwError
from pvefw.store import files, nodes, revocations
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.store.revocations import Revocation


@dataclass(frozen=True)
class Revoked:
    """What was revoked, as it was known at one moment."""

    all: Sequence[Revocation]

    @classmethod
    def load(cls, paths: Paths) -> "Revoked":
        """Read it.

        :raises ConfigError: the record is damaged.
        :raises StoreError: it cannot be read.
        """
        return cls(revocations.load(paths))

    def find(self, certificate: x509.Certificate) -> Revocation | None:
        """The revocation of a certificate, or of another one whose key it has and nobody trusts."""
        serial, issuer = _serial(certificate), certificate.issuer.rfc4514_string()
        key = _key(certificate.public_key())
        for one in self.all:
            if one.key == key or (one.serial, one.issuer) == (serial, issuer):
                return one
        return None

    def find_pem(self, pem: str) -> Revocation | None:
        """As :meth:`find`, for a certificate in PEM format."""
        return self.find(x509.load_pem_x509_certificate(pem.encode()))

    def has_key(self, key: PrivateKey) -> bool:
        """Whether a key must not be used again."""
        return any(one.key == _key(key.public_key()) for one in self.all)


def said(one: Revocation) -> str:
    """When and where, for people."""
    return f"node {one.node} revoked it on {one.time:%Y-%m-%d %H:%M} UTC"


def of(paths: Paths, certificate: x509.Certificate, now: datetime, *, with_key: bool) -> Revocation:
    """What to remember of a certificate.

    :param with_key: its key must not be used again either.
    """
    return Revocation(
        serial=_serial(certificate),
        issuer=certificate.issuer.rfc4514_string(),
        node=paths.node,
        time=now,
        not_after=certificate.not_valid_after_utc,
        key=_key(certificate.public_key()) if with_key else "",
    )


def holders(node: Node, one: Revocation) -> list[str]:
    """The other nodes whose services have this certificate, or one with its key, whatever they want."""
    wanted = Revoked([one])
    return [
        name
        for name in nodes.names(node.paths)
        if name != node.name and _has(node.neighbour(name).paths, wanted)
    ]


def _has(paths: Paths, wanted: Revoked) -> bool:
    try:
        pem = files.read_if_exists(paths.proxy_certificate)
        return bool(pem and wanted.find(chain.parse(pem, str(paths.proxy_certificate))[0]))
    except PvefwError:
        return False  # what nobody can read, no service has


def _serial(certificate: x509.Certificate) -> str:
    return f"{certificate.serial_number:x}"


def _key(key: CertificatePublicKeyTypes) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()
