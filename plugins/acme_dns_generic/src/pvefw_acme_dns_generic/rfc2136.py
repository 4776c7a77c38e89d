"""DNS UPDATE (RFC 2136), signed with TSIG (RFC 8945): BIND, Knot, PowerDNS, Windows …"""

import binascii
import contextlib
import itertools
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.tsig
import dns.update
from dns.rdtypes.ANY.TXT import TXT

from pvefw.api import (
    CredentialsRejected,
    ProviderError,
    Task,
    TxtRecord,
    Unavailable,
    hookimpl,
    setting,
)
from pvefw_acme_dns_generic import refusals

__all__ = ["Rfc2136"]

_PORT = 53
_ALGORITHMS = {
    "hmac-md5": dns.tsig.HMAC_MD5,
    "hmac-sha1": dns.tsig.HMAC_SHA1,
    "hmac-sha224": dns.tsig.HMAC_SHA224,
    "hmac-sha256": dns.tsig.HMAC_SHA256,
    "hmac-sha384": dns.tsig.HMAC_SHA384,
    "hmac-sha512": dns.tsig.HMAC_SHA512,
}
_OF_THE_KEY = (
    dns.tsig.PeerError,
    dns.tsig.BadSignature,
    dns.tsig.BadKey,
    dns.tsig.BadAlgorithm,
    dns.message.UnknownTSIGKey,
)
"""What dnspython raises where the server, or we, do not accept the other's signature."""
_CLOCK = "Set the clock of whichever host is wrong (timedatectl, chronyc)."
_UNVERIFIED: Any = False
"""As a keyring: read an answer and do not verify it yet."""
_LONGEST = 255
_HIGHEST_PORT = 65535
_MOST_IN_UDP = 1232
"""Bytes of a message that no network fragments (dnsflagday.net/2020)."""


@dataclass
class Rfc2136:
    """DNS UPDATE at the zone's primary server, signed with a TSIG key."""

    server: str = setting(
        help="The zone's primary server: ADDRESS, NAME, ADDRESS:PORT, or [IPV6]:PORT."
    )
    key_name: str | None = setting(
        help="Name of the TSIG key, as the server knows it; without it updates are not signed.",
        default=None,
    )
    secret: str | None = setting(
        help="The TSIG key's secret, in base64.", default=None, secret=True
    )
    algorithm: str = setting(
        help="The TSIG key's algorithm.", default="hmac-sha256", choices=tuple(_ALGORITHMS)
    )
    timeout: float = setting(help="Seconds to wait for each answer.", default=10.0)

    def __post_init__(self) -> None:
        if bool(self.key_name) != bool(self.secret):
            raise ValueError("key_name and secret belong together: give both, or none")
        self._host, self._port = _split(self.server)
        self._key = self._tsig_key()

    def _tsig_key(self) -> dns.tsig.Key | None:
        if not (self.key_name and self.secret):
            return None
        try:
            name = dns.name.from_text(self.key_name)
            return dns.tsig.Key(name, self.secret, _ALGORITHMS[self.algorithm])
        except dns.exception.DNSException as error:
            raise ValueError(f"key_name is not a domain name: {error}") from None
        except binascii.Error:
            raise ValueError("secret is not base64") from None

    @hookimpl
    def dns_add(self, zone: str, records: Sequence[TxtRecord], task: Task) -> None:
        """One update message; the server itself leaves out what already exists (section 3.4.2.2)."""
        task.log(f"Asking {self.server} to add {_count(records)} to {zone}")
        self._change(zone, records, add=True)

    @hookimpl
    def dns_remove(self, zone: str, records: Sequence[TxtRecord], task: Task) -> None:
        """One update message; the server ignores what is not there (section 3.4.2.4)."""
        task.log(f"Asking {self.server} to remove {_count(records)} from {zone}")
        self._change(zone, records, add=False)

    def _change(self, zone: str, records: Sequence[TxtRecord], *, add: bool) -> None:
        update = dns.update.UpdateMessage(zone, keyring=self._key)
        for record in records:
            name, text = dns.name.from_text(record.name), _text(record.value)
            if add:
                update.add(name, record.ttl, text)
            else:
                update.delete(name, text)
        try:
            reply = self._ask(update)
        except dns.tsig.PeerBadTime:
            self._explain_clock(update)
        except dns.tsig.BadTime:
            raise ProviderError(
                f"{self.server} signs its answer with a time that is not this host's", hint=_CLOCK
            ) from None
        except _OF_THE_KEY as error:
            raise CredentialsRejected(
                f"{self.server} rejects the TSIG key: {self._key_problem(error)}",
                hint="Compare key_name, algorithm and secret with the server's configuration.",
                unchanged=isinstance(error, dns.tsig.PeerError),
            ) from None
        except dns.exception.DNSException as error:
            raise ProviderError(
                f"{self.server} answered something that is not DNS: {error}"
            ) from error
        if reply.rcode() != dns.rcode.NOERROR:
            self._explain(reply, zone)

    # --- the way to the server ----------------------------------------------------------------------

    def _ask(self, update: dns.update.UpdateMessage) -> dns.message.Message:
        """TCP, for it tells at once when nobody is there; UDP where TCP is closed to us."""
        ways = [self._over_tcp]
        if len(update.to_wire()) <= _MOST_IN_UDP:
            ways.append(self._over_udp)
        why, sent = "", False
        for way, address in itertools.product(ways, self._addresses()):
            try:
                return self._verified(update, way(update, address))
            except _Lost as lost:
                why, sent = f"{address}{lost.why}", sent or lost.sent
        raise Unavailable(
            f"{self.server} cannot be reached: {why}",
            hint=f"Check that port {self._port} of the server is open to this host.",
            unchanged=not sent,
        )

    def _over_tcp(self, update: dns.update.UpdateMessage, address: str) -> dns.message.Message:
        with _telling(self.timeout, sent=False):
            connection = socket.create_connection((address, self._port), self.timeout)
        with connection, _telling(self.timeout, sent=True):
            dns.query.send_tcp(connection, update.to_wire())
            return dns.query.receive_tcp(connection, keyring=_UNVERIFIED, request_mac=update.mac)[0]

    def _over_udp(self, update: dns.update.UpdateMessage, address: str) -> dns.message.Message:
        """A question first: of an update that gets no answer nobody knows whether it arrived."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with _telling(self.timeout, sent=False):
            channel = socket.socket(family, socket.SOCK_DGRAM)
        with channel:
            channel.settimeout(self.timeout)
            with _telling(self.timeout, sent=False):
                channel.connect((address, self._port))
                _exchanged(channel, dns.message.make_query(update.zone[0].name, "SOA"))
            with _telling(self.timeout, sent=True):
                return _exchanged(channel, update)

    def _verified(
        self, update: dns.update.UpdateMessage, reply: dns.message.Message
    ) -> dns.message.Message:
        """An answer that is ours, with its signature checked; one that refuses may have none.

        Servers that do not take updates, or do not know TSIG, refuse without a signature. To believe a
        forged refusal costs nothing but the change.

        :raises dns.exception.DNSException: as :func:`dns.message.from_wire`.
        """
        if not update.is_response(reply):
            raise dns.query.BadResponse
        if self._key is None or (not reply.had_tsig and reply.rcode() != dns.rcode.NOERROR):
            return reply
        if not reply.had_tsig:
            raise ProviderError(
                f"{self.server} answers without a signature: it may be another server, or not know TSIG",
                hint="Check 'server', and whether it verifies the key at all.",
            )
        wire = reply.wire or b""
        return dns.message.from_wire(wire, keyring=self._key, request_mac=update.mac)

    def _addresses(self) -> list[str]:
        try:
            answers = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise Unavailable(
                f"{self._host} has no address: {error.strerror}", hint="Check the setting 'server'."
            ) from error
        return list(dict.fromkeys(str(where[0]) for *_, where in answers))

    # --- what its answers mean ----------------------------------------------------------------------

    def _explain(self, reply: dns.message.Message, zone: str) -> NoReturn:
        """Raise what a refusal means. An update is done as a whole or not at all: nothing was changed."""
        signed = self._key is None or reply.had_tsig
        without = "" if signed else " without a signature"
        kind, why, hint = refusals.meaning(
            reply.rcode(),
            self.key_name,
            signed=signed,
            authoritative=lambda: self._is_authoritative(zone),
        )
        raise kind(
            f"{self.server} answers {dns.rcode.to_text(reply.rcode())}{without}: "
            + why.format(zone=zone, key=self.key_name),
            hint=hint,
            unchanged=True,
        )

    def _is_authoritative(self, zone: str) -> bool:
        question = dns.message.make_query(zone, "SOA")
        for address in self._addresses():
            with contextlib.suppress(OSError, dns.exception.DNSException):
                reply = dns.query.tcp(question, address, self.timeout, self._port)
                return bool(reply.flags & dns.flags.AA)
        return False

    def _key_problem(self, error: Exception) -> str:
        match error:
            case dns.tsig.PeerBadKey() | dns.message.UnknownTSIGKey():
                return f"it has no key {self.key_name} with {self.algorithm} (BADKEY)"
            case dns.tsig.PeerBadSignature():
                return f"it has another secret for {self.key_name} (BADSIG)"
            case dns.tsig.BadSignature():
                return f"its answer is not signed with our secret of {self.key_name}"
            case dns.tsig.BadKey() | dns.tsig.BadAlgorithm():
                return f"its answer is signed with another key than {self.key_name} with {self.algorithm}"
        return str(error)

    def _explain_clock(self, update: dns.update.UpdateMessage) -> NoReturn:
        """Raise by how much our clock is off: BADTIME has both times (RFC 8945 section 5.2.3)."""
        wire = update.to_wire()
        with socket.create_connection((self._host, self._port), self.timeout) as connection:
            dns.query.send_tcp(connection, wire)
            reply, _ = dns.query.receive_tcp(
                connection, keyring=_UNVERIFIED, request_mac=update.mac
            )
        signature = reply.tsig[0] if reply.tsig else None
        off = "more than the allowed time"
        if signature is not None and signature.other:
            seconds = signature.time_signed - int.from_bytes(signature.other, "big")
            off = f"{abs(seconds)} seconds {'ahead' if seconds > 0 else 'behind'}"
        raise ProviderError(
            f"{self.server} rejects the signature's time (BADTIME): this host's clock is {off}",
            hint=_CLOCK,
        )


class _Lost(Exception):
    """There is no answer."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.why = why
        self.sent = sent
        """Whether the update may have arrived."""


@contextlib.contextmanager
def _telling(seconds: float, *, sent: bool) -> Iterator[None]:
    """Turn what sockets raise into :class:`_Lost`."""
    try:
        yield
    except (TimeoutError, dns.exception.Timeout):
        raise _Lost(f" did not answer within {seconds:g} seconds", sent=sent) from None
    except EOFError:
        raise _Lost(": it closed the connection", sent=sent) from None
    except OSError as error:
        raise _Lost(f": {error.strerror or error}", sent=sent) from None


def _exchanged(channel: socket.socket, message: dns.message.Message) -> dns.message.Message:
    """The answer to a message over a UDP socket that is connected; not verified."""
    channel.send(message.to_wire())
    while True:
        with contextlib.suppress(dns.exception.DNSException):
            reply = dns.message.from_wire(channel.recv(65535), keyring=_UNVERIFIED)
            if message.is_response(reply):
                return reply


def _split(server: str) -> tuple[str, int]:
    """Host and port of ``192.0.2.1``, ``ns1.example.com:5353``, ``2001:db8::1``, ``[2001:db8::1]:53``."""
    server = server.removeprefix("dns://").rstrip("/")  # RFC 4501
    if server.startswith("["):
        host, bracket, port = server[1:].partition("]")
        valid = bool(bracket) and (not port or port.startswith(":"))
        port = port[1:]
    elif server.count(":") > 1:
        host, port, valid = server, "", True
    else:
        host, colon, port = server.partition(":")
        valid = bool(port) or not colon
    if not (valid and _may_be_looked_up(host)) or (port and not port.isdecimal()):
        raise ValueError(f"server {server!r} is not HOST, HOST:PORT or [IPV6]:PORT")
    if not 0 < int(port or _PORT) <= _HIGHEST_PORT:
        raise ValueError(f"server {server!r}: the port is not from 1 to {_HIGHEST_PORT}")
    return host, int(port or _PORT)


def _may_be_looked_up(host: str) -> bool:
    """Whether it can be a host's name or address: no part is empty, or longer than 63 characters."""
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def _text(value: str) -> TXT:
    """A value as it is, in strings of 255 octets at most (RFC 1035 section 3.3)."""
    data = value.encode()
    strings = [data[at : at + _LONGEST] for at in range(0, len(data), _LONGEST)]
    return TXT(dns.rdataclass.IN, dns.rdatatype.TXT, strings or [b""])


def _count(records: Sequence[TxtRecord]) -> str:
    return "1 record" if len(records) == 1 else f"{len(records)} records"
