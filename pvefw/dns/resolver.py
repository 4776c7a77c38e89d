"""Asking DNS servers: recursive ones for where things are, authoritative ones for what they say."""

import ipaddress
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from pvefw.core import causes
from pvefw.core.errors import ConfigError, Unavailable
from pvefw.host.clock import Clock, SystemClock
from pvefw.store import files
from pvefw.store.node import Node
from pvefw.store.paths import Paths

DNS_PORT = 53
_SECONDS = 2.0
"""How long a server may take for an answer."""
_ROUNDS = 2
"""How often each recursive server is asked before giving up: UDP packets get lost."""
_WINDOW = 50
"""Questions on their way to one server at once; more would overflow small receive buffers."""
_LARGEST = 65535
_NAME_OTHERS = "pvefw config set --resolvers IP,IP"


@dataclass(frozen=True, order=True)
class Server:
    """One address that answers DNS."""

    address: str
    port: int = DNS_PORT
    name: str = field(default="", compare=False)
    """The name server's name, where it is known; for messages."""

    def __str__(self) -> str:
        where = self.address if self.port == DNS_PORT else f"{self.address} port {self.port}"
        return f"{self.name.removesuffix('.')} ({where})" if self.name else where


class NoAnswer(Exception):
    """A server could not be asked or did not answer; the text says why."""


class NoRoute(NoAnswer):
    """This host has no way to the server's address family or network."""


class Resolver:
    """Asks recursive servers, one after the other, and authoritative servers directly.

    Domains that are being validated are asked for at the recursive servers, but never the names of
    their TXT records: a resolver that the authority shares would remember that they do not exist.

    :param servers: the recursive ones.
    :param authority_port: where authoritative servers listen; 53 but for tests.
    :param ports: other ports for single addresses.
    :param watch: whether authoritative servers, as seen from here, show what an authority would see.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        authority_port: int = DNS_PORT,
        ports: Mapping[str, int] | None = None,
        watch: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self.servers = tuple(servers)
        self._authority_port = authority_port
        self._ports = ports or {}
        self.watch = watch
        self._clock = clock or SystemClock()
        self._advice = "Check /etc/resolv.conf, or name other servers: " + _NAME_OTHERS

    @classmethod
    def configured(cls, node: Node) -> "Resolver":
        """The one of this node: as ``pvefw.cfg`` says, else with the system's servers.

        :raises ConfigError: neither names a server, or one that is not an address.
        """
        given = node.get("resolvers")
        servers = parse_servers(given) if given else _system_servers(node.paths)
        port = int(node.get("authority-port", str(DNS_PORT)))
        resolver = cls(servers, authority_port=port, watch=node.get("dns-watch") != "0")
        if given:
            resolver._advice = (
                f"They come from the property `resolvers`; name others: {_NAME_OTHERS}"
            )
        return resolver

    def authority(self, name: str, address: str) -> Server:
        """An authoritative server, by name and address."""
        return Server(address, self._ports.get(address, self._authority_port), name)

    def ask(self, name: str, kind: str) -> dns.message.Message:
        """What the recursive servers say: an answer, or that there is none (NXDOMAIN included).

        :param name: absolute.
        :param kind: ``SOA``, ``A`` …
        :raises Unavailable: none of them gave an answer; the message has what each did instead.
        """
        reasons: dict[Server, str] = {}
        for server in self.servers * _ROUNDS:
            reply = self.exchange(server, [question(name, kind, recursive=True)])[0]
            if isinstance(reply, NoAnswer):
                reasons[server] = str(reply)
            elif reply.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                return reply
            else:
                reasons[server] = f"answers {dns.rcode.to_text(reply.rcode())}"
        failures = "; ".join(f"{server}: {reason}" for server, reason in reasons.items())
        raise Unavailable(
            f"DNS: {kind} of {name} cannot be looked up: {failures}", hint=self._advice
        )

    def exchange(
        self, server: Server, questions: Sequence[dns.message.Message], seconds: float = _SECONDS
    ) -> list[dns.message.Message | NoAnswer]:
        """Ask one server several things at once: over UDP, then TCP what did not come or did not fit.

        :param seconds: how long it may take, for UDP and again for TCP.
        :returns: for each question, in their order, the answer or why there is none.
        """
        replies: list[dns.message.Message | NoAnswer] = []
        for start in range(0, len(questions), _WINDOW):
            replies += self._exchange(server, questions[start : start + _WINDOW], seconds)
        return replies

    def _exchange(
        self, server: Server, questions: Sequence[dns.message.Message], seconds: float
    ) -> list[dns.message.Message | NoAnswer]:
        for query, id_ in zip(questions, _ids(len(questions)), strict=True):
            query.id = id_
        try:
            replies = self._over_udp(server, questions, seconds)
        except NoRoute as error:
            return [error] * len(questions)
        deadline = self._clock.monotonic() + seconds
        answers: list[dns.message.Message | NoAnswer] = []
        for query in questions:
            reply = replies.get(query.id)
            if reply is not None and not reply.flags & dns.flags.TC:
                answers.append(reply)
            else:
                answers.append(_over_tcp(server, query, deadline - self._clock.monotonic()))
        return answers

    def _over_udp(
        self, server: Server, questions: Sequence[dns.message.Message], seconds: float
    ) -> dict[int, dns.message.Message]:
        """The answers that came, by the question's id."""
        waiting = {query.id: query for query in questions}
        replies: dict[int, dns.message.Message] = {}
        deadline = self._clock.monotonic() + seconds
        with _connected(server) as sock:
            try:
                for query in questions:
                    sock.send(query.to_wire())
                while waiting and (left := deadline - self._clock.monotonic()) > 0:
                    sock.settimeout(left)
                    reply = _parse(sock.recv(_LARGEST))
                    asked = waiting.get(reply.id) if reply else None
                    if reply and asked and asked.is_response(reply):
                        replies[reply.id] = reply
                        del waiting[reply.id]
            except OSError:
                pass  # too late, or the port is closed: TCP says more
        return replies


def question(name: str, kind: str, *, recursive: bool = False) -> dns.message.Message:
    """A question; without EDNS, which some middle boxes still drop: what is too long comes over TCP."""
    flags = dns.flags.RD if recursive else 0
    return dns.message.make_query(name, kind, flags=flags)


def _ids(count: int) -> list[int]:
    """Different message ids that nobody can guess."""
    return secrets.SystemRandom().sample(range(0x10000), count)


def _connected(server: Server) -> socket.socket:
    """A socket that hears only this server; it is told of closed ports by ICMP.

    :raises NoRoute: there is no way to the address.
    """
    family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        raise NoRoute(error.strerror) from error
    try:
        sock.connect((server.address, server.port))
    except OSError as error:
        sock.close()
        raise NoRoute(error.strerror) from error
    return sock


def _parse(data: bytes) -> dns.message.Message | None:
    try:
        return dns.message.from_wire(data)
    except dns.exception.DNSException:
        return None  # rubbish; the answer may still come


def _over_tcp(
    server: Server, asked: dns.message.Message, seconds: float
) -> dns.message.Message | NoAnswer:
    try:
        return dns.query.tcp(asked, server.address, timeout=max(seconds, 0.0), port=server.port)
    except dns.exception.Timeout:
        return NoAnswer("no answer in time")
    except EOFError:
        return NoAnswer("the connection was closed without an answer")
    except OSError as error:
        return NoAnswer(causes.of(error))
    except dns.exception.DNSException as error:
        return NoAnswer(f"its answer makes no sense: {error}")


# --- which servers ------------------------------------------------------------------------------


def parse_servers(text: str) -> list[Server]:
    """``192.0.2.1,192.0.2.2:5353,[2001:db8::1]:53`` as servers.

    :raises ConfigError: one of them is not an address and port.
    """
    return [_server(part.strip()) for part in text.split(",") if part.strip()]


def _server(text: str) -> Server:
    host, port = text, str(DNS_PORT)
    if text.startswith("[") or text.count(":") == 1:
        host, _, port = text.rpartition(":") if not text.endswith("]") else (text, "", port)
    host = host.removeprefix("[").removesuffix("]")
    try:
        return Server(str(ipaddress.ip_address(host)), int(port))
    except ValueError as error:
        raise ConfigError(
            f"resolvers: '{text}' is not IP or IP:PORT", hint="An IPv6 one: [2001:db8::1]:53"
        ) from error


def _system_servers(paths: Paths) -> list[Server]:
    """Those of resolv.conf(5)."""
    path = paths.below("etc/resolv.conf")
    text = (files.read_if_exists(path) or b"").decode(errors="replace")
    words = [line.split() for line in text.splitlines()]
    servers = [Server(word[1]) for word in words if len(word) > 1 and word[0] == "nameserver"]
    if not servers:
        raise ConfigError(
            f"{path} names no DNS server",
            hint="Add one there, or: pvefw config set --resolvers IP,IP",
        )
    return servers
