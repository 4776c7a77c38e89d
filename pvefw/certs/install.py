"""Puts a certificate and its key in place as one.

An intent is recorded before anything else, and both new files are complete on disk before the first of
two renames. Whatever interrupts the installation, :func:`recover` (which every later command calls, and
a unit before the services start) finishes it, or takes it back where it had not begun: no service ever
starts on a mixed pair.
"""

import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pvefw.certs import chain, keys, pins
from pvefw.certs.certificate import Certificate, Pair
from pvefw.core import causes
from pvefw.core.errors import CertificateError, StoreError
from pvefw.core.model import CertificateEvent, Task
from pvefw.store import files, locks
from pvefw.store.paths import STAGED, Paths


def node_pair(paths: Paths) -> Pair:
    """The node's own, signed by the cluster's CA; the services use it where there is no other."""
    return Pair("node", paths.node_certificate, paths.node_key)


def authority_pair(paths: Paths) -> Pair:
    """The cluster's CA."""
    return Pair("cluster CA", paths.authority_certificate, paths.authority_key)


@dataclass(frozen=True)
class _Half:
    """One of the two files of a pair."""

    target: Path
    digest: str
    """SHA-1 of the new content."""

    @property
    def staged(self) -> Path:
        """The new content, beside its target: a private key never leaves its directory."""
        return self.target.with_name(self.target.name + STAGED)

    @property
    def done(self) -> bool:
        return _digest(self.target) == self.digest

    @property
    def ready(self) -> bool:
        return _digest(self.staged) == self.digest


def _digest(path: Path) -> str:
    data = files.read_if_exists(path)
    return "" if data is None else files.digest(data)


def install_pair(
    target: Certificate, certificate: bytes, key: bytes, task: Task, now: datetime
) -> CertificateEvent:
    """Replace a certificate and its key by new ones.

    :param target: which of the node's certificates.
    :param certificate: PEM, the leaf first or in any unambiguous order.
    :param key: PEM.
    :returns: what observers are told.
    :raises CertificateError: the two do not belong together; nothing was touched.
    :raises StoreError: a file could not be written; the old pair is in place.
    """
    what = "the new certificate"
    ordered = chain.check_pair(certificate, key, what, now)
    canonical = keys.to_pem(keys.from_pem(key, what))
    replace_pair(target.paths, target.pair, ordered, canonical, task)
    return target.event()


def replace_pair(paths: Paths, pair: Pair, certificate: bytes, key: bytes, task: Task) -> None:
    """Replace a pair whose parts are known to belong together.

    :raises CertificateError: OpenSSL cannot load it; the old pair is in place.
    :raises StoreError: a file could not be written; the old pair is in place.
    """
    with locks.certificate_lock(paths):
        _finish(paths)
        before = files.read_if_exists(pair.certificate)
        halves = [
            _Half(pair.key, files.digest(key)),
            _Half(pair.certificate, files.digest(certificate)),
        ]
        task.log(f"Setting {pair.title} certificate and key")
        try:
            _record(paths, halves)
            files.replace(halves[0].staged, key, private=True)
            files.replace(halves[1].staged, certificate)
            _try(halves[1].staged, halves[0].staged)
        except BaseException:
            _take_back(paths, halves)
            raise
        _swap(paths, halves)
    pins.warn_of_broken(paths, pair.certificate, before, task)


def _try(certificate: Path, key: Path) -> None:
    """Load a pair as the service will.

    :raises CertificateError: it cannot be loaded.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        raise CertificateError(
            f"the new certificate: OpenSSL cannot load it: {causes.of(error)}"
        ) from error


def recover(paths: Paths) -> None:
    """Finish or take back an installation that was interrupted.

    :raises CertificateError: it can be neither, because somebody removed the new files.
    """
    with locks.certificate_lock(paths):
        _finish(paths)


def unusable(paths: Paths, pair: Pair) -> str:
    """Why no service can use the certificate that is in place, a clause; empty where one can.

    Backups, copies and hands bring one file of a pair without the other. While an installation is under
    way, and where the key cannot be read, nobody can say.
    """
    try:
        before = _contents(pair)
        why = _mismatch(pair, *before)
        if why and not files.exists(paths.install_intent) and _contents(pair) == before:
            return why
    except StoreError:
        pass
    return ""


def _contents(pair: Pair) -> tuple[bytes | None, bytes | None]:
    return files.read_if_exists(pair.certificate), files.read_if_exists(pair.key)


def _mismatch(pair: Pair, certificate: bytes | None, key: bytes | None) -> str:
    if certificate is None:
        return ""
    if key is None:
        return f"its private key {pair.key} is missing"
    try:
        private = keys.from_pem(key, str(pair.key))
        leaf = chain.parse(certificate, str(pair.certificate))[0]
    except CertificateError as error:
        return f"no service can use it: {error.message}"
    if private.public_key() != leaf.public_key():
        return f"its private key {pair.key} is that of another certificate"
    return ""


def _record(paths: Paths, halves: Sequence[_Half]) -> None:
    intent = [{"target": str(half.target), "digest": half.digest} for half in halves]
    files.replace(paths.install_intent, json.dumps(intent).encode(), private=True)


def _swap(paths: Paths, halves: Sequence[_Half]) -> None:
    """The two renames, back to back; a failing second one brings the first file back."""
    before = [files.read_if_exists(half.target) for half in halves]
    try:
        for half in halves:
            if not half.done:
                files.rename(half.staged, half.target)
    except BaseException:
        _restore(paths, halves, before)
        # what was interrupted may have changed a store, which is seen once no staged file is there
        _restore(paths, halves, before)
        raise
    _take_back(paths, halves)


def _restore(paths: Paths, halves: Sequence[_Half], before: Sequence[bytes | None]) -> None:
    for half, old in zip(halves, before, strict=True):
        _put_back(half.target, old)
    _take_back(paths, halves)


def _put_back(target: Path, content: bytes | None) -> None:
    if content is None:
        files.remove(target)
    elif files.read_if_exists(target) != content:
        files.replace(target, content, private=target.suffix == ".key")


def _take_back(paths: Paths, halves: Sequence[_Half]) -> None:
    """Remove all that is not in its place; the intent last, so that nothing is forgotten."""
    for half in halves:
        files.remove(half.staged)
        for path in (half.staged, half.target):
            files.remove_unfinished(path)
    files.remove(paths.install_intent)


def _finish(paths: Paths) -> None:
    recorded = files.read_if_exists(paths.install_intent)
    if recorded is None:
        return
    try:
        halves = [_half(half) for half in files.parse_json(recorded)]
    except files.DAMAGED as error:
        raise CertificateError(
            f"{paths.install_intent}: this record of an interrupted installation is damaged: "
            f"{causes.damage(error)}",
            hint="Check that certificate and key of the node belong together, then remove the file.",
        ) from error
    if all(half.done or half.ready for half in halves):
        _swap(paths, halves)
    elif not any(half.done for half in halves):
        _take_back(paths, halves)
    else:
        lost = next(half for half in halves if not (half.done or half.ready))
        raise CertificateError(
            f"{lost.target}: an interrupted installation cannot be finished, {lost.staged.name} is gone",
            hint=f"Set a pair by hand and remove {paths.install_intent}, then order again.",
        )


def _half(members: Mapping[str, str]) -> _Half:
    """One of the two, as it was recorded.

    :raises ValueError: there can be no such file.
    """
    target, digest = Path(members["target"]), members["digest"]
    if not target.is_absolute() or not str(target).isprintable() or not isinstance(digest, str):
        raise ValueError("this is not the path and the digest of a file")
    return _Half(target, digest)


def remove_pair(target: Certificate, task: Task) -> None:
    """Remove a certificate and its key.

    What removes that of Proxmox VE's services must first see to it that they have the node's own to fall
    back to: :func:`pvefw.certs.node_certificate.ensure`.
    """
    with locks.certificate_lock(target.paths):
        _finish(target.paths)
        task.log("Deleting certificate files")
        # without its certificate the service ignores a key; without its key it would not start
        files.remove(target.files.certificate)
        files.remove(target.files.key)
