"""Where the TXT record of a domain has to be: its final name, its zone, that zone's servers.

The recursive servers are asked about the domain; the authoritative servers that they lead to are asked
directly about the record's name, so that nothing stale, filtered or remembered by a resolver counts.
"""

import contextlib
import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from queue import SimpleQueue
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from pvefw.core.errors import ProviderError, Unavailable
from pvefw.dns import names
from pvefw.dns.parallel import Once
from pvefw.dns.resolver import NoAnswer, Resolver, Server, question

MAX_ALIASES = 8
"""CNAME records that are followed; resolvers give up at about as many."""
_MAX_CUTS = 16
_QUICK_SECONDS, _PATIENT_SECONDS = 0.5, 2.0


@dataclass(frozen=True)
class Zone:
    """A zone as DNS shows it."""

    name: str
    servers: tuple[Server, ...]
    """Every address of every authoritative server."""
    problem: str = ""
    """Why there are no servers; empty where there are."""


@dataclass(frozen=True)
class Place:
    """Where the record of a domain has to be."""

    name: str
    """At the end of all CNAMEs."""
    zone: Zone
    aliases: tuple[str, ...] = ()
    """The CNAMEs on the way, the record's first name first."""


class Finder:
    """Finds places, and remembers zones for the length of one run; it may be used by many threads."""

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
        self._zones: Once[Zone] = Once()
        self._slow: set[Server] = set()
        self._unreachable: set[str] = set()

    def place(self, name: str) -> Place:
        """Follow the CNAMEs of a record's name to its end.

        :param name: ``_acme-challenge.www.example.com.``
        :raises Unavailable: DNS does not answer, or knows no zone that somebody could have.
        :raises ProviderError: the CNAMEs are a loop, or too many.
        """
        way = [name]
        while True:
            zone, target = self._look(way[-1])
            if target is None:
                return Place(way[-1], zone, tuple(way[:-1]))
            way.append(target)
            if target in way[:-1]:
                raise ProviderError(
                    f"{name}: its CNAME records form a loop: {' → '.join(way)}",
                    hint="Correct the CNAME records.",
                )
            if len(way) > MAX_ALIASES + 1:
                raise ProviderError(
                    f"{name}: more than {MAX_ALIASES} CNAME records in a row: {' → '.join(way)}",
                    hint="Let the first point to the last one's target.",
                )

    def zone(self, name: str) -> Zone:
        """A zone and its servers, as the recursive servers know them; never raises."""
        return self._zones.get(name, lambda: self._servers_of(name))

    # --- one name ---

    def _look(self, name: str) -> tuple[Zone, str | None]:
        """The zone that a name is in, and its CNAME's target where it has one."""
        zone = self.zone(self._start(name))
        for _ in range(_MAX_CUTS):
            reply = self._ask_zone(zone, name)
            if reply is None:
                return zone, self._target(self.resolver.ask(name, "CNAME"), zone, name)
            deeper = referral(reply, name, zone.name) or _soa_owner(reply, name) or zone.name
            if deeper == zone.name or not names.is_within(deeper, zone.name):
                return zone, self._target(reply, zone, name)
            zone = self._deeper(deeper, reply)
        raise ProviderError(f"{name}: more than 16 delegations in a row")

    def _target(self, reply: dns.message.Message, zone: Zone, name: str) -> str | None:
        """Where a name's CNAME leads, unless that comes from a wildcard.

        A wildcard's CNAME no longer counts as soon as the TXT record exists (RFC 4592 section 3.3.1).
        """
        target = _cname(reply, name)
        if target is None:
            return None
        sibling = f"{secrets.token_hex(8)}.{names.parent(name)}"
        other = self._ask_zone(zone, sibling) or self.resolver.ask(sibling, "CNAME")
        return None if _cname(other, sibling) == target else target

    def _ask_zone(self, zone: Zone, name: str) -> dns.message.Message | None:
        """What one of the zone's servers says; ``None`` where none can be reached.

        One server is asked first, then all at once: dead ones cost time once, however many they are.
        """
        if zone.name in self._unreachable:
            return None
        servers = sorted(zone.servers, key=self._slow.__contains__)
        for some, seconds in ((servers[:1], _QUICK_SECONDS), (servers, _PATIENT_SECONDS)):
            for server, reply in self._race(some, name, seconds):
                if isinstance(reply, NoAnswer):
                    self._slow.add(server)
                elif _is_authoritative(reply) or referral(reply, name, zone.name):
                    return reply
        self._unreachable.add(zone.name)
        return None

    def _race(
        self, servers: Sequence[Server], name: str, seconds: float
    ) -> Iterator[tuple[Server, dns.message.Message | NoAnswer]]:
        """The answers of several servers, as they come."""
        answers: SimpleQueue[tuple[Server, dns.message.Message | NoAnswer]] = SimpleQueue()

        def ask(server: Server) -> None:
            answers.put(
                (server, self.resolver.exchange(server, [question(name, "CNAME")], seconds)[0])
            )

        for server in servers:
            threading.Thread(target=ask, args=(server,), daemon=True).start()
        for _ in servers:
            yield answers.get()

    # --- zones ---

    def _start(self, name: str) -> str:
        """A zone at or above a name.

        The name itself is not asked for: resolvers would remember that it is not there yet. Only where
        nothing can be found out about its parent: the target of a CNAME may be a zone's own name.
        """
        try:
            return self._cut(names.parent(name))
        except Unavailable:
            with contextlib.suppress(Unavailable):
                return self._cut(name)
            raise

    def _cut(self, name: str) -> str:
        """The zone that a name is in, by walking up to the first SOA (RFC 1034 section 4.2)."""
        while True:
            reply = self.resolver.ask(name, "SOA")
            owner = None if _cname(reply, name) else _soa_owner(reply, name)
            if owner is not None:
                _refuse_registry(owner, name, reply)
                return owner
            if name == ".":
                raise Unavailable(
                    "DNS: the resolvers know no zone at all, not even the root",
                    hint="Name other servers: pvefw config set --resolvers IP,IP",
                )
            name = names.parent(name)

    def _servers_of(self, zone: str) -> Zone:
        try:
            reply = self.resolver.ask(zone, "NS")
        except Unavailable as error:
            return Zone(zone, (), error.message)
        return self._with_addresses(zone, _name_servers(reply.answer, zone), reply)

    def _deeper(self, zone: str, reply: dns.message.Message) -> Zone:
        """A zone below one whose server we have just asked; that one's word is good enough."""
        deeper = self.zone(zone)
        if deeper.servers:
            return deeper
        return self._with_addresses(zone, _name_servers(reply.authority, zone), reply)

    def _with_addresses(
        self, zone: str, servers: Sequence[str], reply: dns.message.Message
    ) -> Zone:
        if not servers:
            reason = "no such name" if reply.rcode() == dns.rcode.NXDOMAIN else "no NS records"
            return Zone(zone, (), f"DNS: {zone} has no name servers: {reason}")
        addresses: set[Server] = set()
        for server in servers:
            addresses.update(self._addresses(server) or _glue(reply, server, self.resolver))
        problem = "" if addresses else f"DNS: no addresses of {', '.join(servers)} are known"
        return Zone(zone, tuple(sorted(addresses)), problem)

    def _addresses(self, name_server: str) -> list[Server]:
        addresses = []
        for kind in ("A", "AAAA"):
            try:
                reply = self.resolver.ask(name_server, kind)
            except Unavailable:
                continue  # glue, or the other servers, must do; the zone's problem says if none does
            addresses += [
                self.resolver.authority(name_server, rdata.to_text())
                for rdata in _all(reply.answer, dns.rdatatype.from_text(kind))
            ]
        return addresses


# --- reading answers --------------------------------------------------------------------------------


def _text(name: dns.name.Name) -> str:
    return name.to_text().lower()


def _all(section: Sequence[dns.rrset.RRset], kind: dns.rdatatype.RdataType) -> Iterator[Any]:
    for rrset in section:
        if rrset.rdtype == kind:
            yield from rrset


def _is_authoritative(reply: dns.message.Message) -> bool:
    return bool(reply.flags & dns.flags.AA) and reply.rcode() in (
        dns.rcode.NOERROR,
        dns.rcode.NXDOMAIN,
    )


def _cname(reply: dns.message.Message, name: str) -> str | None:
    for rrset in reply.answer:
        if rrset.rdtype == dns.rdatatype.CNAME and _text(rrset.name) == name:
            return _text(rrset[0].target)
    return None


def _soa_owner(reply: dns.message.Message, name: str) -> str | None:
    """The zone whose SOA an answer carries, if the name is in it."""
    for rrset in [*reply.answer, *reply.authority]:
        if rrset.rdtype == dns.rdatatype.SOA and names.is_within(name, _text(rrset.name)):
            return _text(rrset.name)
    return None


def referral(reply: dns.message.Message, name: str, zone: str) -> str | None:
    """The zone that an answer refers to: below the one asked, above the name (RFC 1034 section 4.3.2)."""
    if reply.answer or reply.rcode() != dns.rcode.NOERROR:
        return None
    for rrset in reply.authority:
        owner = _text(rrset.name)
        if rrset.rdtype == dns.rdatatype.NS and owner != zone and names.is_within(owner, zone):
            return owner if names.is_within(name, owner) else None
    return None


def _name_servers(section: Sequence[dns.rrset.RRset], zone: str) -> list[str]:
    return sorted(
        _text(rdata.target)
        for rrset in section
        if rrset.rdtype == dns.rdatatype.NS and _text(rrset.name) == zone
        for rdata in rrset
    )


def _glue(reply: dns.message.Message, name_server: str, resolver: Resolver) -> list[Server]:
    return [
        resolver.authority(name_server, rdata.to_text())
        for rrset in reply.additional
        if rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA)
        and _text(rrset.name) == name_server
        for rdata in rrset
    ]


def _refuse_registry(zone: str, name: str, reply: dns.message.Message) -> None:
    """Stop where a domain that does not exist would be looked for in its registry's own zone."""
    if reply.rcode() == dns.rcode.NXDOMAIN and (zone == "." or _is_registry(zone)):
        raise Unavailable(
            f"{name.removesuffix('.')} does not exist in DNS: "
            f"the nearest zone is {zone}, which is a registry's",
            hint="Register and delegate the domain, or name resolvers that know it: "
            "pvefw config set --resolvers IP,IP",
        )


@cache
def _is_registry(zone: str) -> bool:
    """Whether a zone is on the ICANN part of the Public Suffix List: the rest is somebody's own."""
    from publicsuffixlist import PublicSuffixList  # 40 ms, and rarely needed

    registries = PublicSuffixList(only_icann=True, accept_unknown=False)
    return bool(registries.is_public(zone.removesuffix(".")))
