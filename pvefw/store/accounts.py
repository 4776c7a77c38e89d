"""ACME accounts, one JSON file each, as Proxmox VE keeps them in ``/etc/pve/priv/acme``."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pvefw.errors import ConfigError, NotFound, UsageError
from pvefw.store import files
from pvefw.store.paths import Paths

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]*")
_DEACTIVATED = "_deactivated_"
_OUR_KEY = "pvefw"
"""One key of our own in the JSON; Proxmox VE keeps it and does not look at it."""


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
    """The accounts that are there, deactivated ones left out."""
    try:
        found = [path.name for path in paths.acme_dir.iterdir() if path.is_file()]
    except FileNotFoundError:
        return []
    return sorted(name for name in found if _NAME.fullmatch(name))


def path(paths: Paths, name: str) -> Path:
    """Where an account is kept.

    :raises UsageError: the name is not one of an account.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' is not an account name",
            hint="Letters, digits, '-' and '_', beginning with a letter.",
        )
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
        raw = json.loads(data)
        return Account(
            name=name,
            directory=raw["directory"],
            location=raw["location"],
            key=raw["key"],
            account=raw.get("account", {}),
            tos=raw.get("tos") or "",
            ca_file=raw.get(_OUR_KEY, {}).get("ca-file", ""),
            raw=raw,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{file}: this is not an ACME account: {error}") from error


def save(paths: Paths, account: Account) -> None:
    """Write an account, private from its first byte."""
    raw = {
        **account.raw,
        "account": dict(account.account),
        "directory": account.directory,
        "key": account.key,
        "location": account.location,
    }
    if account.tos:
        raw["tos"] = account.tos
    if account.ca_file:
        raw[_OUR_KEY] = {**raw.get(_OUR_KEY, {}), "ca-file": account.ca_file}
    data = json.dumps(raw, indent=3, sort_keys=True, ensure_ascii=False) + "\n"
    files.replace(path(paths, account.name), data.encode(), private=True)


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
