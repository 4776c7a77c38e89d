"""Listening sockets that systemd hands over (sd_listen_fds(3))."""

import os
import socket

_FIRST_DESCRIPTOR = 3


def handed_over(name: str) -> list[socket.socket]:
    """The sockets of this name that systemd has passed to this process. The originals stay open.

    :raises OSError: there are none.
    """
    mine = os.environ.get("LISTEN_PID") == str(os.getpid())
    count = int(os.environ.get("LISTEN_FDS", "0")) if mine else 0
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    sockets = [
        socket.socket(fileno=os.dup(_FIRST_DESCRIPTOR + number))
        for number in range(count)
        if names[number : number + 1] == [name]
    ]
    if not sockets:
        raise OSError(
            f"systemd has handed no socket named {name} to this process; run it as the service "
            f"that has it (Sockets=, FileDescriptorName={name}), or remove the setting 'socket'"
        )
    return sockets
