"""``/access/ticket``: who shows a password that PAM takes, or a ticket, gets a new ticket. Who has a
second factor gets a challenge for the password, and the ticket for that challenge and a code.

Failures are counted for each address and each user, and whoever has failed too often is refused without
being asked (:data:`_MOST`). A refusal takes as long as PAM wants, for unknown users as for others.
"""

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pvefw.host.clock import SystemClock
from pvefw.store import files, locks
from pvefw.store.paths import Paths
from pvefw_api.errors import BAD_PARAMETERS, ApiError, bad_parameters
from pvefw_api_server import network, tickets, totp, users

UNAUTHORIZED, TOO_MANY = 401, 429
SERVICE = "pvefw-api"
"""Whose rules PAM takes; where there are none, those called ``other`` (pam.conf(5))."""
_MOST = {"address": 10, "user": 30}
"""Failures within :data:`_WINDOW`; a user has more, so that nobody locks others out from one address."""
_WINDOW = 300
_LONGEST = 1024
_QUEUES = 64
_PATIENCE = 60.0
"""Seconds that a login waits for those before it."""


def login(paths: Paths, given: Mapping[str, Any], client: str) -> dict[str, Any]:
    """Answer ``POST /access/ticket``.

    :param client: the address that the call came from.
    :raises ApiError: 400 for parameters, 401 for a refusal, 429 where too many came before.
    """
    name, password = _who(given), str(given.get("password", ""))
    if not password or len(password) > _LONGEST or "\0" in password:
        raise bad_parameters({"password": "it is missing, or cannot be one"})
    now, challenge = SystemClock().now().timestamp(), str(given.get("tfa-challenge", ""))
    secret = tickets.key(paths)
    if not challenge and tickets.holder(secret, password, now) == name:
        return _entered(paths, name, now)
    with locks.local_lock(paths, _queue(name), timeout=_PATIENCE):
        _check_failures(paths, name, client, now)
        if challenge:
            asked = tickets.challenged(secret, challenge, now) == name
            good = asked and _is_code(paths, name, password, now)
        else:
            good = _pam(name, password) and users.by_password(users.load(paths), name) is not None
        if not good:
            _note_failure(paths, name, client, now)
            raise refused()
    if not challenge and users.load(paths)[name].totp is not None:
        ticket = tickets.challenge(secret, name, now)
        # no token yet: with the cookie of a browser, a password alone would be enough to change something
        return {"username": name, "ticket": ticket, "CSRFPreventionToken": "", "NeedTFA": 1}
    return _entered(paths, name, now)


def _entered(paths: Paths, name: str, now: float) -> dict[str, Any]:
    """The answer to somebody who has shown all that is asked for."""
    who = users.by_password(users.load(paths), name)
    if who is None:
        raise refused()
    ticket, token = tickets.issue(tickets.key(paths), name, now)
    rights = who.capabilities() if not who.is_root else {"/": dict.fromkeys(users.PRIVILEGES, 1)}
    return {"username": name, "ticket": ticket, "CSRFPreventionToken": token, "cap": rights}


def _is_code(paths: Paths, name: str, password: str, now: float) -> bool:
    """Whether a code is that of the user's app; then it is not taken again, on any node."""
    kind, _, code = password.rpartition(":")
    user = users.load(paths).get(name)
    app = user.totp if user else None
    if kind != totp.KIND or app is None or totp.take(app, code, now) is None:
        return False
    with users.changing(paths) as accounts:
        app = accounts[name].totp if name in accounts else None
        taken = totp.take(app, code, now) if app else None
        if taken is not None:
            accounts[name] = replace(accounts[name], totp=taken)
    return taken is not None


def _queue(name: str) -> str:
    """The lock under which PAM is asked about a user: one at a time, and names that come from outside
    make no files.
    """
    return f"api-login-{zlib.crc32(name.encode()) % _QUEUES}"


def refused() -> ApiError:
    """The refusal; it does not say whether the user, the password or the ticket is wrong."""
    return ApiError(UNAUTHORIZED, "authentication failure")


def _who(given: Mapping[str, Any]) -> str:
    name, realm = str(given.get("username", "")), str(given.get("realm", ""))
    full = name if "@" in name else f"{name}@{realm or 'pam'}"
    if not users.NAME.fullmatch(full):
        raise ApiError(BAD_PARAMETERS, "Parameter verification failed.", {"username": "invalid"})
    return full


def _pam(name: str, password: str) -> bool:
    """Whether PAM takes a password, and lets the account in; others than PAM's have none.

    pamela leaves it to PAM's modules how long a refusal takes.
    """
    import pamela

    if not name.endswith(users.PAM):
        return False
    account = name.removesuffix(users.PAM)
    try:
        pamela.authenticate(account, password, SERVICE)
        pamela.check_account(account, SERVICE)
    except pamela.PAMError:
        return False
    return True


# --- failures --------------------------------------------------------------------------------------


def _check_failures(paths: Paths, name: str, client: str, now: float) -> None:
    with locks.local_lock(paths, "api-logins"):
        kept = _failures(paths, now)
    for kind, key in _keys(name, client):
        if len(kept.get(f"{kind} {key}", [])) >= _MOST[kind]:
            raise ApiError(
                TOO_MANY, f"too many failed logins; try again in {_WINDOW // 60} minutes"
            )


def _note_failure(paths: Paths, name: str, client: str, now: float) -> None:
    with locks.local_lock(paths, "api-logins"):
        kept = _failures(paths, now)
        for kind, key in _keys(name, client):
            kept.setdefault(f"{kind} {key}", []).append(now)
        files.replace(_place(paths), json.dumps(kept).encode(), private=True)


def _failures(paths: Paths, now: float) -> dict[str, list[float]]:
    """When logins failed lately; those of a clock that was put back a little count as well.

    What makes no sense is left out: whatever is in the file, somebody has to be able to log in.
    """
    kept = files.read_object(_place(paths))
    return {
        key: recent
        for key, times in kept.items()
        if isinstance(times, list) and (recent := [time for time in times if _is_recent(time, now)])
    }


def _is_recent(time: object, now: float) -> bool:
    return isinstance(time, int | float) and abs(now - time) < _WINDOW


def _place(paths: Paths) -> Path:
    return paths.below("run/pvefw/api-logins.json")


def _keys(name: str, client: str) -> Iterable[tuple[str, str]]:
    yield "user", name
    yield "address", network.of(client)
