"""Who may use the API, and for what: one small file of the cluster, which only root can read.

A user logs in with PAM (``NAME@pam``) or has API tokens only (``NAME@pve``). ``root@pam`` need not be in
the file, and may do everything. Of a token's secret the file has a digest: it is random, so that a slow
one would add nothing.
"""

import hashlib
import json
import re
import secrets
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeVar

from pvefw.core.errors import ConfigError, NotFound, UsageError
from pvefw.store import files, locks
from pvefw.store.paths import Paths
from pvefw_api_server.totp import Totp

ROOT = "root@pam"
PAM = "@pam"
PRIVILEGES = (
    "Sys.Audit",
    "Sys.Modify",
    "Sys.PowerMgmt",
    "VM.Audit",
    "VM.Config.Options",
    "VM.Migrate",
    "VM.PowerMgmt",
)
"""Those that endpoints ask for; they have Proxmox VE's names."""
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}@(?:pam|pve)")
TOKEN = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
_PLACE = re.compile(r"/(?:nodes(?:/[A-Za-z0-9-]+)?|vms(?:/[1-9][0-9]*)?)?")
_Type = TypeVar("_Type")
Grants = Mapping[str, tuple[str, ...]]
"""Privileges by the path that they hold for, and for all that is below it."""


@dataclass(frozen=True)
class Token:
    """An API token of a user."""

    digest: str = field(repr=False)
    """SHA-256 of its secret."""
    grants: Grants | None = None
    """What it may do of what its user may; ``None`` for all of that."""
    expires: int = 0
    """Seconds since the epoch; 0 for never."""
    other: Mapping[str, Any] = field(default_factory=dict)
    """What else somebody has written there; it is kept."""


@dataclass(frozen=True)
class User:
    """A user with all that it has."""

    name: str
    grants: Grants = field(default_factory=dict)
    enabled: bool = True
    tokens: Mapping[str, Token] = field(default_factory=dict)
    totp: Totp | None = None
    """What it shows beside its password; ``None`` for nothing."""
    other: Mapping[str, Any] = field(default_factory=dict)
    """What else somebody has written there; it is kept."""


@dataclass(frozen=True)
class Identity:
    """Who calls: a user, or one of its tokens."""

    name: str
    """``USER@REALM`` or ``USER@REALM!TOKEN``: so tasks name it."""
    limits: tuple[Grants, ...] = ()
    """It may do what is in all of these; everything where there is none: it is root."""

    @property
    def is_root(self) -> bool:
        """Whether nothing is refused."""
        return not self.limits

    def may(self, path: str, privilege: str) -> bool:
        """Whether it has a privilege on a path."""
        return all(_granted(limit, path, privilege) for limit in self.limits)

    def capabilities(self) -> dict[str, dict[str, int]]:
        """Its privileges by the path that they hold for."""
        paths = {path for limit in self.limits for path in limit} or {"/"}
        held = {
            path: [privilege for privilege in PRIVILEGES if self.may(path, privilege)]
            for path in sorted(paths)
        }
        return {path: dict.fromkeys(rights, 1) for path, rights in held.items() if rights}


def _granted(grants: Grants, path: str, privilege: str) -> bool:
    return any(
        privilege in privileges and (where == "/" or f"{path}/".startswith(f"{where}/"))
        for where, privileges in grants.items()
    )


# --- the file -------------------------------------------------------------------------------------


def load(paths: Paths) -> dict[str, User]:
    """Every user by name, ``root@pam`` included.

    :raises ConfigError: the file is damaged: nobody is let in by guessing.
    :raises StoreError: it cannot be read.
    """
    data = files.read_if_exists(paths.api_users)
    try:
        return {ROOT: User(ROOT), **_users(data or b"{}")}
    except files.DAMAGED as error:
        raise ConfigError(
            f"{paths.api_users}: it is damaged, so that nobody can log in: {error}",
            hint="Correct it, or restore it from a backup. Without it only root can log in; users and "
            "tokens are added again with: pvefw api user set",
        ) from error


@lru_cache(maxsize=1)
def _users(data: bytes) -> Mapping[str, User]:
    """What the file says: kept for these very bytes, as each call reads the file again."""
    return {name: _user(name, values) for name, values in files.parse_json(data).items()}


def _user(name: str, members: Mapping[str, Any]) -> User:
    tokens = {id_: _token(_as(dict, token)) for id_, token in members["tokens"].items()}
    app = members.get("totp")
    return User(
        name,
        _grants(members["grants"]),
        _as(bool, members["enabled"]),
        tokens,
        None if app is None else _totp(_as(dict, app)),
        _beside(members, "grants", "enabled", "tokens", "totp"),
    )


def _totp(members: Mapping[str, Any]) -> Totp:
    secret = _as(str, members["secret"])
    if not secret:
        raise ValueError("the secret of a totp is empty")
    return Totp(secret, _as(int, members["taken"]))


def _token(members: Mapping[str, Any]) -> Token:
    grants = members["grants"]
    own = None if grants is None else _grants(grants)
    other = _beside(members, "digest", "grants", "expires")
    return Token(_as(str, members["digest"]), own, _as(int, members["expires"]), other)


def _grants(members: Mapping[str, Any]) -> Grants:
    return {
        path: tuple(_as(str, privilege) for privilege in _as(list, privileges))
        for path, privileges in members.items()
    }


def _as(type_: type[_Type], value: Any) -> _Type:
    """A value that has to be of one type: ``"false"`` is a text, and would count as true."""
    if type(value) is not type_:
        # not the value: it may be a secret
        raise TypeError(f"a {type(value).__name__} stands where a {type_.__name__} belongs")
    return value


def _beside(members: Mapping[str, Any], *known: str) -> dict[str, Any]:
    return {key: value for key, value in members.items() if key not in known}


@contextmanager
def changing(paths: Paths) -> Iterator[dict[str, User]]:
    """Change what is in the file: the block gets every user, and what it leaves is written."""
    with locks.cluster_lock(paths, "pvefw-api"):
        accounts = load(paths)
        yield accounts
        document = {name: _as_dict(user) for name, user in accounts.items() if user != User(ROOT)}
        files.replace(paths.api_users, json.dumps(document, indent=1).encode(), private=True)


def _as_dict(user: User) -> dict[str, Any]:
    tokens = {
        id_: {
            **token.other,
            "digest": token.digest,
            "grants": token.grants,
            "expires": token.expires,
        }
        for id_, token in user.tokens.items()
    }
    members = {**user.other, "grants": user.grants, "enabled": user.enabled, "tokens": tokens}
    return members if user.totp is None else {**members, "totp": vars(user.totp)}


def named(accounts: Mapping[str, User], name: str) -> User:
    """One of the users.

    :raises NotFound: there is none of this name.
    """
    if name not in accounts:
        known = ", ".join(accounts)
        raise NotFound(
            f"there is no API user {name}",
            hint=f"There are: {known}. Add it: pvefw api user set {name} --grant /=Sys.Audit",
        )
    return accounts[name]


# --- what is written there ------------------------------------------------------------------------


def check_name(name: str) -> str:
    """Refuse what is no user's name.

    :raises UsageError: it is none.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' is not the name of an API user",
            hint="NAME@pam logs in with the password of this host; NAME@pve has tokens only.",
        )
    return name


def _wrong(path: str, listed: str, wrong: list[str]) -> str:
    if not listed:
        return "it is not PATH=PRIVILEGE, such as /=Sys.Audit"
    return f"{', '.join(wrong) or path} does not exist"


def grants(words: Iterable[str]) -> Grants:
    """Read ``PATH=PRIVILEGE,…``.

    :raises UsageError: a path or a privilege does not exist.
    """
    granted: dict[str, tuple[str, ...]] = {}
    for word in words:
        path, _, listed = word.partition("=")
        wanted = tuple(part.strip() for part in listed.split(","))
        wrong = [privilege for privilege in wanted if privilege not in PRIVILEGES]
        if not _PLACE.fullmatch(path) or wrong:
            raise UsageError(
                f"'{word}' grants nothing: {_wrong(path, listed, wrong)}",
                hint="PATH=PRIVILEGE,… with /, /nodes/NAME, /vms or /vms/ID, and the privileges "
                f"{', '.join(PRIVILEGES)}",
            )
        granted[path] = (*granted.get(path, ()), *wanted)
    return granted


def new_token(of: User, id_: str, limits: Grants | None, expires: int) -> tuple[User, str]:
    """Give a user a token.

    :returns: the user with it, and its secret: a UUID, which is shown once and kept nowhere.
    :raises UsageError: it is called as no token can be, or is there already.
    """
    if not TOKEN.fullmatch(id_):
        raise UsageError(
            f"'{id_}' is not the name of a token", hint="Letters, digits, '.', '_', '-'."
        )
    if id_ in of.tokens:
        raise UsageError(
            f"{of.name} already has a token {id_}",
            hint=f"Remove it first: pvefw api token remove {of.name} {id_}",
        )
    secret = str(uuid.uuid4())
    made = Token(digest(secret), limits, expires)
    return replace(of, tokens={**of.tokens, id_: made}), secret


def with_limits(of: User, id_: str, limits: Grants | None, expires: int) -> User:
    """A user whose token has what is given; the rest of it, and its secret, stay."""
    before = of.tokens[id_]
    grants = before.grants if limits is None else limits
    token = replace(before, grants=grants, expires=expires or before.expires)
    return replace(of, tokens={**of.tokens, id_: token})


def digest(secret: str) -> str:
    """What is kept of a token's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


# --- who calls ------------------------------------------------------------------------------------


def by_password(accounts: Mapping[str, User], name: str) -> Identity | None:
    """The identity of a user who has shown its password or ticket; ``None`` where it may not come in."""
    user = accounts.get(name)
    if user is None or not user.enabled or not name.endswith(PAM):
        return None
    return Identity(name, () if name == ROOT else (user.grants,))


def by_token(accounts: Mapping[str, User], words: str, now: float) -> Identity | None:
    """The identity behind ``USER@REALM!ID=SECRET``; ``None`` where there is none."""
    full, _, secret = words.partition("=")
    name, _, id_ = full.partition("!")
    user = accounts.get(name)
    token = user.tokens.get(id_) if user is not None and user.enabled else None
    known = token.digest if token is not None else digest("")
    if not secrets.compare_digest(known, digest(secret)) or user is None or token is None:
        return None
    if token.expires and now >= token.expires:
        return None
    limits = () if name == ROOT else (user.grants,)
    return Identity(full, limits if token.grants is None else (*limits, token.grants))
