"""dns-01 and dns-account-01: a challenge plugin made out of DNS plugins (RFC 8555 section 8.4,
draft-ietf-acme-dns-account-label-03).
"""

from collections.abc import Sequence
from dataclasses import replace

from pvefw import instances
from pvefw.core.errors import ConfigError, ProviderError
from pvefw.core.model import Challenge, Task
from pvefw.dns.publication import Publication, Route
from pvefw.dns.resolver import Resolver
from pvefw.dns.zones import Finder
from pvefw.host.clock import Clock, SystemClock
from pvefw.instances import Instance
from pvefw.store.domains import DomainEntry
from pvefw.store.node import Node
from pvefw.store.paths import Paths

_SAID = 5
"""How many records an error lists."""


class DnsSolver:
    """Answers the DNS challenges of an order, each name through its own plugin instance.

    One solver serves all names of an order, so that instances work in parallel and there is one wait:
    alias → zone → journal → one ``dns_add`` for each instance and zone → wait until all authoritative
    servers show everything; and at the end one ``dns_remove`` for each instance and zone.

    :param routes: every name, and how it is validated.
    :raises ConfigError: a wildcard and its base go different ways: they share one record name.
    """

    def __init__(
        self,
        paths: Paths,
        routes: Sequence[Route],
        resolver: Resolver,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._paths = paths
        self._routes = _by_base(routes)
        self._finder = Finder(resolver)
        self._clock = clock or SystemClock()
        self._publications: list[Publication] = []

    def challenge_types(self) -> Sequence[str]:
        """dns-01 first: delegations that are there were made for its record's name."""
        return ["dns-01", "dns-account-01"]

    def challenge_present(self, challenges: Sequence[Challenge], task: Task) -> None:
        """Add the records and wait until every authoritative server shows them.

        :raises ProviderError: a place was not found, a provider failed, or servers lag.
        :raises StoreError: the journal cannot be written; nothing was added.
        """
        values: dict[tuple[str, str], set[str]] = {}
        for challenge in challenges:
            values.setdefault((challenge.identifier.value, challenge.dns_label), set()).add(
                challenge.dns_value
            )
        wanted = [
            (replace(self._routes[base], label=label), frozenset(value))
            for (base, label), value in values.items()
        ]
        publication = Publication(self._paths, self._finder, self._clock)
        self._publications.append(publication)
        publication.locate(wanted, task)
        publication.add(task)
        publication.wait(task)

    def challenge_cleanup(
        self,
        challenges: Sequence[Challenge],  # noqa: ARG002 - publications know what they became
        task: Task,
    ) -> None:
        """Remove what :meth:`challenge_present` added, or may have added.

        :param challenges: those of :meth:`challenge_present`.
        :raises ProviderError: records are left; the journal keeps them for the next command.
        """
        left = [left for publication in self._publications for left in publication.remove(task)]
        if left:
            names = "; ".join(f"{leftover.entry}: {leftover.reason}" for leftover in left[:_SAID])
            more = f"; and {len(left) - _SAID} more" if len(left) > _SAID else ""
            raise ProviderError(
                f"DNS records are left behind: {names}{more}",
                hint="The next command tries again, and so does: pvefw dns cleanup",
            )


def for_names(
    node: Node, entries: Sequence[DomainEntry], chosen: Sequence[Instance]
) -> dict[str, DnsSolver]:
    """One solver for all these names, by name.

    :param chosen: the plugin instance of each entry, in the same order.
    :raises ConfigError: settings do not fit, no DNS server is known, or a wildcard and its base differ.
    :raises PluginError: a plugin is missing or broken.
    """
    configured = {instance.id: instance for instance in chosen}
    bound = {id_: instances.bind(node, instance) for id_, instance in configured.items()}
    routes = [
        Route(entry.name, bound[instance.id], entry.alias, float(instance.validation_delay))
        for entry, instance in zip(entries, chosen, strict=True)
    ]
    solver = DnsSolver(node.paths, routes, Resolver.configured(node))
    return dict.fromkeys((entry.name for entry in entries), solver)


def _by_base(routes: Sequence[Route]) -> dict[str, Route]:
    by_base: dict[str, Route] = {}
    for route in routes:
        base = route.domain.removeprefix("*.")
        other = by_base.setdefault(base, route)
        if (other.provider.name, other.alias) != (route.provider.name, route.alias):
            raise ConfigError(
                f"{other.domain} and {route.domain} share the record _acme-challenge.{base}, "
                "but have different plugins or aliases",
                hint="Give both the same plugin and alias.",
            )
    return by_base
