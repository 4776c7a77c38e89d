"""Who answers the challenges of an order: each name's configured plugin instance, bound."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from pvefw.core import plugins
from pvefw.core.errors import ConfigError
from pvefw.core.hookspecs.challenge import CHALLENGE, ChallengeSpec
from pvefw.store import plugin_config
from pvefw.store.domains import DomainEntry
from pvefw.store.paths import Paths
from pvefw.store.plugin_config import PluginInstance

if TYPE_CHECKING:
    from pvefw.acme.order import Solver


def for_names(paths: Paths, entries: Sequence[DomainEntry]) -> dict[str, "Solver"]:
    """A solver for every name.

    Names of one instance share their solver, and all names that are validated through DNS share one, so
    that every zone is changed once and waited for once.

    :raises NotFound: an instance is not configured.
    :raises ConfigError: it may not be used here, or a wildcard was given one that does not do DNS.
    :raises PluginError: its plugin is missing or broken.
    """
    instances = {one.plugin: _usable(paths, one) for one in entries}
    by_dns = [one for one in entries if instances[one.plugin].type == "dns"]
    found: dict[str, Solver] = {}
    if by_dns:
        found |= _dns(paths, by_dns, [instances[one.plugin] for one in by_dns])
    bound = cache(lambda id_: _challenge(instances[id_]))
    for one in entries:
        if one.name not in found:
            _check_wildcard(one)
            found[one.name] = bound(one.plugin)
    return found


def _usable(paths: Paths, entry: DomainEntry) -> PluginInstance:
    instance = plugin_config.load(paths, entry.plugin)
    if instance.disable:
        raise ConfigError(
            f"{entry.name}: the plugin instance {instance.id} is disabled",
            hint=f"Enable it: pvefw acme plugin set {instance.id} --delete disable",
        )
    if instance.nodes and paths.node not in instance.nodes:
        raise ConfigError(
            f"{entry.name}: the plugin instance {instance.id} is not for node {paths.node}",
            hint=f"It is for {', '.join(instance.nodes)}; change that with: "
            f"pvefw acme plugin set {instance.id} --nodes …",
        )
    return instance


def _challenge(instance: PluginInstance) -> ChallengeSpec:
    hooks: ChallengeSpec = plugins.bind(
        CHALLENGE, instance.api, instance.data, instance=instance.id
    ).hooks
    return hooks


def _check_wildcard(entry: DomainEntry) -> None:
    if entry.name.startswith("*."):
        raise ConfigError(
            f"{entry.name}: a wildcard can only be validated through DNS, not by {entry.plugin}",
            hint=f"Give it a dns plugin: pvefw config set --{entry.where} {entry.name},plugin=ID",
        )


def _dns(
    paths: Paths, entries: Iterable[DomainEntry], instances: Iterable[PluginInstance]
) -> Mapping[str, "Solver"]:
    from pvefw.dns import solver  # it brings dnspython

    return solver.for_names(paths, list(entries), list(instances))
