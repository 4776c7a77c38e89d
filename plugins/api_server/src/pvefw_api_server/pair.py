"""The certificate that is served, with its key: from root's files to a front that cannot read them.

The pair travels as one sealed memfd (memfd_create(2)), so nothing of it is ever in a file of the front's.
"""

import fcntl
import os
import select
import socket
from pathlib import Path

from pvefw.store import files
from pvefw.store.paths import Paths
from pvefw_api_server import wire

_LOOK = 500
"""Milliseconds between two looks at the files. pmxcfs reports no changes that other nodes make."""
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def hand_over(connection: socket.socket, paths: Paths) -> None:
    """Send the pair, and again whenever it changes, until the front has gone."""
    sent: object = ""
    gone = select.poll()
    gone.register(connection, select.POLLIN | select.POLLHUP)
    while True:
        chosen = _files(paths)
        stamp = _stamp(chosen)
        if stamp != sent and _send(connection, chosen, stamp):
            sent = stamp
        if gone.poll(_LOOK):
            return


def _files(paths: Paths) -> tuple[Path, Path]:
    """The certificate of the node's services and its key, else those of the cluster's authority."""
    own = (paths.proxy_certificate, paths.proxy_key)
    return own if all(map(files.exists, own)) else (paths.node_certificate, paths.node_key)


def _stamp(chosen: tuple[Path, Path]) -> object:
    """What changes when one of the two files does; ``None`` where one is missing."""
    try:
        stats = [(path, path.stat()) for path in chosen]
    except OSError:
        return None
    return [(path, stat.st_ino, stat.st_mtime_ns, stat.st_size) for path, stat in stats]


def _send(connection: socket.socket, chosen: tuple[Path, Path], stamp: object) -> bool:
    """Send both files as they are at one moment.

    :param stamp: what they had when they were chosen.
    :returns: whether they were; one that was replaced meanwhile is looked at again.
    """
    contents = [files.read_if_exists(path) for path in chosen]
    if stamp != _stamp(chosen):
        return False
    if None in contents:
        connection.sendall(wire.MISSING)
        return True
    descriptor = os.memfd_create("pair", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(b"\n".join(content for content in contents if content))
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        socket.send_fds(connection, [wire.FOUND], [descriptor])
    finally:
        os.close(descriptor)
    return True
