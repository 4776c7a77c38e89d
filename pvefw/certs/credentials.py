"""When the credentials of the DNS instances end that this node's certificates are validated with."""

from collections.abc import Mapping
from datetime import datetime

from pvefw import instances
from pvefw.core.errors import PvefwError
from pvefw.core.families import DNS
from pvefw.dns import instances as dns_instances
from pvefw.store import certificates
from pvefw.store.node import Node


def ends(node: Node) -> Mapping[str, datetime]:
    """By instance, the end of its credentials; those that do not end, or do not say so, are left out.

    An instance that cannot be bound is left out, too: the renewal says so, and `plugin doctor`.
    """
    used = certificates.used_instances(node)
    end_of: dict[str, datetime] = {}
    for instance in instances.load_all(node, DNS.name):
        if instance.id not in used:
            continue
        try:
            end = dns_instances.bind(node, instance.id).hooks.dns_credentials_end()
        except PvefwError:
            continue
        if end is not None:
            end_of[instance.id] = end
    return end_of
