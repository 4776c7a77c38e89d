"""Which instances there are: read from the files, without a look at their plugins."""

from pvefw.core.errors import ConfigError, NotFound
from pvefw.instances import files
from pvefw.instances.codec import Instance
from pvefw.store import files as store_files
from pvefw.store.node import Node
from pvefw.store.plugin_sections import KINDS


def load_all(node: Node, *families: str) -> list[Instance]:
    """The instances of these families, disabled and damaged ones included.

    :raises ConfigError: a file is damaged beyond one section.
    """
    by_id: dict[str, Instance] = {}
    for family in families:
        by_id |= files.place(node, family).load()
    return [instance for instance in by_id.values() if instance.family in families]


def load_used(node: Node, family: str) -> list[Instance]:
    """The instances that this node uses.

    :raises ConfigError: as :func:`load_all`.
    """
    return [instance for instance in load_all(node, family) if instance.used_on(node.name)]


def load(node: Node, family: str, id_: str) -> Instance:
    """One instance of a family, or of one that shares its ids: challenge and dns do.

    :raises NotFound: there is none of this id; the hint lists those that exist.
    :raises ConfigError: a file is damaged beyond one section.
    """
    by_id, kind = files.place(node, family).load(), KINDS[family]
    if id_ not in by_id:
        known = f"There are: {', '.join(by_id)}." if by_id else "There is none yet."
        raise NotFound(
            f"there is no {kind.noun} {id_}", hint=f"{known} Add it: {kind.example(id_)}"
        )
    return by_id[id_]


def of_plugin(node: Node, family: str, plugin: str) -> Instance:
    """The instance that is named like a plugin, or one without settings where none is configured.

    :param family: one whose instances are named like their plugin.
    :raises ConfigError: a file is damaged beyond one section.
    """
    known = files.place(node, family).load()
    return known.get(plugin) or Instance(family, plugin, plugin)


def digest(node: Node, family: str) -> str:
    """What guards a change: SHA-1 of the family's files, as Proxmox VE shows it where it has the file."""
    return store_files.digest(files.place(node, family).data())


def set_command(instance: Instance) -> str:
    """The command that changes an instance, for hints."""
    return f"pvefw {instance.kind.command} set {instance.id}"


def check_used(node: Node, instance: Instance, subject: str = "") -> None:
    """Refuse an instance that this node does not use.

    :param subject: whom it was wanted for, for the message.
    :raises ConfigError: it is disabled, or for other nodes.
    """
    what = f"{subject}: the {instance.who}" if subject else f"the {instance.who}"
    if instance.disabled:
        raise ConfigError(
            f"{what} is disabled", hint=f"Enable it: {set_command(instance)} --delete disable"
        )
    if not instance.used_on(node.name):
        nodes = ",".join(instance.nodes)
        raise ConfigError(
            f"{what} is not for node {node.name}",
            hint=f"It is for {nodes}; add this node: "
            f"{set_command(instance)} --nodes {nodes},{node.name}",
        )
