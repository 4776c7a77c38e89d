"""A small internet of real servers on loopback, and providers that change it."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pvefw.api import hookimpl
from pvefw.core import binding
from pvefw.core.errors import Cancelled
from pvefw.core.families import DNS
from pvefw.core.model import Challenge, Identifier
from pvefw.dns.publication import Route
from pvefw.dns.resolver import Resolver, Server
from servers.bind import Bind, bind
from servers.knot import Knot, knot
from servers.nameserver import NameServer, Zone, free_dns_port, loopback
from servers.powerdns import PowerDns, powerdns


class Task:
    """A task that remembers what it was told."""

    def __init__(self):
        self.lines: list[str] = []
        self.warnings: list[str] = []
        self.waited: list[float] = []
        self._cancel = threading.Event()

    def log(self, message):
        self.lines.append(message)

    def warn(self, message):
        self.warnings.append(message)

    def wait(self, seconds):
        self.waited.append(seconds)
        if self._cancel.wait(seconds):
            raise Cancelled

    @property
    def cancelled(self):
        return self._cancel.is_set()

    def cancel(self):
        self._cancel.set()

    @property
    def text(self):
        return "\n".join(self.lines + self.warnings)


class ServerZones:
    """A DNS plugin that changes a real server, and can be told to misbehave."""

    def __init__(self, server: NameServer, zones: list[str] | None = None):
        self.server = server
        self.zones = zones
        self.calls: list[tuple[str, str, tuple]] = []
        self.failures: dict[str, list[Exception]] = {"add": [], "remove": []}
        self.publishes = True
        self.running = 0
        self.most_running = 0
        self._lock = threading.Lock()

    @hookimpl
    def dns_add(self, zone, records):
        self._change("add", zone, records)

    @hookimpl
    def dns_remove(self, zone, records):
        self._change("remove", zone, records)

    @hookimpl
    def dns_zones(self):
        return self.zones

    def _change(self, action, zone, records):
        with self._entered():
            self.calls.append((action, zone, tuple(records)))
            if self.failures[action]:
                raise self.failures[action].pop(0)
            if not self.publishes:
                return
            if isinstance(self.server, PowerDns):
                self._through_api(action, zone, records)
            else:
                verb = "add" if action == "add" else "delete"
                self.server.update(zone, *((verb, record.name, record.value) for record in records))

    def _through_api(self, action, zone, records):
        for name in {record.name for record in records}:
            values = {record.value for record in records if record.name == name}
            there = self.server.txt(name)
            after = there | values if action == "add" else there - values
            self.server.set_txt(zone, name, sorted(after))

    @contextlib.contextmanager
    def _entered(self):
        with self._lock:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            yield
        finally:
            with self._lock:
                self.running -= 1

    def made(self, action):
        """The calls of one kind: zone and number of records."""
        return [(zone, len(records)) for call, zone, records in self.calls if call == action]


def bound(plugin, name="inst"):
    return binding.bind_object(DNS, plugin, name)


def challenge(domain, token="token"):
    return Challenge("dns-01", Identifier("dns", domain), token, f"{token}.{domain}")


@dataclass
class World:
    """The servers; every authoritative one on the same port, as on the real internet."""

    primary: Bind
    second: Bind
    knot: Knot
    lagging: Knot
    pdns: PowerDns
    resolver_bind: Bind
    silent: str
    closed: str
    lame: str = ""
    zones: dict[str, NameServer] = field(default_factory=dict)

    @property
    def port(self):
        return self.primary.port

    @property
    def resolver(self):
        where = Server(self.resolver_bind.address, self.resolver_bind.port)
        return Resolver([where], authority_port=self.port)

    def route(self, domain, plugin, name="inst", **options):
        return Route(domain, bound(plugin, name), **{"delay": 5.0, **options})

    def values(self, name):
        """What stands at a name, at the server that owns its zone."""
        zone = max((zone for zone in self.zones if name.endswith(f".{zone}")), key=len)
        return self.zones[zone].txt(name)

    def child_config(self) -> str:
        """What another process needs to resolve here."""
        return json.dumps([self.resolver_bind.address, self.resolver_bind.port, self.port])


@contextlib.contextmanager
def _black_hole(address, port):
    """Takes questions and never answers, over UDP and TCP."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
    ):
        udp.bind((address, port))
        tcp.bind((address, port))
        tcp.listen(64)
        yield


@contextlib.contextmanager
def small_internet(base: Path) -> Iterator[World]:
    """Start all servers; tests use names of their own in their zones."""
    main, six = "127.0.0.1", "::1"
    of_knot, of_lagging, of_pdns, silent, closed = (loopback() for _ in range(5))
    both = {"ns1": main, "ns2": six}
    on_primary = [
        Zone(
            "example.test.",
            both,
            f"""
            www A 127.0.0.1
            web CNAME www
            deep.er A 127.0.0.1
            sub NS ns.sub
            ns.sub A {of_knot}
            same NS ns1
            _acme-challenge.aliased CNAME _acme-challenge.target.other.test.
            aliased A 127.0.0.1
            _acme-challenge.chain CNAME one.chain
            one.chain CNAME two.other.test.
            _acme-challenge.loop CNAME x.loop
            x.loop CNAME y.loop
            y.loop CNAME _acme-challenge.loop
            _acme-challenge.delegated NS ns.sub
            _acme-challenge.knot-alias CNAME challenge.knot.test.
            _acme-challenge.toapex CNAME other.test.
            """
            + "\n".join(f"c{n}.long CNAME c{n + 1}.long" for n in range(20))
            + "\n_acme-challenge.long CNAME c0.long\n",
        ),
        Zone("same.example.test.", {"ns1.example.test.": main}, "www A 127.0.0.1"),
        Zone("other.test.", both, "two CNAME _acme-challenge.end\nend A 127.0.0.1"),
        Zone("wild.test.", both, "* CNAME www.example.test."),
        Zone(
            "single.test.",
            {"ns1": main},
            "_acme-challenge.one CNAME single.example.test.\n"
            "_acme-challenge.two CNAME single.example.test.",
        ),
        Zone("slow.test.", {"ns1": main, "ns2": of_lagging}),
        Zone("dead.test.", {"ns1": main, "ns2": silent, "ns3": closed}),
        Zone("lame.test.", {"ns1": main, "ns2": of_knot}),
        Zone("broken.test.", {"ns1": main, "ns2": of_lagging}),
        Zone("nowhere.test.", {"ns1": silent, "ns2": closed}),
    ]
    on_knot = [
        Zone("sub.example.test.", {"ns": of_knot}, "www A 127.0.0.1"),
        Zone("_acme-challenge.delegated.example.test.", {"ns.sub.example.test.": of_knot}),
        Zone("knot.test.", {"ns": of_knot}, "www A 127.0.0.1"),
    ]
    on_pdns = [Zone("pdns.test.", {"ns": of_pdns}, "www A 127.0.0.1")]
    with contextlib.ExitStack() as stack:
        start = stack.enter_context
        port = free_dns_port()
        here = (main, port)
        primary = start(bind(base / "primary", on_primary, port=port, notify=[(six, port)]))
        copies = dict.fromkeys(("example.test.", "other.test.", "wild.test."), here)
        second = start(bind(base / "second", address=six, port=port, secondary=copies))
        knot_ = start(knot(base / "knot", on_knot, address=of_knot, port=port))
        never = {"broken.test.": (closed, port), "slow.test.": here}
        lagging = start(knot(base / "lagging", address=of_lagging, port=port, secondary=never))
        pdns = start(powerdns(base / "pdns", on_pdns, address=of_pdns, port=port))
        start(_black_hole(silent, port))
        zones: dict[str, NameServer] = {zone.name: primary for zone in on_primary}
        zones |= {zone.name: knot_ for zone in on_knot} | {zone.name: pdns for zone in on_pdns}
        forward = {name: (server.address, port) for name, server in zones.items()}
        asked = start(bind(base / "resolver", forward=forward))
        yield World(primary, second, knot_, lagging, pdns, asked, silent, closed, of_knot, zones)
