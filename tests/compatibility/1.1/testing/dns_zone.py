"""A DNS zone in this process: an authoritative name server that takes TXT records from a test.

It answers over UDP and TCP on one loopback port, as the name server of its zone and as the resolver that
pvefw and an ACME server ask::

    with dns_zone("example.test.") as zone:
        zone.add("_acme-challenge.www.example.test.", "value")
        assert zone.txt("_acme-challenge.www.example.test.") == {"value"}

Every name in the zone has the address 127.0.0.1. There are no other zones, no CNAMEs, no secondaries:
where they matter, test with a real server.
"""

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from pvefw.testing._serving import serving

ADDRESS = "127.0.0.1"
_TTL = 1
_LENGTH = 2
"""Bytes before a message over TCP (RFC 1035 section 4.2.2)."""
_ATTEMPTS = 100


@dataclass
class DnsZone:
    """A zone that is served."""

    name: str
    """Absolute: ``example.test.``"""
    address: str = ADDRESS
    port: int = 0
    _values: dict[str, set[str]] = field(default_factory=dict, repr=False)
    _ttls: dict[tuple[str, str], int] = field(default_factory=dict, repr=False)
    _others: set[tuple[str, str, str, int]] = field(default_factory=set, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def server(self) -> str:
        """Where it is served, as ``pvefw config set --resolvers`` takes it: ``127.0.0.1:40213``."""
        return f"{self.address}:{self.port}"

    def add(self, name: str, value: str, ttl: int | None = None) -> None:
        """Put a value beside those that are at an absolute name in the zone.

        :param ttl: seconds; without it what it was when the value was there before, else 1.
        :raises ValueError: the name is not absolute, or not in the zone.
        """
        key = name.lower()
        if not f".{key}".endswith(f".{self.name}"):
            raise ValueError(f"{name} is not an absolute name in the zone {self.name}")
        with self._lock:
            self._values.setdefault(key, set()).add(value)
            if ttl is not None:
                self._ttls[key, value] = ttl

    def put(self, name: str, kind: str, value: str, ttl: int) -> None:
        """Put a record of somebody else into the zone; only TXT is served, the others are kept.

        :param kind: ``TXT``, ``A``, ``MX`` …
        """
        if kind == "TXT":
            self.add(name, value, ttl)
        else:
            self._others.add((name, kind, value, ttl))

    def everything(self) -> set[tuple[str, str, str, int]]:
        """All records as name, type, value, TTL."""
        texts = {
            (name, "TXT", value, self._ttls.get((name, value), _TTL))
            for name, value in self.records
        }
        return texts | self._others

    def remove(self, name: str, value: str) -> None:
        """Take one value away; one that is not there is not an error."""
        with self._lock:
            self._values.get(name.lower(), set()).discard(value)

    def txt(self, name: str) -> set[str]:
        """The values at an absolute name."""
        with self._lock:
            return set(self._values.get(name.lower(), ()))

    @property
    def records(self) -> list[tuple[str, str]]:
        """Every name and value, sorted."""
        with self._lock:
            return sorted(
                (name, value) for name, values in self._values.items() for value in values
            )

    def answer(self, wire: bytes) -> bytes | None:
        """The answer to one message, or ``None`` where it cannot even be read."""
        try:
            query = dns.message.from_wire(wire)
            [question] = query.question
        except (dns.exception.DNSException, ValueError):
            return None
        reply = dns.message.make_response(query, recursion_available=True)
        name = question.name.to_text().lower()
        if not f".{name}".endswith(f".{self.name}"):
            reply.set_rcode(dns.rcode.NXDOMAIN)
            return reply.to_wire()
        reply.flags |= dns.flags.AA
        strings = self._data(name, dns.rdatatype.to_text(question.rdtype))
        if strings:
            kind = dns.rdatatype.to_text(question.rdtype)
            reply.answer.append(dns.rrset.from_text_list(question.name, _TTL, "IN", kind, strings))
        else:
            soa = self._data(self.name, "SOA")
            reply.authority.append(dns.rrset.from_text_list(self.name, _TTL, "IN", "SOA", soa))
        return reply.to_wire()

    def _data(self, name: str, kind: str) -> list[str]:
        """What is at a name in the zone, in the form of a zone file."""
        if kind == "TXT":
            return sorted(f'"{value}"' for value in self.txt(name))
        if kind == "A":
            return [self.address]
        if name == self.name and kind == "NS":
            return [f"ns1.{self.name}"]
        if name == self.name and kind == "SOA":
            return [f"ns1.{self.name} hostmaster.{self.name} 1 3600 60 86400 {_TTL}"]
        return []


@contextlib.contextmanager
def dns_zone(name: str = "example.test.") -> Iterator[DnsZone]:
    """Serve an empty zone on a free port.

    :param name: absolute.
    """
    zone = DnsZone(name.lower())

    class Udp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, sock = self.request
            reply = zone.answer(data)
            if reply is not None:
                sock.sendto(reply, self.client_address)

    class Tcp(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                while length := self.rfile.read(_LENGTH):
                    reply = zone.answer(self.rfile.read(int.from_bytes(length)))
                    if reply is None:
                        return
                    self.wfile.write(len(reply).to_bytes(_LENGTH) + reply)

    udp, tcp = _on_one_port(Udp, Tcp)
    zone.port = udp.server_address[1]
    with serving(udp), serving(tcp):
        yield zone


class _TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True


def _on_one_port(
    udp: type[socketserver.BaseRequestHandler], tcp: type[socketserver.BaseRequestHandler]
) -> tuple[socketserver.UDPServer, socketserver.TCPServer]:
    """Servers for both protocols on a port that is free for both."""
    for _ in range(_ATTEMPTS):
        first = socketserver.UDPServer((ADDRESS, 0), udp)
        try:
            return first, _TcpServer((ADDRESS, first.server_address[1]), tcp)
        except OSError:  # that port is taken for TCP
            first.server_close()
    raise OSError(f"{ADDRESS} has no port that is free for UDP and TCP")
