"""The names of a node's certificate, and who validates each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pvefw.core.errors import ConfigError
from pvefw.store import host_names, properties
from pvefw.store.node_config import parse_property_string
from pvefw.store.plugin_sections import STANDALONE

if TYPE_CHECKING:
    from pvefw.core.model import Identifier

CHALLENGE_TYPES = ("http-01", "dns-01", "tls-alpn-01", "dns-account-01", "dns-persist-01")
"""Those that core or a plugin of this project answers; another plugin may know more."""


@dataclass(frozen=True)
class DomainEntry:
    """One name of the certificate."""

    name: str
    """A-labels in lower case, perhaps with ``*.``; or an address."""
    plugin: str
    """The plugin instance's id."""
    alias: str
    """Where its dns-01 record is put instead; empty for nowhere else."""
    where: str
    """The property that names it."""
    challenge: str = ""
    """The only type of challenge to answer; empty for any that fits."""
    chosen: bool = True
    """Whether the plugin is said; else ``plugin`` is only the usual one."""

    @property
    def identifier(self) -> "Identifier":
        """The name as it is in an order."""
        from pvefw.core.model import Identifier

        return Identifier("ip" if host_names.is_address(self.name) else "dns", self.name)


def entries(
    values: Mapping[str, str], what: str, command: str = "pvefw config set"
) -> list[DomainEntry]:
    """The names in a node's properties: those of ``acme``, then ``acmedomain0`` and so on.

    :param values: each in its format.
    :param what: names the configuration in errors.
    :param command: what changes it, for hints.
    :raises ConfigError: a name occurs twice, the message names both places.
    """
    keys = sorted(
        (key for key in values if properties.is_domain(key)), key=lambda key: int(key[10:])
    )
    listed = properties.split_names(acme(values).get("domains", ""))
    entries_ = [_entry({"domain": name}, "acme") for name in listed]
    entries_ += [_entry(parse_property_string(values[key], "domain"), key) for key in keys]
    seen: dict[str, str] = {}
    for entry in entries_:
        if entry.name in seen:
            raise _twice(entry, seen[entry.name], what, command)
        seen[entry.name] = entry.where
    return entries_


def _twice(entry: DomainEntry, first: str, what: str, command: str) -> ConfigError:
    if first == entry.where:  # only `acme` holds more than one name
        return ConfigError(
            f"{what}: {entry.name} is configured twice in {first}",
            hint=f"Set it again: {command} --acme VALUE",
        )
    return ConfigError(
        f"{what}: {entry.name} is configured twice: {first} and {entry.where}",
        hint=f"Remove one: {command} --delete {entry.where}",
    )


def acme(values: Mapping[str, str]) -> dict[str, str]:
    """The parts of the ``acme`` property: ``account``, ``domains``."""
    return parse_property_string(values.get("acme", ""))


def _entry(parts: Mapping[str, str], where: str) -> DomainEntry:
    alias = parts.get("alias", "")
    return DomainEntry(
        host_names.normal(parts["domain"]),
        parts.get("plugin", STANDALONE),
        host_names.normal(alias) if alias else "",
        where,
        parts.get("challenge", ""),
        "plugin" in parts,
    )
