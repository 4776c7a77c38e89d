"""Writes a certificate and its key where a service reads them, in the form that it wants."""

import contextlib
import errno
import grp
import pwd
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from pvefw.api import (
    CertificateEvent,
    ProviderError,
    Task,
    hookimpl,
    remove_file,
    replace_file,
    setting,
)

__all__ = ["Files"]

_END = b"-----END CERTIFICATE-----"
_PUBLIC = 0o644
_MODE = re.compile(r"0?[1-7][0-7]{2}")
_FORMATS = ("leaf", "chain", "fullchain", "key", "combined", "pkcs12")
_WITH_KEY = ("key", "combined", "pkcs12")


@dataclass(frozen=True)
class _Wanted:
    """A file as it is to be."""

    format: str
    path: Path
    data: bytes
    mode: int


@dataclass
class Files:
    """Writes files. Each is complete before it takes its place, and private from its first byte."""

    fullchain: Path | None = setting(
        help="Where to write the certificate with its chain, PEM (nginx, Apache).", default=None
    )
    key: Path | None = setting(help="Where to write the private key, PEM.", default=None)
    combined: Path | None = setting(
        help="Where to write the certificate, its chain and the key in one file, PEM (HAProxy).",
        default=None,
    )
    leaf: Path | None = setting(help="Where to write the certificate alone, PEM.", default=None)
    chain: Path | None = setting(
        help="Where to write the chain without the certificate, PEM.", default=None
    )
    pkcs12: Path | None = setting(
        help="Where to write all of it as a PKCS#12 container (RFC 7292).", default=None
    )
    password: str | None = setting(
        help="The password of the PKCS#12 container.", default=None, secret=True
    )
    owner: str | None = setting(
        help="Whose the files are, USER or USER:GROUP (default: root's).", default=None
    )
    mode: str = setting(
        help="The mode of those with the key, octal; the others are 0644.", default="0600"
    )

    def __post_init__(self) -> None:
        paths = [path for _, path in self._paths()]
        if not paths:
            raise ValueError(f"no file is named; there are {', '.join(_FORMATS)}")
        for one in paths:
            if not one.is_absolute():
                raise ValueError(f"{one} is not an absolute path")
        if len(set(paths)) < len(paths):
            raise ValueError("two of the files have the same path")
        if not _MODE.fullmatch(self.mode):
            raise ValueError(f"'{self.mode}' is not an octal mode such as 0640")
        self._bits = int(self.mode, 8)
        if self._bits & stat.S_IRWXO:
            raise ValueError(f"mode {self.mode} would let everybody have the private key")

    @hookimpl
    def certificate_plan(self, event: CertificateEvent) -> Sequence[str]:
        """Which files would be written."""
        owner = self._owner()
        whose = f", {self.owner}" if self.owner else ""
        return [
            f"write {one.path} ({one.format}, {one.mode:04o}{whose})"
            for one in self._wanted(event)
            if not self._is_there(one, owner)
        ]

    @hookimpl
    def on_certificate(self, event: CertificateEvent, task: Task) -> None:
        """Write the files, all or none."""
        owner, wanted = self._owner(), self._wanted(event)
        before: list[tuple[Path, _Old | None]] = []
        try:
            for one in wanted:
                before.append((one.path, _there(one.path)))
                replace_file(one.path, one.data, mode=one.mode, owner=owner)
                task.log(f"Wrote {one.path}")
        except OSError as error:
            for path, old in before:
                with contextlib.suppress(OSError):
                    _put_back(path, old)
            raise ProviderError(
                f"{error.filename or one.path} cannot be written: {error.strerror}",
                hint=_hint(error, one.path),
            ) from error

    def _paths(self) -> Iterator[tuple[str, Path]]:
        for name in _FORMATS:
            path: Path | None = getattr(self, name)
            if path is not None:
                yield name, path

    def _wanted(self, event: CertificateEvent) -> list[_Wanted]:
        try:
            certificates, key = event.certificate.read_bytes(), event.key.read_bytes()
        except OSError as error:
            raise ProviderError(f"{error.filename} cannot be read: {error.strerror}") from error
        head, end, tail = certificates.partition(_END)
        leaf, chain = head + end + b"\n", tail.lstrip()
        contents = {
            "leaf": lambda: leaf,
            "chain": lambda: chain,
            "fullchain": lambda: certificates,
            "key": lambda: key,
            "combined": lambda: certificates.rstrip(b"\n") + b"\n" + key,
            "pkcs12": lambda: self._container(event.name, certificates, key),
        }
        return [
            _Wanted(name, path, contents[name](), self._bits if name in _WITH_KEY else _PUBLIC)
            for name, path in self._paths()
        ]

    def _container(self, name: str, certificates: bytes, key: bytes) -> bytes:
        how: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if self.password:
            how = serialization.BestAvailableEncryption(self.password.encode())
        try:
            leaf, *chain = x509.load_pem_x509_certificates(certificates)
            private = serialization.load_pem_private_key(key, password=None)
            return pkcs12.serialize_key_and_certificates(name.encode(), private, leaf, chain, how)  # type: ignore[arg-type]  # a certificate's key is one that it takes
        except ValueError as error:
            raise ProviderError(f"no PKCS#12 container can be made: {error}") from error

    def _is_there(self, wanted: _Wanted, owner: tuple[int, int] | None) -> bool:
        there = _there(wanted.path)
        if there is None:
            return False
        data, mode, whose = there
        same = data == wanted.data or (
            wanted.format == "pkcs12" and self._opened(data) == self._opened(wanted.data)
        )
        return same and mode == wanted.mode and owner in (None, whose)

    def _opened(self, container: bytes) -> tuple[bytes, ...]:
        """The certificates in a container: no two of them are the same bytes."""
        password = self.password.encode() if self.password else None
        try:
            found = pkcs12.load_pkcs12(container, password)
        except ValueError:
            return ()
        all_ = [one for one in (found.cert, *found.additional_certs) if one is not None]
        return tuple(one.certificate.public_bytes(serialization.Encoding.DER) for one in all_)

    def _owner(self) -> tuple[int, int] | None:
        if not self.owner:
            return None
        user, _, group = self.owner.partition(":")
        try:
            known = pwd.getpwnam(user)
            return known.pw_uid, grp.getgrnam(group).gr_gid if group else known.pw_gid
        except KeyError:
            raise ProviderError(f"owner {self.owner}: there is no such user or group") from None


def _hint(error: OSError, path: Path) -> str:
    """The unit of the timer may write to few directories only."""
    if error.errno != errno.EROFS:
        return ""
    return (
        "Where it fails in the timer's unit only, let that write there: systemctl edit "
        f"pvefw-renew.service, with a section [Service] and ReadWritePaths={path.parent}"
    )


_Old = tuple[bytes, int, tuple[int, int]]
"""A file's content, mode and owner."""


def _put_back(path: Path, old: _Old | None) -> None:
    """Let a file be as it was, or not be, where there was none."""
    if old is None:
        remove_file(path)
        return
    data, mode, whose = old
    replace_file(path, data, mode=mode, owner=whose)


def _there(path: Path) -> _Old | None:
    """What is there; ``None`` where there is none."""
    try:
        found = path.stat()
        return path.read_bytes(), stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ProviderError(f"{path} cannot be read: {error.strerror}") from error
