"""Who answers the challenges of an order: each name's configured plugin instance, bound."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from pvefw import instances
from pvefw.core.errors import ConfigError
from pvefw.core.families import CHALLENGE
from pvefw.core.hookspecs.challenge import ChallengeSpec
from pvefw.instances import Instance
from pvefw.store.domains import DomainEntry
from pvefw.store.node import Node

if TYPE_CHECKING:
    from pvefw.acme.order import Solver


def for_names(node: Node, entries: Sequence[DomainEntry]) -> dict[str, "Solver"]:
    """A solver for every name.

    Names of one instance share their solver, and all names that are validated through DNS share one, so
    that every zone is changed once and waited for once.

    :raises NotFound: an instance is not configured.
    :raises ConfigError: it may not be used here, or a wildcard was given one that does not do DNS.
    :raises PluginError: its plugin is missing or broken.
    """
    chosen = {one.plugin: _usable(node, one) for one in entries}
    by_dns = [one for one in entries if chosen[one.plugin].family == "dns"]
    found: dict[str, Solver] = {}
    if by_dns:
        found |= _dns(node, by_dns, [chosen[one.plugin] for one in by_dns])
    bound = cache(lambda id_: _challenge(node, chosen[id_]))
    for one in entries:
        if one.name not in found:
            _check_wildcard(one)
            found[one.name] = bound(one.plugin)
    return found


def _usable(node: Node, entry: DomainEntry) -> Instance:
    instance = instances.load(node, CHALLENGE.name, entry.plugin)
    instances.check_used(node, instance, entry.name)
    return instance


def _challenge(node: Node, instance: Instance) -> ChallengeSpec:
    hooks: ChallengeSpec = instances.bind(node, instance).hooks
    return hooks


def _check_wildcard(entry: DomainEntry) -> None:
    if entry.name.startswith("*."):
        raise ConfigError(
            f"{entry.name}: a wildcard can only be validated through DNS, not by {entry.plugin}",
            hint=f"Give it a dns plugin: pvefw config set --{entry.where} {entry.name},plugin=ID",
        )


def _dns(
    node: Node, entries: Iterable[DomainEntry], chosen: Iterable[Instance]
) -> Mapping[str, "Solver"]:
    from pvefw.dns import solver  # it brings dnspython

    return solver.for_names(node, list(entries), list(chosen))
