"""A host that got another name: what it had is that of another node now, and nobody renews it."""

from pvefw.store import files, nodes, pmxcfs, shared
from pvefw.store.node import Node


def problems(node: Node) -> list[str]:
    """A sentence where nothing is known of this node, and something of others that nobody shares with it.

    :raises StoreError: the directories cannot be listed.
    """
    paths = node.paths
    if pmxcfs.is_mounted(paths.root) or shared.of(paths.nodes) is not None:
        return []  # the others look after themselves
    if files.exists(paths.node_dir()):
        return []
    left = [
        name
        for name in nodes.names(paths)
        if files.exists(paths.node_config(name)) or files.exists(paths.node_pvefw_cfg(name))
    ]
    if not left:
        return []
    others, former, own = ", ".join(left), paths.node_dir(left[0]), paths.node_dir()
    sentence = (
        f"nothing is set for node {paths.node}, but for {others}: if this host has got another name, its "
        f"certificates are not renewed any more; give it the old one again, or rename {former}: see "
        f"docs/backup.md; if it has not: mkdir {own}"
    )
    return [sentence]
