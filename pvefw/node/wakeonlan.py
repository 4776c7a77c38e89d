"""Wake-on-LAN: the magic packet that starts another node, and waiting until it is there.

The packet is six bytes of ones and then the card's address sixteen times (AMD, "Magic Packet
Technology", publication 20213), in a UDP datagram to port 9, to everybody in the network.
"""

import errno
import fcntl
import socket
import struct
import threading
from dataclasses import dataclass

from pvefw.core.errors import NotFound, PvefwError, UsageError
from pvefw.host.clock import Clock
from pvefw.host.network import answers
from pvefw.store import nodes
from pvefw.store.node import Node
from pvefw.store.node_config import parse_property_string
from pvefw.store.paths import Paths

PORT = 9
_EVERYBODY = "255.255.255.255"
_CONNECT_SECONDS = 2.0
_BETWEEN = 0.5
_KEY = "wakeonlan"
_SIOCGIFFLAGS, _IFF_UP = 0x8913, 0x1


@dataclass(frozen=True)
class MagicPacket:
    """Who is to be woken, and from where."""

    node: str
    mac: str
    broadcast: str = _EVERYBODY
    interface: str = ""
    """The interface that the packet leaves through; empty for that of the route."""

    @property
    def packet(self) -> bytes:
        """The 102 bytes."""
        return b"\xff" * 6 + bytes.fromhex(self.mac.replace(":", "")) * 16


def prepare(paths: Paths, node: str) -> MagicPacket:
    """Find out how a node is woken: its own MAC, and this node's interface and broadcast address.

    :raises UsageError: it is this node, or no name of a node.
    :raises NotFound: there is no such node, or its MAC is not configured.
    :raises StoreError: one of the two configurations cannot be read.
    """
    try:
        nodes.check_known(paths, node, "wakeonlan")
    except NotFound as error:
        error.hint += f" To add it: pvefw --node {node} config set --wakeonlan MAC"
        raise
    if node == paths.node:
        raise UsageError(
            f"wakeonlan: {node}: this is the node itself", hint="It is awake; name another one."
        )
    theirs = Node.open(Paths(paths.root, node)).get(_KEY)
    if not theirs:
        raise NotFound(
            f"wakeonlan: {node}: its MAC address is not configured",
            hint=f"Set it: pvefw --node {node} config set --wakeonlan MAC",
        )
    ours = parse_property_string(Node.open(paths).get(_KEY), "mac")
    return MagicPacket(
        node,
        parse_property_string(theirs, "mac")["mac"],
        ours.get("broadcast-address", _EVERYBODY),
        ours.get("bind-interface", ""),
    )


def send(magic: MagicPacket) -> None:
    """Send the packet. Nobody can tell whether it arrived.

    :raises PvefwError: it could not be sent.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if magic.interface:
                name = magic.interface.encode()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
            sock.sendto(magic.packet, (magic.broadcast, PORT))
    except OSError as error:
        through = f" through {magic.interface}" if magic.interface else ""
        raise PvefwError(
            f"wakeonlan: {magic.node}: the packet could not be sent to {magic.broadcast}{through}: "
            f"{error.strerror or error}",
            hint=_hint(magic, error.errno or 0),
        ) from error


def _hint(magic: MagicPacket, number: int) -> str:
    """What to do; a route that is missing through an interface that is set has other reasons."""
    if magic.interface and number in (errno.ENETUNREACH, errno.ENETDOWN):
        if not _is_up(magic.interface):
            return f"{magic.interface} is down. Bring it up: ip link set dev {magic.interface} up"
        return (
            f"{magic.interface} has no route to {magic.broadcast}: set another broadcast-address."
        )
    return _HINTS.get(number, "")


def _is_up(interface: str) -> bool:
    """Whether an interface is up, by its flags (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", interface.encode(), 0)
        try:
            answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, request)
        except OSError:
            return False
    return bool(struct.unpack("16sH14x", answer)[1] & _IFF_UP)


_HINTS = {
    errno.ENODEV: "There is no such interface here; correct bind-interface of this node's wakeonlan.",
    errno.ENETUNREACH: "No route leads there; set bind-interface of this node's wakeonlan.",
    errno.EPERM: "Run the command as root.",
}


def wait(host: str, port: int, seconds: float, clock: Clock) -> float | None:
    """Wait until somebody accepts a TCP connection.

    :param host: a name or an address.
    :param seconds: for how long at most.
    :returns: the seconds that it took, or ``None`` where nobody did in time.
    """
    begin = clock.monotonic()
    never = threading.Event()
    while (left := seconds - (clock.monotonic() - begin)) > 0:
        if answers(host, port, timeout=min(left, _CONNECT_SECONDS)):
            return clock.monotonic() - begin
        clock.wait(never, min(_BETWEEN, left))
    return None
