"""Puts a certificate and its key in place as one, and tells whoever uses them.

Both new files are complete on disk, and an intent is recorded, before the first of two renames. Whatever
interrupts the installation, :func:`recover` (which every later command calls) finishes it, or takes it
back where it had not begun: no service ever starts on a mixed pair.
"""

import json
import shlex
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pvefw import system
from pvefw.certs import chain
from pvefw.errors import CertificateError, ProgramError
from pvefw.model import CertificateEvent, Task
from pvefw.store import files, locks
from pvefw.store.paths import Paths

_STAGED = ".pvefw-new"
_RELOAD_SECONDS = 90.0
NO_RELOAD = "-"
DEFAULT_RELOAD = "systemctl reload-or-restart pveproxy"


@dataclass(frozen=True)
class _Half:
    """One of the two files of a pair."""

    target: Path
    digest: str
    """SHA-1 of the new content."""

    @property
    def staged(self) -> Path:
        """The new content, beside its target: a private key never leaves its directory."""
        return self.target.with_name(self.target.name + _STAGED)

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
    paths: Paths, certificate: bytes, key: bytes, task: Task, now: datetime
) -> CertificateEvent:
    """Replace ``pveproxy-ssl.pem`` and ``.key`` by a new pair.

    :param certificate: PEM, the leaf first or in any unambiguous order.
    :param key: PEM.
    :returns: what observers are told.
    :raises CertificateError: the two do not belong together; nothing was touched.
    :raises StoreError: a file could not be written; the old pair is in place.
    """
    ordered = chain.check_pair(certificate, key, "the new certificate", now)
    with locks.local_lock(paths, f"install-{paths.node}"):
        _finish(paths)
        halves = [
            _Half(paths.proxy_key, files.digest(key)),
            _Half(paths.proxy_certificate, files.digest(ordered)),
        ]
        task.log("Setting pveproxy certificate and key")
        try:
            files.replace(halves[0].staged, key, private=True)
            files.replace(halves[1].staged, ordered)
            _record(paths, halves)
        except BaseException:
            _take_back(paths, halves)
            raise
        _swap(paths, halves)
    return _event(paths, ordered)


def recover(paths: Paths) -> None:
    """Finish or take back an installation that was interrupted.

    :raises CertificateError: it can be neither, because somebody removed the new files.
    """
    with locks.local_lock(paths, f"install-{paths.node}"):
        _finish(paths)


def _record(paths: Paths, halves: list[_Half]) -> None:
    intent = [{"target": str(one.target), "digest": one.digest} for one in halves]
    files.replace(paths.install_intent, json.dumps(intent).encode(), private=True)


def _swap(paths: Paths, halves: list[_Half]) -> None:
    """The two renames, back to back; a failing second one brings the first file back."""
    before = [files.read_if_exists(one.target) for one in halves]
    try:
        for one in halves:
            if not one.done:
                files.rename(one.staged, one.target)
    except BaseException:
        for one, old in zip(halves, before, strict=True):
            _put_back(one.target, old)
        _take_back(paths, halves)
        raise
    files.remove(paths.install_intent)


def _put_back(target: Path, content: bytes | None) -> None:
    if content is None:
        files.remove(target)
    elif files.read_if_exists(target) != content:
        files.replace(target, content, private=target.suffix == ".key")


def _take_back(paths: Paths, halves: list[_Half]) -> None:
    files.remove(paths.install_intent)
    for one in halves:
        files.remove(one.staged)


def _finish(paths: Paths) -> None:
    recorded = files.read_if_exists(paths.install_intent)
    if recorded is None:
        return
    halves = [_Half(Path(one["target"]), one["digest"]) for one in json.loads(recorded)]
    if all(one.done or one.ready for one in halves):
        _swap(paths, halves)
    elif not any(one.done for one in halves):
        _take_back(paths, halves)
    else:
        lost = next(one for one in halves if not (one.done or one.ready))
        raise CertificateError(
            f"{lost.target}: an interrupted installation cannot be finished, {lost.staged.name} is gone",
            hint=f"Set a pair by hand and remove {paths.install_intent}, then order again.",
        )


def _event(paths: Paths, certificate: bytes) -> CertificateEvent:
    info = chain.describe(paths.proxy_certificate, certificate)
    return CertificateEvent(
        node=paths.node,
        names=info.san,
        certificate=paths.proxy_certificate,
        key=paths.proxy_key,
        not_before=info.not_before,
        not_after=info.not_after,
        fingerprint=info.fingerprint,
    )


def remove_pair(paths: Paths, task: Task) -> None:
    """Remove ``pveproxy-ssl.pem`` and ``.key``; the service falls back to the node certificate."""
    with locks.local_lock(paths, f"install-{paths.node}"):
        _finish(paths)
        task.log("Deleting certificate files")
        # without its certificate the service ignores a key; without its key it would not start
        files.remove(paths.proxy_certificate)
        files.remove(paths.proxy_key)


# --- the service ----------------------------------------------------------------------------------


def reload_service(paths: Paths, command: str | None, task: Task) -> None:
    """Make the service use the pair. A failure is a warning that names how to try again.

    :param command: the configured ``reload-command``; ``None`` for the default, which runs only where
        the host has that unit; ``-`` to do nothing.
    """
    if command is None:
        command = DEFAULT_RELOAD if _has_pveproxy(paths) else NO_RELOAD
    if command == NO_RELOAD:
        return
    task.log("Restarting pveproxy" if command == DEFAULT_RELOAD else f"Running {command}")
    try:
        system.run(shlex.split(command), timeout=_RELOAD_SECONDS)
    except (ProgramError, ValueError) as error:
        task.warn(f"The certificate is installed, but {error}. Try again with: {command}")


def _has_pveproxy(paths: Paths) -> bool:
    """Only on the running host itself: another tree's service is not ours to restart."""
    units = ("/lib/systemd/system", "/usr/lib/systemd/system", "/etc/systemd/system")
    return paths.root == Path("/") and any(
        paths.below(f"{unit}/pveproxy.service").exists() for unit in units
    )
