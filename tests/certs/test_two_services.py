"""Two services of one host, each with a certificate, a plugin and a target of its own, over two years.

The authority and the clock are simulated; deciding, installing, delivering and looking at what is served
are pvefw's own, HAProxy is real, and so are the handshakes.
"""

import contextlib
import datetime as dt
import socket
import ssl
import threading

import pytest
from certificates import NOW, Calendar, Log, self_signed
from cryptography import x509
from servers.processes import free_port, process, wait_for_port

from pvefw import instances
from pvefw.certs import chain, issue, renew, renewal_plan, solvers
from pvefw.certs.certificate import Certificate
from pvefw.core.errors import AcmeUnreachable
from pvefw.host import tls
from pvefw.host.clock import SystemClock
from pvefw.instances import Instance
from pvefw.store.node import Node

DAY, TICK = dt.timedelta(days=1), dt.timedelta(hours=6)
END = NOW + 730 * DAY
LIFETIMES = ((0, 90), (70, 64), (440, 45))
"""From which day on, and days: as Let's Encrypt announced them."""
DOWN = (150, 153), (560, 563)
"""Days between which the authority does not answer."""
CONFIG = """\
certificate: web
	acmedomain0 www.example,plugin=first
	targets to-haproxy
	serves 127.0.0.1:{web}

certificate: api
	acmedomain0 api.example,plugin=second
	targets to-files
	serves 127.0.0.1:{api}

observer: to-haproxy
	api haproxy
	pem {here}/ssl/{{name}}.pem
	socket {here}/admin.sock

observer: to-files
	api files
	fullchain {here}/api.pem
	key {here}/api.key
"""
HAPROXY = """
global
    stats socket {here}/admin.sock mode 600 level admin
defaults
    mode http
    timeout connect 60s
    timeout client 60s
    timeout server 60s
frontend web
    bind 127.0.0.1:{web} ssl crt {here}/ssl/web.pem
"""


class Authority:
    """Issues for as long as it has announced, unless it is down."""

    def __init__(self, clock):
        self._clock = clock
        self.orders = {}

    @property
    def day(self):
        return (self._clock.time - NOW) / DAY

    def is_down(self):
        return any(begin <= self.day < end for begin, end in DOWN)

    def order(self, wanted, before, task):
        """In the place of the one in :mod:`pvefw.certs.issue`."""
        [entry] = wanted.entries
        assert entry.name in solvers.for_names(wanted.certificate.node, wanted.entries)
        if self.is_down():
            raise AcmeUnreachable("no answer")
        days = [days for begin, days in LIFETIMES if begin <= self.day][-1]
        pair = self_signed(entry.name, begin=self.day, days=days)
        record = issue._record(wanted.certificate, "")
        issue._install(wanted.certificate, *pair, record, before, task)
        self.orders.setdefault((entry.name, entry.plugin), []).append(self._clock.time)
        return wanted.account


@contextlib.contextmanager
def reading(here):
    """A service that reads its files for each connection; its port."""

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(here / "api.pem", here / "api.key")
                with contextlib.suppress(OSError), context.wrap_socket(connection, True) as stream:
                    stream.recv(1)

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture
def ports(paths, short_path):
    """Both services, configured."""
    here, web = short_path / "services", free_port()
    (here / "ssl").mkdir(parents=True)
    (here / "ssl/web.pem").write_bytes(b"".join(self_signed()))
    (here / "haproxy.cfg").write_text(HAPROXY.format(here=here, web=web))
    command = ["haproxy", "-db", "-f", str(here / "haproxy.cfg")]
    with process(command, here / "log") as running, reading(here) as api:
        wait_for_port(web, running, here / "log")
        paths.etc_pve.mkdir(parents=True)
        (paths.root / "etc/resolv.conf").write_text("nameserver 192.0.2.53\n")
        paths.cluster_pvefw_cfg.write_text(CONFIG.format(here=here, web=web, api=api))
        instances.add(paths, Instance("dns", "first", "rfc2136", {"server": "192.0.2.1"}))
        instances.add(paths, Instance("dns", "second", "exec", {"program": "/bin/true"}))
        yield {"www.example": web, "api.example": api}


@pytest.fixture
def clock(monkeypatch):
    found = Calendar()
    monkeypatch.setattr(SystemClock, "now", lambda _: found.time)
    return found


@pytest.fixture
def authority(clock, monkeypatch):
    def unreachable(*_):
        raise AcmeUnreachable("it has no windows")

    found = Authority(clock)
    monkeypatch.setattr(issue, "_order", found.order)
    monkeypatch.setattr(renewal_plan, "_renewal_info", unreachable)
    return found


def left(ports, now):
    """How long what is served is good for, of the one that ends first."""
    found = []
    for name, port in ports.items():
        der = tls.served_certificate("127.0.0.1", port, "", name, 60)
        certificate = x509.load_der_x509_certificate(der)
        assert chain.names(certificate) == [name]
        assert certificate.not_valid_before_utc <= now
        found.append(certificate.not_valid_after_utc - now)
    return min(found)


def test_both_are_served_all_the_time(paths, ports, clock, authority):
    for name in ("web", "api"):
        issue.order(Certificate.load(Node.open(paths), name), Log())
    least, lines = 90 * DAY, []
    while clock.time < END:
        good = renew.run(paths, lines.append, lines.append, clock)
        assert good or authority.is_down(), lines[-20:]
        least = min(least, left(ports, clock.time))
        plan = renewal_plan.overview(Node.open(paths), clock.time)
        due = min(dt.datetime.fromisoformat(row["due"]) for row in plan)
        clock.time = max(clock.time + TICK, due)
    assert least > 10 * DAY
    assert {key: 18 <= len(times) <= 24 for key, times in authority.orders.items()} == {
        ("www.example", "first"): True,
        ("api.example", "second"): True,
    }
