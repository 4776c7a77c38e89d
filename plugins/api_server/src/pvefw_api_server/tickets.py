"""Tickets in the form of Proxmox VE's: who has logged in and when, signed with a key of the cluster.

A ticket is ``PVE:USER@REALM:TIME::SIGNATURE``, the token against cross-site requests ``TIME:SIGNATURE``;
the time is in hexadecimal seconds. Signatures are HMAC-SHA256 (RFC 2104), each for its own purpose.
"""

import base64
import hashlib
import hmac
import re
import secrets

from pvefw.store import files, locks
from pvefw.store.paths import Paths

LIFETIME = 7200
"""Seconds that a ticket is valid, as Proxmox VE's; clients renew theirs after half of it."""
CHALLENGE = 300
"""Seconds that a second factor may take after the password."""
_AHEAD = 300
"""Seconds that the clock of the node which made it may be ahead of ours."""
_TIME, _SIGNATURE = r"(?P<time>[0-9A-F]{8,10})", r"(?P<signature>[A-Za-z0-9+/=]+)"
_TICKET = re.compile(rf"PVE:(?P<user>[^:!\s]+):{_TIME}::{_SIGNATURE}")
_CHALLENGE = re.compile(rf"PVE:!tfa!(?P<user>[^:!\s]+):{_TIME}::{_SIGNATURE}")
_AGAINST_CSRF = re.compile(f"{_TIME}:{_SIGNATURE}")


def key(paths: Paths) -> bytes:
    """The key; it is made where there is none. Who removes the file ends every session.

    :raises StoreError: it cannot be read or written.
    """
    path = paths.api_key
    secret = files.read_if_exists(path)
    if not secret:
        with locks.cluster_lock(paths, "pvefw-api"):
            secret = files.read_if_exists(path)
            if not secret:
                secret = secrets.token_hex(32).encode()
                files.replace(path, secret, private=True)
    return secret


def issue(secret: bytes, user: str, now: float) -> tuple[str, str]:
    """A ticket, and the token against cross-site requests that belongs to it."""
    time = f"{int(now):08X}"
    plain = f"PVE:{user}:{time}"
    ticket = f"{plain}::{_signature(secret, 'ticket', plain)}"
    return ticket, f"{time}:{_signature(secret, 'csrf', f'{time}:{user}')}"


def holder(secret: bytes, ticket: str, now: float) -> str | None:
    """Whose ticket it is; ``None`` where it is nobody's any more, or never was."""
    return _signed(secret, "ticket", _TICKET.fullmatch(ticket), now, LIFETIME)


def challenge(secret: bytes, user: str, now: float) -> str:
    """What shows that somebody has given the right password, and the second factor is still to come."""
    plain = f"PVE:!tfa!{user}:{int(now):08X}"
    return f"{plain}::{_signature(secret, 'tfa', plain)}"


def challenged(secret: bytes, ticket: str, now: float) -> str | None:
    """Who has given the right password; ``None`` where that is too long ago, or was never so."""
    return _signed(secret, "tfa", _CHALLENGE.fullmatch(ticket), now, CHALLENGE)


def is_of(secret: bytes, token: str, user: str, now: float) -> bool:
    """Whether a token against cross-site requests is a user's."""
    match = _AGAINST_CSRF.fullmatch(token)
    if match is None or not _is_current(match["time"], now):
        return False
    signature = _signature(secret, "csrf", f"{match['time']}:{user}")
    return hmac.compare_digest(signature, match["signature"])


def _signed(
    secret: bytes, purpose: str, match: re.Match[str] | None, now: float, lifetime: int
) -> str | None:
    """Of whom it says something, if it is signed and not too old."""
    if match is None or not _is_current(match["time"], now, lifetime):
        return None
    signature = _signature(secret, purpose, match[0].rpartition("::")[0])
    return match["user"] if hmac.compare_digest(signature, match["signature"]) else None


def _is_current(time: str, now: float, lifetime: int = LIFETIME) -> bool:
    return -_AHEAD <= now - int(time, 16) < lifetime


def _signature(secret: bytes, purpose: str, text: str) -> str:
    made = hmac.digest(secret, f"{purpose}\0{text}".encode(), hashlib.sha256)
    return base64.b64encode(made).decode()
