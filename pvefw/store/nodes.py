"""The nodes of the cluster, and where each is found."""

from collections.abc import Mapping
from typing import Any

from pvefw.core.errors import NotFound
from pvefw.host.concurrency import DidNotReturn, call_within
from pvefw.store import files, pmxcfs, shared
from pvefw.store.paths import Paths

_SECONDS = 10.0
"""How long a name may take to resolve: the resolver's own limit is half a minute or more."""


def names(paths: Paths) -> list[str]:
    """Every node that has a directory, in order.

    :raises StoreError: the directories cannot be listed.
    """
    shared.look(paths.nodes)
    try:
        return sorted(path.name for path in paths.nodes.iterdir() if path.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        pmxcfs.check(paths.nodes)
        return []
    except OSError as error:
        raise files.failed("read", paths.nodes, error) from error


def check_known(paths: Paths, node: str, what: str) -> None:
    """Make sure that there is a node of this name.

    :param what: the command, for the message.
    :raises NotFound: there is none; those that are known are named.
    :raises UsageError: it cannot be the name of a node.
    """
    if not files.exists(paths.node_dir(node)):
        known = ", ".join(names(paths)) or "none"
        raise NotFound(
            f"{what}: {node}: there is no such node", hint=f"Nodes of this cluster: {known}."
        )


def address(paths: Paths, node: str) -> str:
    """A node's address: the cluster file system's, else what its name resolves to.

    :raises NotFound: nobody knows it.
    """
    known = _member(paths, node).get("ip")
    if known:
        return str(known)
    import socket  # only where pmxcfs names no address

    try:
        answers = call_within(
            lambda: socket.getaddrinfo(node, None, type=socket.SOCK_STREAM),
            _SECONDS,
            f"find {node}",
        )
    except (OSError, UnicodeError, DidNotReturn) as error:
        why = "the name does not resolve"
        if isinstance(error, DidNotReturn):
            why = f"no name server answers within {_SECONDS:g} seconds"
        raise NotFound(
            f"{node}: its address is not known: {paths.members} does not name it, and {why}",
            hint="Enter it in /etc/hosts, or give --address.",
        ) from error
    return str(answers[0][4][0])


def _member(paths: Paths, node: str) -> Mapping[str, Any]:
    """What pmxcfs says of a node; nothing where it says nothing that can be understood."""
    try:
        member: Mapping[str, Any] = files.read_object(paths.members)["nodelist"][node]
    except (KeyError, TypeError):
        return {}
    return member if isinstance(member, dict) else {}
