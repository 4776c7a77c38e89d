"""The forms in which services want a certificate and its key, and the settings that name them."""

import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from pvefw.api import CertificateEvent, ProviderError, setting

__all__ = ["PRIVATE", "Forms", "Wanted", "contents"]

PRIVATE = 0o600
"""The mode of files with a key where nothing else is configured."""
_PUBLIC = 0o644
_END = b"-----END CERTIFICATE-----"
_MODE = re.compile(r"0?[1-7][0-7]{2}")
_OWNER = re.compile(r"[a-z_][\w.-]*\$?(:[a-z_][\w.-]*\$?)?", re.ASCII)
_FORMS = ("leaf", "chain", "fullchain", "key", "combined", "pkcs12")
_WITH_KEY = ("key", "combined", "pkcs12")


@dataclass(frozen=True)
class Wanted:
    """A file as it is to be."""

    form: str
    path: Path
    data: bytes
    mode: int
    owner: str = ""
    """``USER`` or ``USER:GROUP``; empty for root."""
    content: Callable[[bytes], object] = bytes
    """What counts of its bytes: no two PKCS#12 containers are the same."""

    @classmethod
    def of(
        cls, form: str, path: Path, data: bytes, mode: int = PRIVATE, owner: str = ""
    ) -> "Wanted":
        """A file in one form; only one with a key has the mode, the others are for everybody."""
        return cls(form, path, data, mode if form in _WITH_KEY else _PUBLIC, owner)

    def __str__(self) -> str:
        whose = f", {self.owner}" if self.owner else ""
        return f"{self.path} ({self.form}, {self.mode:04o}{whose})"


def contents(event: CertificateEvent) -> dict[str, bytes]:
    """A certificate in each form that is PEM.

    :raises ProviderError: its files cannot be read.
    """
    try:
        certificates, key = event.certificate.read_bytes(), event.key.read_bytes()
    except OSError as error:
        raise ProviderError(f"{error.filename} cannot be read: {error.strerror}") from error
    head, end, tail = certificates.partition(_END)
    return {
        "leaf": head + end + b"\n",
        "chain": tail.lstrip(),
        "fullchain": certificates,
        "key": key,
        "combined": certificates.rstrip(b"\n") + b"\n" + key,
    }


def _file(what: str) -> Any:
    return setting(help=f"Where to write {what}.", default=None, writes=True)


@dataclass(kw_only=True)
class Forms:
    """Settings that say where a certificate is to be written, in which forms."""

    fullchain: Path | None = _file("the certificate with its chain, PEM (nginx, Apache)")
    key: Path | None = _file("the private key, PEM")
    combined: Path | None = _file(
        "the certificate, its chain and the key in one file, PEM (HAProxy)"
    )
    leaf: Path | None = _file("the certificate alone, PEM")
    chain: Path | None = _file("the chain without the certificate, PEM")
    pkcs12: Path | None = _file("all of it as a PKCS#12 container (RFC 7292)")
    password: str | None = setting(
        help="The password of the PKCS#12 container.", default=None, secret=True
    )
    owner: str | None = setting(
        help="The owner of the files, USER or USER:GROUP (default: root).", default=None
    )
    mode: str = setting(
        help="The mode of files with the key, octal; the others are 0644.", default="0600"
    )

    def __post_init__(self) -> None:
        paths = [path for _, path in self._paths()]
        if not paths:
            raise ValueError(f"no file is named; there are {', '.join(_FORMS)}")
        for path in paths:
            if not path.is_absolute():
                raise ValueError(f"{path} is not an absolute path")
        if len(set(paths)) < len(paths):
            raise ValueError("two of the files have the same path")
        if not _MODE.fullmatch(self.mode):
            raise ValueError(f"'{self.mode}' is not an octal mode such as 0640")
        if int(self.mode, 8) & stat.S_IRWXO:
            raise ValueError(f"mode {self.mode} would let everybody have the private key")
        if self.owner and not _OWNER.fullmatch(self.owner):
            raise ValueError(f"owner '{self.owner}' is not USER or USER:GROUP")

    def wanted(self, event: CertificateEvent) -> list[Wanted]:
        """The files as they are to be.

        :raises ProviderError: the certificate cannot be read, or put into a container.
        """
        known, mode, owner = contents(event), int(self.mode, 8), self.owner or ""
        return [
            Wanted.of(form, path, known[form], mode, owner)
            if form in known
            else Wanted(form, path, self._container(event.name, known), mode, owner, self._opened)
            for form, path in self._paths()
        ]

    def _paths(self) -> Iterator[tuple[str, Path]]:
        for form in _FORMS:
            path: Path | None = getattr(self, form)
            if path is not None:
                yield form, path

    def _container(self, name: str, known: dict[str, bytes]) -> bytes:
        how: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if self.password:
            how = serialization.BestAvailableEncryption(self.password.encode())
        try:
            leaf, *chain = x509.load_pem_x509_certificates(known["fullchain"])
            private = serialization.load_pem_private_key(known["key"], password=None)
            return pkcs12.serialize_key_and_certificates(name.encode(), private, leaf, chain, how)  # type: ignore[arg-type]  # a certificate's key is one that it takes
        except ValueError as error:
            raise ProviderError(f"no PKCS#12 container can be made: {error}") from error

    def _opened(self, container: bytes) -> tuple[bytes, ...]:
        """The certificates in a container; none where it cannot be opened."""
        password = self.password.encode() if self.password else None
        try:
            opened = pkcs12.load_pkcs12(container, password)
        except ValueError:
            return ()
        held = [
            certificate
            for certificate in (opened.cert, *opened.additional_certs)
            if certificate is not None
        ]
        return tuple(member.certificate.public_bytes(serialization.Encoding.DER) for member in held)
