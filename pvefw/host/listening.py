"""TCP ports that are listened on: opened on all addresses or on none, and what is in the way.

``socket`` is only imported where one is opened: plugins import this with the rest of the API.
"""

import contextlib
import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pvefw.host.port_owner import owner

if TYPE_CHECKING:
    import socket

_BACKLOG = 128


def listen(addresses: Sequence[str], port: int, otherwise: str) -> "list[socket.socket]":
    """Listen on these addresses; on none of them where one cannot be had. Since 1.1.

    :param addresses: IPv4 and IPv6; none for all that this host has.
    :param otherwise: what to do where another program has the port, for the message: ``stop it, or set
        another port``.
    :raises OSError: an address cannot be listened on; the text says which, why, and what to do.
    """
    with contextlib.ExitStack() as failed:
        sockets = [
            failed.enter_context(_listening(address, port, otherwise))
            for address in addresses or _all_addresses()
        ]
        failed.pop_all()
    return sockets


def _all_addresses() -> list[str]:
    return ["0.0.0.0", "::"] if _has_ipv6() else ["0.0.0.0"]  # noqa: S104 - the authority comes from anywhere


def _has_ipv6() -> bool:
    import socket

    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _listening(address: str, port: int, otherwise: str) -> "socket.socket":
    import socket

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # inherited by each connection: an answer in two pieces must not wait for an acknowledgement
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(_explanation(error, address, port, otherwise)) from error
    return listener


def _explanation(error: OSError, address: str, port: int, otherwise: str) -> str:
    where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    match error.errno:
        case errno.EADDRINUSE:
            return f"{where} is in use by {owner(port)}; {otherwise}"
        case errno.EACCES:
            return f"{where} may only be listened on by root; run as root, or set a port above 1023"
        case errno.EADDRNOTAVAIL:
            return f"{where}: this host does not have that address; change the setting 'listen'"
    return f"{where}: cannot listen: {error.strerror}"
