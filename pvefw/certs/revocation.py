"""Which certificates and keys this cluster has revoked, and who still has one of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pvefw.certs import chain
from pvefw.certs.certificate import Certificate
from pvefw.certs.keys import PrivateKey
from pvefw.core.errors import PvefwError
from pvefw.store import files, revocations
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
        for revocation in self.all:
            if revocation.key == key or (revocation.serial, revocation.issuer) == (serial, issuer):
                return revocation
        return None

    def find_pem(self, pem: str) -> Revocation | None:
        """As :meth:`find`, for a certificate in PEM format."""
        return self.find(x509.load_pem_x509_certificate(pem.encode()))

    def has_key(self, key: PrivateKey) -> bool:
        """Whether a key must not be used again."""
        return any(revocation.key == _key(key.public_key()) for revocation in self.all)


def sentence(revocation: Revocation) -> str:
    """When and where, for people."""
    return f"node {revocation.node} revoked it on {revocation.time:%Y-%m-%d %H:%M} UTC"


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


def holders(certificate: Certificate, revocation: Revocation) -> list[Certificate]:
    """The other certificates that are this one, or have its key, whatever is wanted of them.

    Those of this node, and those of the services of the other nodes.

    :raises StoreError: a file of the configuration could not be read.
    """
    wanted = Revoked([revocation])
    return [other for other in certificate.others() if _has(other.files.certificate, wanted)]


def _has(path: Path, wanted: Revoked) -> bool:
    try:
        pem = files.read_if_exists(path)
        return bool(pem and wanted.find(chain.parse(pem, str(path))[0]))
    except PvefwError:
        return False  # what nobody can read, no service has


def _serial(certificate: x509.Certificate) -> str:
    return f"{certificate.serial_number:x}"


def _key(key: CertificatePublicKeyTypes) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()
