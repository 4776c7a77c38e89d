"""ACME accounts, one JSON file each, as Proxmox VE keeps them in ``/etc/pve/priv/acme``."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pvefw.core import causes
from pvefw.core.errors import ConfigError, NotFound
from pvefw.store import files, locks, pmxcfs, shared
from pvefw.store.paths import Paths
from pvefw.store.section_config import ID, check_id

_DEACTIVATED = "_deactivated_"
_OUR_KEY = "pvefw"
"""Our own key in the JSON. Proxmox VE does not look at it, but drops it when it updates the account."""


@dataclass(frozen=True)
class Account:
    """An account at an ACME authority."""

    name: str
    directory: str
    """The authority's directory URL."""
    location: str
    """The account's URL."""
    key: str = field(repr=False)
    """The private key, PEM."""
    account: Mapping[str, Any] = field(default_factory=dict)
    """The account object as the authority sent it (RFC 8555 section 7.1.2)."""
    tos: str = ""
    """URL of the terms that were agreed to."""
    ca_file: str = ""
    """Certificates to trust for a private authority; empty for the system's."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The whole file, so that what we do not know survives."""


def names(paths: Paths) -> list[str]:
    """The accounts that are there, deactivated ones left out.

    :raises StoreError: the directory cannot be read.
    """
    shared.look(paths.acme_dir)
    try:
        listed = [path.name for path in paths.acme_dir.iterdir() if path.is_file()]
    except FileNotFoundError:
        pmxcfs.check(paths.acme_dir)
        return []
    except OSError as error:
        raise files.failed("read", paths.acme_dir, error) from error
    return sorted(name for name in listed if ID.fullmatch(name))


def path(paths: Paths, name: str) -> Path:
    """Where an account is kept.

    :raises UsageError: the name is not one of an account.
    """
    check_id(name, "an account name")
    return paths.acme_dir / name


def load(paths: Paths, name: str) -> Account:
    """An account.

    :raises NotFound: there is none of this name; the hint lists those that are there.
    :raises ConfigError: its file is damaged.
    """
    file = path(paths, name)
    data = files.read_if_exists(file)
    if data is None:
        raise NotFound(
            f"there is no ACME account named {name}",
            hint=f"Accounts: {', '.join(names(paths)) or 'none'}. "
            f"Make one: pvefw acme account register {name} MAIL",
        )
    try:
        raw = files.parse_json(data)
        account = Account(
            name=name,
            directory=raw["directory"],
            location=raw["location"],
            key=raw["key"],
            account=raw.get("account") or {},
            tos=raw.get("tos") or "",
            ca_file=raw.get(_OUR_KEY, {}).get("ca-file", ""),
            raw=raw,
        )
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{file}: this is not an ACME account: {causes.damage(error)}") from error
    texts = (account.directory, account.location, account.key, account.tos, account.ca_file)
    if not all(isinstance(text, str) for text in texts) or not isinstance(account.account, dict):
        raise ConfigError(f"{file}: this is not an ACME account: a value is of the wrong type")
    return account


@contextlib.contextmanager
def lock(paths: Paths, name: str) -> Iterator[None]:
    """Hold an account's lock, the one that Proxmox VE's own tools take.

    :raises UsageError: the name is not one of an account.
    :raises Locked: another process or node is working on the account.
    """
    path(paths, name)
    with locks.cluster_lock(paths, f"acme-{name}"):
        yield


def save(paths: Paths, account: Account) -> None:
    """Write an account, private from its first byte; nothing is written where nothing changed."""
    raw = {**account.raw, "account": dict(account.account)}
    raw |= {"directory": account.directory, "key": account.key, "location": account.location}
    if account.tos != (raw.get("tos") or ""):
        raw["tos"] = account.tos
    ours = {**raw.pop(_OUR_KEY, {}), "ca-file": account.ca_file}
    if not account.ca_file:
        del ours["ca-file"]
    if ours:
        raw[_OUR_KEY] = ours
    file = path(paths, account.name)
    if raw == account.raw and file.exists():
        return
    files.replace(file, _rendered(raw), private=True)


def _rendered(raw: Mapping[str, Any]) -> bytes:
    """In the shape that Perl's JSON gives it, as Proxmox VE does."""
    text = json.dumps(raw, indent=3, separators=(",", " : "), sort_keys=True, ensure_ascii=False)
    return f"{text}\n".encode()


def retire(paths: Paths, name: str) -> str:
    """Rename a deactivated account's file to ``_deactivated_NAME_N``, the first N that is free.

    :returns: the new name.
    """
    number = 0
    while (paths.acme_dir / f"{_DEACTIVATED}{name}_{number}").exists():
        number += 1
    retired = f"{_DEACTIVATED}{name}_{number}"
    files.rename(path(paths, name), paths.acme_dir / retired)
    return retired
