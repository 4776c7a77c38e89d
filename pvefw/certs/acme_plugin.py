"""What only instances that answer challenges have: names that use them, and logins."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from pvefw import instances
from pvefw.core.errors import PvefwError, UsageError
from pvefw.core.families import DNS
from pvefw.core.model import Task
from pvefw.dns import instances as dns_instances
from pvefw.dns import journal, names
from pvefw.instances import Instance
from pvefw.store import node_settings, nodes
from pvefw.store.node import Node
from pvefw.store.paths import Paths


def remove(paths: Paths, id_: str, *, expected_digest: str | None = None) -> None:
    """Remove an instance that no name uses.

    :raises UsageError: it is the one that always exists, a name of a node uses it, or records that it
        added are still in DNS.
    """
    if id_ == instances.STANDALONE:
        raise UsageError(
            f"acme plugin remove: {id_} always exists",
            hint=f"Set it back to its defaults: pvefw acme plugin set {id_} --delete data",
        )
    users = _users(Node.open(paths), id_)
    if users:
        raise UsageError(
            f"acme plugin remove: {id_} validates {', '.join(users)}",
            hint="Give these names another plugin first.",
        )
    left = journal.open_entries(paths, id_)
    if left:
        raise UsageError(
            f"acme plugin remove: {id_} may still have {left[0]} to remove",
            hint="Remove it: pvefw dns cleanup. If it was deleted by hand: "
            f"pvefw dns cleanup --forget {id_}",
        )
    instances.remove(paths, DNS.name, id_, expected_digest=expected_digest)


def _users(node: Node, id_: str) -> list[str]:
    """The names that an instance validates: those of this node, then those of others."""
    users = node_settings.names_of(node, id_)
    for other in nodes.names(node.paths):
        if other != node.name:
            with contextlib.suppress(PvefwError):  # what cannot be read must not keep it for ever
                theirs = node_settings.names_of(node.neighbour(other), id_)
                users += [f"{user} (node {other})" for user in theirs]
    return users


def login(paths: Paths, id_: str, zones: Sequence[str], task: Task) -> None:
    """Let an instance's plugin get its credentials from a person, and store them.

    :param zones: those that the credentials are to be limited to, as people write them; empty for all.
    :raises UsageError: the plugin needs no login, or cannot limit it to zones.
    :raises ConfigError: a zone is not a domain name.
    :raises ProviderError: the person refused, or the provider failed.
    """
    absolute = [names.absolute(zone) for zone in zones]
    bound = dns_instances.bind(Node.open(paths), id_)
    if "dns_login" not in bound.implemented:
        raise UsageError(f"acme plugin login: the plugin of {id_} needs no login")
    if absolute and not bound.takes("dns_login", "zones"):
        raise UsageError(
            f"acme plugin login: the plugin of {id_} cannot limit its credentials to zones",
            hint="Leave --zone out.",
        )
    credentials = bound.hooks.dns_login(task=task, zones=absolute)
    if not credentials:
        raise UsageError(f"acme plugin login: the plugin of {id_} needs no login")

    def logged_in(instance: Instance) -> Instance:
        settings = {**instance.settings, **credentials}
        return replace(instance, settings={key: value for key, value in settings.items() if value})

    instances.change(paths, DNS.name, id_, logged_in)
    task.log(f"Stored {', '.join(key for key, value in credentials.items() if value)} in {id_}")
