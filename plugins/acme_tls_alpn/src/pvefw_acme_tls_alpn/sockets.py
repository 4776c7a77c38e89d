"""Listening sockets: opened here, or handed over by systemd (sd_listen_fds(3))."""

import contextlib
import errno
import os
import socket
from collections.abc import Sequence

_FIRST_DESCRIPTOR = 3
_BACKLOG = 128


def opened(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """Listen on these addresses; on none of them where one cannot be had.

    :param addresses: none for all IPv4 and IPv6 addresses.
    :raises OSError: an address cannot be listened on; the text says why.
    """
    with contextlib.ExitStack() as failed:
        found = [
            failed.enter_context(_listen(address, port))
            for address in addresses or _all_addresses()
        ]
        failed.pop_all()
    return found


def handed_over(name: str) -> list[socket.socket]:
    """The sockets of this name that systemd has passed to this process. The originals stay open.

    :raises OSError: there are none.
    """
    mine = os.environ.get("LISTEN_PID") == str(os.getpid())
    count = int(os.environ.get("LISTEN_FDS", "0")) if mine else 0
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    found = [
        socket.socket(fileno=os.dup(_FIRST_DESCRIPTOR + number))
        for number in range(count)
        if names[number : number + 1] == [name]
    ]
    if not found:
        raise OSError(
            f"systemd has handed no socket named {name} to this process; run it as the service "
            f"that has it (Sockets=, FileDescriptorName={name}), or remove the setting 'socket'"
        )
    return found


def _all_addresses() -> list[str]:
    return ["0.0.0.0", "::"] if _has_ipv6() else ["0.0.0.0"]  # noqa: S104 - the authority comes from anywhere


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind((address, port))
        one.listen(_BACKLOG)
    except OSError as error:
        one.close()
        raise OSError(_explanation(error, address, port)) from error
    return one


def _explanation(error: OSError, address: str, port: int) -> str:
    where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"{where} is in use by another program; let it hand validations over and set "
                "another port, as the plugin's README shows, or use http-01"
            )
        case errno.EACCES:
            return f"{where} may only be listened on by root; run as root, or set a port above 1023"
        case errno.EADDRNOTAVAIL:
            return f"{where}: this host does not have that address; change the setting 'listen'"
    return f"{where}: cannot listen: {error.strerror}"
