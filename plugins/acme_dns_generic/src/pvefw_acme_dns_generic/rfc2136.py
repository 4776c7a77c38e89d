"""DNS UPDATE (RFC 2136), signed with TSIG (RFC 8945): BIND, Knot, PowerDNS, Windows …"""

import binascii
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.tsig
import dns.update

from pvefw.api import (
    CredentialsRejected,
    ProviderError,
    Task,
    TxtRecord,
    Unavailable,
    Unsupported,
    hookimpl,
    setting,
)

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
        """One update message; the server itself leaves out what is there already (section 3.4.2.2)."""
        task.log(f"Asking {self.server} to add {_count(records)} to {zone}")
        self._change(zone, records, add=True)

    @hookimpl
    def dns_remove(self, zone: str, records: Sequence[TxtRecord], task: Task) -> None:
        """One update message; the server ignores what is not there (section 3.4.2.4)."""
        task.log(f"Asking {self.server} to remove {_count(records)} from {zone}")
        self._change(zone, records, add=False)

    def _change(self, zone: str, records: Sequence[TxtRecord], *, add: bool) -> None:
        update = dns.update.UpdateMessage(zone, keyring=self._key)
        for one in records:
            text = f'"{one.value}"'
            if add:
                update.add(dns.name.from_text(one.name), one.ttl, "TXT", text)
            else:
                update.delete(dns.name.from_text(one.name), "TXT", text)
        try:
            reply = self._ask(update)
        except dns.tsig.PeerBadTime:
            self._explain_clock(update)
        except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.message.UnknownTSIGKey) as error:
            raise CredentialsRejected(
                f"{self.server} rejects the TSIG key: {self._key_problem(error)}",
                hint="Compare key_name, algorithm and secret with the server's configuration.",
            ) from None
        except dns.exception.DNSException as error:
            raise ProviderError(
                f"{self.server} answered something that is not DNS: {error}"
            ) from error
        if reply.rcode() != dns.rcode.NOERROR:
            self._explain(reply.rcode(), zone)

    # --- the way to the server ----------------------------------------------------------------------

    def _ask(self, update: dns.update.UpdateMessage) -> dns.message.Message:
        """TCP, for it tells at once when nobody is there; UDP where TCP is closed to us."""
        addresses = self._addresses()
        answer = self._first_answer(update, addresses, dns.query.tcp)
        if isinstance(answer, str) and len(update.to_wire()) <= _MOST_IN_UDP:
            answer = self._first_answer(update, addresses, dns.query.udp)
        if not isinstance(answer, str):
            return answer
        raise Unavailable(
            f"{self.server} cannot be reached: {answer}",
            hint=f"Check that port {self._port} of the server is open to this host.",
        )

    def _first_answer(
        self,
        update: dns.message.Message,
        addresses: Sequence[str],
        ask: Callable[..., dns.message.Message],
    ) -> dns.message.Message | str:
        """The answer of the first address that gives one, else why the last one did not."""
        why = ""
        for address in addresses:
            try:
                return ask(update, address, timeout=self.timeout, port=self._port)
            except dns.exception.Timeout:
                why = f"{address} did not answer within {self.timeout:g} seconds"
            except (OSError, EOFError) as error:
                why = f"{address}: {getattr(error, 'strerror', None) or 'it closed the connection'}"
        return why

    def _addresses(self) -> list[str]:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise Unavailable(
                f"{self._host} has no address: {error.strerror}", hint="Check the setting 'server'."
            ) from error
        return list(dict.fromkeys(str(where[0]) for *_, where in found))

    # --- what its answers mean ----------------------------------------------------------------------

    def _explain(self, rcode: dns.rcode.Rcode, zone: str) -> NoReturn:
        """Raise what a response code means (RFC 2136 section 2.2, RFC 8945 section 5.3)."""
        said = f"{self.server} answers {dns.rcode.to_text(rcode)}"
        match rcode:
            case dns.rcode.REFUSED | dns.rcode.NOTAUTH if self._key is None:
                raise CredentialsRejected(
                    f"{said}: it does not let this host change {zone} without a key",
                    hint="Set key_name and secret, or let this address change the zone.",
                )
            case dns.rcode.REFUSED:
                raise CredentialsRejected(
                    f"{said}: the key {self.key_name} may not change TXT records of {zone}",
                    hint="Let the key do so at the server (update-policy in BIND, acl in Knot).",
                )
            case dns.rcode.NOTAUTH:
                raise ProviderError(
                    f"{said}: it is not the primary server of {zone}",
                    hint="Set 'server' to the server that the zone's SOA record names.",
                )
            case dns.rcode.NOTZONE:
                raise ProviderError(f"{said}: a record is not within {zone}")
            case dns.rcode.NOTIMP:
                raise Unsupported(f"{said}: it does not take updates (RFC 2136)")
            case dns.rcode.SERVFAIL:
                raise Unavailable(
                    f"{said}: it could not store the change", hint="Look into the server's log."
                )
        raise ProviderError(f"{said} to the update of {zone}")

    def _key_problem(self, error: Exception) -> str:
        match error:
            case dns.tsig.PeerBadKey() | dns.message.UnknownTSIGKey():
                return f"it has no key {self.key_name} with {self.algorithm} (BADKEY)"
            case dns.tsig.PeerBadSignature():
                return f"the secret of {self.key_name} is another one there (BADSIG)"
            case dns.tsig.BadSignature():
                return f"its answer is not signed with our secret of {self.key_name}"
        return type(error).__name__

    def _explain_clock(self, update: dns.update.UpdateMessage) -> NoReturn:
        """Raise by how much our clock is off: BADTIME has both times (RFC 8945 section 5.2.3)."""
        wire = update.to_wire()
        with socket.create_connection((self._host, self._port), self.timeout) as connection:
            dns.query.send_tcp(connection, wire)
            reply, _ = dns.query.receive_tcp(
                connection,
                keyring=False,  # type: ignore[arg-type]  # False: read the answer, do not verify it
                request_mac=update.mac,
            )
        signature = reply.tsig[0] if reply.tsig else None
        off = "more than the allowed time"
        if signature is not None and signature.other:
            seconds = signature.time_signed - int.from_bytes(signature.other, "big")
            off = f"{abs(seconds)} seconds {'ahead' if seconds > 0 else 'behind'}"
        raise ProviderError(
            f"{self.server} rejects the signature's time (BADTIME): this host's clock is {off}",
            hint="Set the clock of whichever host is wrong (timedatectl, chronyc).",
        )


def _split(server: str) -> tuple[str, int]:
    """Host and port of ``192.0.2.1``, ``ns1.example.com:5353``, ``2001:db8::1``, ``[2001:db8::1]:53``."""
    if server.startswith("["):
        host, bracket, port = server[1:].partition("]")
        valid = bool(bracket) and (not port or port.startswith(":"))
        port = port[1:]
    elif server.count(":") > 1:
        host, port, valid = server, "", True
    else:
        host, colon, port = server.partition(":")
        valid = bool(port) or not colon
    if not (valid and host) or (port and not port.isdecimal()):
        raise ValueError(f"server {server!r} is not HOST, HOST:PORT or [IPV6]:PORT")
    return host, int(port or _PORT)


def _count(records: Sequence[TxtRecord]) -> str:
    return "1 record" if len(records) == 1 else f"{len(records)} records"
