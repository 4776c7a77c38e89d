"""Records that stay: what all authoritative servers show at a name, and what CAA records allow."""

from collections.abc import Sequence
from dataclasses import dataclass

import dns.flags
import dns.rcode
import dns.rdatatype

from pvefw.dns import names
from pvefw.dns.propagation import MAX_SERVERS, texts
from pvefw.dns.resolver import NoAnswer, Resolver, Server, question
from pvefw.dns.zones import Finder
from pvefw.host.concurrency import side_by_side


@dataclass(frozen=True)
class Shown:
    """What one server shows at a name."""

    server: str
    texts: Sequence[str] = ()
    problem: str = ""
    """Why it could not be asked; empty where it answered."""


@dataclass(frozen=True)
class Caa:
    """One CAA record (RFC 8659 section 4)."""

    critical: bool
    tag: str
    value: str


def look(finder: Finder, name: str) -> Sequence[Shown]:
    """What every authoritative server of a name's zone shows there; CNAMEs are followed.

    :param name: absolute.
    :raises ProviderError: DNS knows no servers, or the CNAMEs are a loop.
    """
    place = finder.place(name)
    if not place.zone.servers:
        return [Shown(place.zone.name, problem=place.zone.problem or "it has no name servers")]
    return side_by_side(
        lambda server: _ask(finder.resolver, server, place.name), place.zone.servers, MAX_SERVERS
    )


def _ask(resolver: Resolver, server: Server, name: str) -> Shown:
    reply = resolver.exchange(server, [question(name, "TXT")])[0]
    if isinstance(reply, NoAnswer):
        return Shown(str(server), problem=str(reply))
    if reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return Shown(str(server), problem=f"answers {dns.rcode.to_text(reply.rcode())}")
    if not reply.flags & dns.flags.AA:
        return Shown(str(server), problem="answers without authority")
    return Shown(str(server), sorted(texts(reply, name)))


def caa(resolver: Resolver, domain: str) -> tuple[str, Sequence[Caa]]:
    """The CAA records that count for a domain, and where they are (RFC 8659 section 3).

    :param domain: absolute.
    :returns: an empty name where there are none.
    :raises Unavailable: DNS does not answer; an authority would refuse, too.
    """
    name = domain
    while name != ".":
        reply = resolver.ask(name, "CAA")
        records = [
            Caa(
                bool(rdata.flags & 0x80),
                rdata.tag.decode(errors="replace").lower(),
                rdata.value.decode(errors="replace"),
            )
            for rrset in reply.answer
            if rrset.rdtype == dns.rdatatype.CAA
            for rdata in rrset
        ]
        if records:
            return name, records
        name = names.parent(name)
    return "", ()
