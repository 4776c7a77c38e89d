"""What the DNS servers of tests have in common: addresses, zones, keys, questions."""

import contextlib
import random
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsigkeyring
import dns.update
from waiting import looks

from servers.processes import READY_SECONDS, free_port


def loopback() -> str:
    """An IPv4 loopback address that nobody else is likely to use: servers can share a port number."""
    return f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(2, 254)}"


def free_dns_port() -> int:
    """A port that is free for UDP and TCP on all addresses, IPv4 and IPv6."""
    while True:
        with contextlib.ExitStack() as stack:
            probe = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
            port = free_port("::", socket.SOCK_DGRAM)
            probe.bind(("::", port))
            other = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_STREAM))
            with contextlib.suppress(OSError):
                other.bind(("::", port))
                return port


@dataclass(frozen=True)
class Key:
    """A TSIG key."""

    name: str = "pvefw-test."
    algorithm: str = "hmac-sha256"
    secret: str = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I="


@dataclass(frozen=True)
class Zone:
    """A zone: its name, its name servers (label to address), its other records as in a zone file."""

    name: str
    servers: Mapping[str, str]
    records: str = ""

    @property
    def file_name(self) -> str:
        return f"{self.name}zone"

    def render(self) -> str:
        lines = [
            f"$ORIGIN {self.name}",
            "$TTL 1",
            f"@ SOA {next(iter(self.servers))} hostmaster 1 3600 1 86400 1",
        ]
        for label, address in self.servers.items():
            lines.append(f"@ NS {label}")
            if not label.endswith("."):
                lines.append(f"{label} {'AAAA' if ':' in address else 'A'} {address}")
        lines += [line.strip() for line in self.records.splitlines()]
        return "\n".join([*lines, ""])


@dataclass
class NameServer:
    """A DNS server that runs."""

    address: str
    port: int
    workdir: Path
    process: subprocess.Popen[bytes] = field(repr=False)
    log: Path
    key: Key = field(default_factory=Key)

    def ask(self, name: str, kind: str) -> dns.message.Message:
        """What it answers, over UDP or TCP."""
        message = dns.message.make_query(name, kind)
        reply, _ = dns.query.udp_with_fallback(message, self.address, timeout=5, port=self.port)
        return reply

    def txt(self, name: str) -> set[str]:
        """The values of a TXT record set."""
        return {
            b"".join(rdata.strings).decode()
            for rrset in self.ask(name, "TXT").answer
            if rrset.rdtype == dns.rdatatype.TXT
            for rdata in rrset
        }

    def update(self, zone: str, *changes: tuple[str, str, str]) -> None:
        """Change a zone through RFC 2136.

        :param changes: ``add`` or ``delete``, the absolute name, the TXT value.
        """
        keyring = dns.tsigkeyring.from_text({self.key.name: self.key.secret})
        message = dns.update.Update(zone, keyring=keyring, keyalgorithm=self.key.algorithm)
        for action, name, value in changes:
            if action == "add":
                message.add(name, 1, "TXT", f'"{value}"')
            else:
                message.delete(name, "TXT", f'"{value}"')
        reply = dns.query.tcp(message, self.address, timeout=10, port=self.port)
        assert reply.rcode() == dns.rcode.NOERROR, dns.rcode.to_text(reply.rcode())

    def wait_until_ready(self, zone: str = "") -> None:
        """Return when it answers; with a zone, when it serves that."""
        message = dns.message.make_query(zone or ".", "SOA")
        for _ in looks(READY_SECONDS):
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError, dns.exception.DNSException):
                reply = dns.query.udp(message, self.address, timeout=0.2, port=self.port)
                if not zone or (reply.rcode() == dns.rcode.NOERROR and reply.answer):
                    return
        raise RuntimeError(f"{self.process.args} is not ready:\n{self.log.read_text()[-3000:]}")
