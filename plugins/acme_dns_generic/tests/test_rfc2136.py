"""RFC 2136 against real servers: the conformance kit with every HMAC, and every kind of refusal."""

import base64
import contextlib
import socket
import time

import dns.tsig
import pytest
from servers.bind import bind
from servers.knot import knot
from servers.nameserver import Key, Zone, free_dns_port

from pvefw.api import CredentialsRejected, ProviderError, TxtRecord, Unavailable
from pvefw.testing.dns import DnsConformance
from pvefw.testing.fakes import FakeTask
from pvefw_acme_dns_generic.rfc2136 import Rfc2136

ZONE = Zone("kit.test.", {"ns": "127.0.0.1"})
ALGORITHMS = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"]
WRONG = base64.b64encode(b"quite another secret").decode()
RECORD = TxtRecord("_acme-challenge.www.kit.test.", "value")


def of(server, **changed):
    """The plugin for a server, with its key."""
    values = {
        "server": f"{server.address}:{server.port}",
        "key_name": server.key.name,
        "secret": server.key.secret,
        "algorithm": server.key.algorithm,
    }
    return Rfc2136(**{**values, **changed})


@pytest.fixture(scope="module", params=ALGORITHMS)
def key(request):
    return Key(algorithm=f"hmac-{request.param}")


@pytest.fixture(scope="module")
def bind_with_key(tmp_path_factory, key):
    with bind(tmp_path_factory.mktemp("bind"), [ZONE], key=key) as server:
        yield server


@pytest.fixture(scope="module")
def knot_with_key(tmp_path_factory, key):
    with knot(tmp_path_factory.mktemp("knot"), [ZONE], key=key) as server:
        yield server


class Kit(DnsConformance):
    __test__ = False

    @pytest.fixture
    def plugin(self, server):
        return of(server)

    @pytest.fixture
    def zone(self):
        return ZONE.name

    @pytest.fixture
    def records(self, server):
        return server.txt

    @pytest.fixture(params=["secret", "key", "no key"])
    def broken_plugin(self, request, server):
        match request.param:
            case "secret":
                return of(server, secret=WRONG)
            case "key":
                return of(server, key_name="nobody.knows.")
        return of(server, key_name=None, secret=None)


class TestBind(Kit):
    __test__ = True

    @pytest.fixture
    def server(self, bind_with_key):
        return bind_with_key


class TestKnot(Kit):
    __test__ = True

    @pytest.fixture
    def server(self, knot_with_key):
        return knot_with_key


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with bind(tmp_path_factory.mktemp("bind"), [ZONE]) as server:
        yield server


def add(plugin, *records, zone=ZONE.name):
    plugin.dns_add(zone=zone, records=records or [RECORD], task=FakeTask())


def test_fifty_records_go_in_one_message(server):
    many = [TxtRecord(f"_acme-challenge.n{n}.kit.test.", f"{n:043d}") for n in range(50)]
    serial = server.ask(ZONE.name, "SOA").answer[0][0].serial
    add(of(server), *many)
    assert server.txt(many[-1].name) == {many[-1].value}
    assert server.ask(ZONE.name, "SOA").answer[0][0].serial == serial + 1
    of(server).dns_remove(zone=ZONE.name, records=many, task=FakeTask())


@pytest.mark.parametrize("value", [r'said "yes", in C:\temp', "x" * 600, ""])
def test_a_value_is_kept_as_it_is(server, value):
    record = TxtRecord("_acme-challenge.odd.kit.test.", value)
    add(of(server), record)
    assert server.txt(record.name) == {value}
    of(server).dns_remove(zone=ZONE.name, records=[record], task=FakeTask())
    assert server.txt(record.name) == set()


def test_other_algorithm_is_a_wrong_key(server):
    with pytest.raises(CredentialsRejected, match=r"with hmac-sha512 \(BADKEY"):
        add(of(server, algorithm="hmac-sha512"))


@pytest.mark.parametrize(
    ("hours", "said"), [(1, "clock is 3600 seconds ahead"), (-1, "3600 seconds behind")]
)
def test_a_clock_that_is_off_is_told_by_how_much(server, monkeypatch, hours, said):
    now = time.time
    monkeypatch.setattr("dns.message.time.time", lambda: now() + hours * 3600)
    with pytest.raises(ProviderError, match=said) as caught:
        add(of(server))
    assert "BADTIME" in str(caught.value)


def test_another_zone_is_not_served_there(server):
    with pytest.raises(
        ProviderError, match=r"NOTAUTH: it is not the primary server of other\.test"
    ):
        add(of(server), TxtRecord("_acme-challenge.other.test.", "value"), zone="other.test.")


def test_a_record_outside_of_the_zone(server):
    with pytest.raises(ProviderError, match=r"NOTZONE: a record is not within kit\.test"):
        add(of(server), TxtRecord("_acme-challenge.other.test.", "value"))


def test_a_key_without_the_right(tmp_path, server):
    """BIND's policy lets the key change TXT records at and below the zone; a secondary lets nobody."""
    where = {ZONE.name: (server.address, server.port)}
    with (
        bind(tmp_path, secondary=where) as secondary,
        pytest.raises(ProviderError, match=r"NOTIMP|NOTAUTH|REFUSED"),
    ):
        add(of(secondary))


def test_nobody_is_there():
    port = free_dns_port()
    with pytest.raises(Unavailable, match=r"127.0.0.1: [Cc]onnection refused|did not answer"):
        add(Rfc2136(server=f"127.0.0.1:{port}", timeout=0.3))


def test_silence_ends_after_the_timeout():
    with contextlib.ExitStack() as stack:
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", free_dns_port()))
        tcp = stack.enter_context(socket.socket())
        tcp.bind(udp.getsockname())
        tcp.listen()
        with pytest.raises(Unavailable, match=r"did not answer within 0.2 seconds"):
            add(Rfc2136(server=f"127.0.0.1:{udp.getsockname()[1]}", timeout=0.2))


def test_rubbish_is_an_error_of_its_own():
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"\x00\x20" + b"HTTP/1.1 400 Bad Request" + b"!" * 8)

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(ProviderError, match=r"something that is not DNS|cannot be reached"):
            add(Rfc2136(server=f"127.0.0.1:{listening.getsockname()[1]}", timeout=0.5))


@pytest.mark.parametrize(
    ("server", "host", "port"),
    [
        ("192.0.2.1", "192.0.2.1", 53),
        ("192.0.2.1:5353", "192.0.2.1", 5353),
        ("ns1.example.com", "ns1.example.com", 53),
        ("2001:db8::1", "2001:db8::1", 53),
        ("[2001:db8::1]", "2001:db8::1", 53),
        ("[2001:db8::1]:5353", "2001:db8::1", 5353),
    ],
)
def test_servers(server, host, port):
    plugin = Rfc2136(server=server)
    assert (plugin._host, plugin._port) == (host, port)


@pytest.mark.parametrize("server", ["", ":53", "host:", "host:dns", "[::1", "[::1]53", "[]:53"])
def test_wrong_servers(server):
    with pytest.raises(ValueError, match="is not HOST, HOST:PORT or"):
        Rfc2136(server=server)


def test_key_and_secret_belong_together():
    with pytest.raises(ValueError, match="belong together"):
        Rfc2136(server="192.0.2.1", key_name="key.")


def test_a_secret_that_is_not_base64_is_not_shown():
    with pytest.raises(ValueError, match="secret is not base64") as caught:
        Rfc2136(server="192.0.2.1", key_name="key.", secret="hunter2!")
    assert "hunter2" not in str(caught.value)


def test_all_algorithms_are_those_of_the_library():
    plugin = Rfc2136(server="192.0.2.1", key_name="key.", secret=WRONG)
    assert plugin._key.algorithm == dns.tsig.HMAC_SHA256


def test_the_name_of_a_key_is_a_domain_name():
    with pytest.raises(ValueError, match="key_name is not a domain name"):
        Rfc2136(server="192.0.2.1", key_name="a..b", secret=WRONG)
