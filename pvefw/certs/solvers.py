"""Who answers the challenges of an order: each name's configured plugin instance, bound."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

from pvefw import instances
from pvefw.acme import persist
from pvefw.acme.choice import Way
from pvefw.core.errors import ConfigError, PvefwError
from pvefw.core.families import CHALLENGE, DNS
from pvefw.instances import Instance
from pvefw.store import persistent_records
from pvefw.store.domains import DomainEntry
from pvefw.store.node import Node
from pvefw.store.plugin_sections import STANDALONE

if TYPE_CHECKING:
    from pvefw.acme.choice import Solver


def for_names(node: Node, entries: Sequence[DomainEntry]) -> dict[str, Sequence[Way]]:
    """The ways to validate each name, best first.

    Where a plugin is configured for a name, that is the only way. Names of one instance share their
    solver, and all names that are validated through DNS share one, so that every zone is changed once
    and waited for once.

    :raises NotFound: an instance is not configured.
    :raises ConfigError: it may not be used here, or a wildcard was given one that does not do DNS.
    :raises PluginError: its plugin is missing or broken.
    """
    return _Ways(node, entries).by_name()


class _Ways:
    def __init__(self, node: Node, entries: Sequence[DomainEntry]) -> None:
        self._node = node
        self._entries = entries
        self._standing = persist.Standing()
        self._kept = persistent_records.load(node.paths)
        self._bound: Callable[[str], Solver] = cache(self._bind)

    def by_name(self) -> dict[str, Sequence[Way]]:
        by_dns: dict[str, tuple[DomainEntry, Instance]] = {}
        for entry in self._entries:
            instance = self._dns_instance(entry)
            if instance is not None:
                by_dns[entry.name] = entry, instance
        solvers = _dns(self._node, by_dns.values()) if by_dns else {}
        return {
            entry.name: self._of(entry, solvers.get(entry.name), by_dns.get(entry.name))
            for entry in self._entries
        }

    def _dns_instance(self, entry: DomainEntry) -> Instance | None:
        """The instance that puts records of a name into DNS: its own, or else the only one there is."""
        if entry.challenge == persist.TYPE:
            return None
        if entry.chosen:
            instance = self._usable(entry)
            return instance if instance.family == DNS.name else None
        if entry.identifier.type == "ip":
            return None
        usable = [other for other in self._others(entry) if other.family == DNS.name]
        wanted = entry.name.startswith("*.") or entry.challenge.startswith("dns-")
        return usable[0] if wanted and len(usable) == 1 else None

    def _of(
        self,
        entry: DomainEntry,
        solver: "Solver | None",
        by_dns: tuple[DomainEntry, Instance] | None,
    ) -> Sequence[Way]:
        types = (entry.challenge,) if entry.challenge else ()
        if entry.challenge == persist.TYPE:
            return (self._persistent(),)
        if solver is not None and by_dns is not None and entry.chosen:
            return (Way(by_dns[1].id, lambda: solver, types),)
        if entry.chosen:
            _check_wildcard(entry)
            bound = self._bound(entry.plugin)
            return (Way(entry.plugin, lambda: bound, types),)
        ways = [self._persistent()] if self._has_record(entry.name) else []
        if not entry.name.startswith("*."):
            usable = [other.id for other in self._others(entry) if other.family == CHALLENGE.name]
            ids = sorted(usable, key=lambda id_: id_ != STANDALONE)
            ways += [Way(id_, partial(self._bound, id_), types) for id_ in ids]
        if solver is not None and by_dns is not None:
            ways.append(Way(by_dns[1].id, lambda: solver, types))
        if not ways:
            _check_wildcard(entry)
            self._usable(entry)
        if len(ways) == 1:
            ways[0].solver()  # what is wrong with it is said before an order is placed
        return ways

    def _persistent(self) -> Way:
        return Way("the persistent record", lambda: self._standing, (persist.TYPE,))

    def _has_record(self, name: str) -> bool:
        """Whether a record that was published or checked here is good for a name."""
        bare = name.removeprefix("*.")
        return any(
            (record.domain == name)
            or (record.wildcard and (bare == record.domain or bare.endswith(f".{record.domain}")))
            for record in self._kept
        )

    def _others(self, entry: DomainEntry) -> list[Instance]:
        """The instances that may be used here, whatever their names."""
        usable = []
        for instance in instances.load_all(self._node, CHALLENGE.name, DNS.name):
            try:
                instances.check_used(self._node, instance, entry.name)
            except PvefwError:
                continue  # disabled, or for other nodes: nothing that this host can do
            if not instance.problem:
                usable.append(instance)
        return usable

    def _usable(self, entry: DomainEntry) -> Instance:
        instance = instances.load(self._node, CHALLENGE.name, entry.plugin)
        instances.check_used(self._node, instance, entry.name)
        return instance

    def _bind(self, id_: str) -> "Solver":
        instance = instances.load(self._node, CHALLENGE.name, id_)
        instances.check_used(self._node, instance)
        solver: Solver = instances.bind(self._node, instance).hooks
        return solver


def _check_wildcard(entry: DomainEntry) -> None:
    if entry.name.startswith("*."):
        raise ConfigError(
            f"{entry.name}: a wildcard can only be validated through DNS, not by {entry.plugin}",
            hint=f"Assign a DNS instance: pvefw config set --{entry.where} {entry.name},plugin=ID",
        )


def _dns(node: Node, chosen: Iterable[tuple[DomainEntry, Instance]]) -> Mapping[str, "Solver"]:
    from pvefw.dns import solver  # it brings dnspython

    entries, configured = zip(*chosen, strict=True)
    return solver.for_names(node, list(entries), list(configured))
