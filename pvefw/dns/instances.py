"""Configured plugin instances of type ``dns``, by id."""

from pvefw import instances
from pvefw.core.binding import Bound
from pvefw.core.errors import UsageError
from pvefw.core.families import DNS
from pvefw.core.hookspecs.dns import DnsSpec
from pvefw.dns.publication import Route
from pvefw.instances import Instance
from pvefw.store.node import Node


def load(node: Node, id_: str) -> Instance:
    """An instance that does DNS.

    :raises NotFound: there is no such instance.
    :raises UsageError: it is not of type ``dns``.
    """
    instance = instances.load(node, DNS.name, id_)
    if instance.family != DNS.name:
        ids = [other.id for other in instances.load_all(node, DNS.name)]
        raise UsageError(
            f"{id_} is a {instance.type} instance, not a dns one",
            hint=f"Those of type dns: {', '.join(ids) or 'none'}.",
        )
    return instance


def bind(node: Node, id_: str) -> Bound[DnsSpec]:
    """An instance's hooks; a disabled one's, too: it may have something to remove.

    :raises PvefwError: as :func:`load` and :func:`pvefw.instances.bind`.
    """
    return instances.bind(node, load(node, id_))


def route(node: Node, id_: str, domain: str, alias: str = "") -> Route:
    """How an instance would validate a domain.

    :raises PvefwError: as :func:`bind`.
    """
    instance = load(node, id_)
    bound = instances.bind(node, instance)
    return Route(domain, bound, alias, float(instance.validation_delay))
