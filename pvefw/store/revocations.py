"""The certificates that a node of this cluster has revoked, for all of its nodes.

The services' directory of every node is on all of them: without this, a node would take back from
another one what an administrator has just revoked. A key that may have leaked is remembered with its
certificate, and for longer: a node that was switched off must not order with it again.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from pvefw.core.errors import ConfigError
from pvefw.store import files, locks
from pvefw.store.paths import Paths

_LOCK = "pvefw-revoked"
_KEYS_ARE_KEPT = timedelta(days=400)
"""After the end of their certificates; that is longer than a certificate of a public authority lives."""


@dataclass(frozen=True)
class Revocation:
    """One certificate that was revoked."""

    serial: str
    """Its serial number in hex, lower case: unique for its issuer (RFC 5280 section 4.1.2.2)."""
    issuer: str
    """The issuer's name (RFC 4514)."""
    node: str
    """Which node revoked it."""
    time: datetime
    not_after: datetime
    key: str = ""
    """SHA-256 of the public key (SubjectPublicKeyInfo, DER) in hex; empty where it may still be used."""

    def forgotten(self, now: datetime) -> bool:
        """Whether it matters to nobody any more."""
        return self.not_after + (_KEYS_ARE_KEPT if self.key else timedelta(0)) < now


def load(paths: Paths) -> list[Revocation]:
    """All of them.

    :raises ConfigError: the file is damaged. To go on without it would bring back what was revoked.
    :raises StoreError: it cannot be read.
    """
    data = files.read_if_exists(paths.revocations)
    if data is None:
        return []
    try:
        return [_revocation(item) for item in files.parse_json(data)["revoked"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{paths.revocations}: the record of revoked certificates is damaged: {error}",
            hint="Remove the file, then revoke again what has to be revoked.",
        ) from error


def add(paths: Paths, revocation: Revocation, now: datetime) -> None:
    """Remember one; those that matter no more are forgotten.

    :raises Locked: another process or node is at it.
    :raises StoreError: it cannot be written.
    """
    _change(paths, lambda all_: [*(each for each in all_ if not each.forgotten(now)), revocation])


def remove(paths: Paths, revocation: Revocation) -> None:
    """Forget one, because it was not revoked after all.

    :raises Locked: another process or node is at it.
    :raises StoreError: it cannot be written.
    """
    _change(paths, lambda all_: [each for each in all_ if each != revocation])


def _change(paths: Paths, changed: Callable[[list[Revocation]], list[Revocation]]) -> None:
    with locks.cluster_lock(paths, _LOCK):
        members = [
            {
                **asdict(revocation),
                "time": revocation.time.isoformat(),
                "not_after": revocation.not_after.isoformat(),
            }
            for revocation in changed(load(paths))
        ]
        files.replace(paths.revocations, f"{json.dumps({'revoked': members}, indent=1)}\n".encode())


def _revocation(members: Mapping[str, str]) -> Revocation:
    return Revocation(
        serial=str(members["serial"]),
        issuer=str(members["issuer"]),
        node=str(members["node"]),
        time=datetime.fromisoformat(members["time"]),
        not_after=datetime.fromisoformat(members["not_after"]),
        key=str(members["key"]),
    )
