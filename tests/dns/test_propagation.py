"""Watching authoritative servers: fast, slow, dead, lame, over TCP, over IPv6, with wrong answers."""

import socket
import socketserver
import threading
import time

import pytest
from servers.nameserver import loopback
from servers.world import Task
from waiting import wait_until

from pvefw.core.errors import Cancelled, ProviderError
from pvefw.dns import propagation
from pvefw.dns.propagation import Expected
from pvefw.dns.resolver import Resolver
from pvefw.dns.zones import Finder, Zone


@pytest.fixture
def expect(world):
    finder = Finder(world.resolver)

    def make(name, *values, zone, delay=5.0):
        return Expected(name, frozenset(values), finder.zone(zone), delay)

    return make


def timed(call):
    start = time.monotonic()
    call()
    return time.monotonic() - start


def test_what_is_everywhere_is_seen_at_once(world, expect, task, clock):
    name = "_acme-challenge.at-once.example.test."
    world.primary.update("example.test.", ("add", name, "one"), ("add", name, "two"))
    seen = []
    record = expect(name, "one", "two", zone="example.test.")
    propagation.wait([record], world.resolver, task, clock, lambda server, _: seen.append(server))
    assert {server.address for server in seen} == {"127.0.0.1", "::1"}
    assert task.warnings == []


def test_a_slow_secondary_is_waited_for_and_not_longer(world, expect, task, clock, monkeypatch):
    name = "_acme-challenge.later.slow.test."
    world.primary.update("slow.test.", ("add", name, "value"))
    published, asked = [], []
    exchange = Resolver.exchange

    def counted(self, server, *arguments, **options):
        asked.append(server.address)
        return exchange(self, server, *arguments, **options)

    monkeypatch.setattr(Resolver, "exchange", counted)

    def publish():
        wait_until(lambda: asked.count(world.lagging.address) >= 2, "the secondary is asked")
        world.lagging.control("zone-retransfer", "slow.test.")
        published.append(time.monotonic())

    thread = threading.Thread(target=publish)
    thread.start()
    propagation.wait(
        [expect(name, "value", zone="slow.test.", delay=20)], world.resolver, task, clock
    )
    done = time.monotonic()
    thread.join()
    assert 0 < done - published[0] + 0.3 < 1.3


def test_a_server_that_lags_is_named_with_its_answer(world, expect, task, clock):
    name = "_acme-challenge.never.slow.test."
    world.primary.update("slow.test.", ("add", name, "value"))
    with pytest.raises(ProviderError) as caught:
        propagation.wait(
            [expect(name, "value", zone="slow.test.", delay=0.5)], world.resolver, task, clock
        )
    message = caught.value.message
    assert "ns2.slow.test (" in message
    assert "NXDOMAIN (zone slow.test. serial " in message
    assert "ns1" not in message
    assert "validation-delay" in caught.value.hint


def test_a_value_that_shows_nowhere_is_an_error(world, expect, task, clock):
    name = "_acme-challenge.partly.example.test."
    world.primary.update("example.test.", ("add", name, "one"))
    expected = [
        expect(name, "one", "two", zone="example.test.", delay=0.5),
        expect("www.example.test.", "x", zone="example.test.", delay=0.5),
        expect("web.example.test.", "x", zone="example.test.", delay=0.5),
        expect(name, "three", zone="example.test.", delay=0.5),
    ]
    with pytest.raises(ProviderError) as caught:
        propagation.wait(expected, world.resolver, task, clock)
    message = caught.value.message
    assert "shows 1 of 2 values" in message
    assert "www.example.test. does not show after 0.5 seconds: ns1.example.test" in message
    assert "has no TXT record there" in message
    assert "has a CNAME there" in message
    assert "shows only other values" in message


def test_a_zone_that_is_cut_below_the_provider_s_zone_is_told(world, expect, task, clock):
    record = expect("_acme-challenge.www.sub.example.test.", "x", zone="example.test.", delay=0.3)
    with pytest.raises(ProviderError, match=r"says that sub\.example\.test\. is a zone of its own"):
        propagation.wait([record], world.resolver, task, clock)


def test_dead_servers_are_waited_for_then_ignored(world, expect, task, clock):
    name = "_acme-challenge.dead.test."
    world.primary.update("dead.test.", ("add", name, "value"))
    record = expect(name, "value", zone="dead.test.", delay=1.0)
    assert 1.0 <= timed(lambda: propagation.wait([record], world.resolver, task, clock)) < 4
    assert "ns2.dead.test" in task.text
    assert "no answer in time" in task.text
    assert "connection refused" in task.text
    assert "ns1.dead.test" not in task.text


def test_a_lame_server_beside_good_ones_is_ignored(world, expect, task, clock):
    name = "_acme-challenge.lame.test."
    world.primary.update("lame.test.", ("add", name, "value"))
    propagation.wait(
        [expect(name, "value", zone="lame.test.", delay=0.5)], world.resolver, task, clock
    )
    assert "answers REFUSED; going on" in task.text


def test_a_server_that_fails_beside_good_ones_is_ignored(world, expect, task, clock):
    name = "_acme-challenge.broken.test."
    world.primary.update("broken.test.", ("add", name, "value"))
    propagation.wait(
        [expect(name, "value", zone="broken.test.", delay=0.5)], world.resolver, task, clock
    )
    assert "answers SERVFAIL; going on" in task.text


def test_only_failing_servers_are_an_error(world, task, clock):
    lame = world.resolver.authority("ns.lame.test.", world.lame)
    record = Expected(
        "_acme-challenge.lame.test.", frozenset("x"), Zone("lame.test.", (lame,)), 0.3
    )
    with pytest.raises(ProviderError, match="answers REFUSED"):
        propagation.wait([record], world.resolver, task, clock)


def test_who_answers_without_authority_is_no_witness(world, task, clock):
    """A box on the way that takes all questions for port 53 to a resolver."""
    asked = world.resolver.servers[0]
    record = Expected(
        "_acme-challenge.example.test.", frozenset("x"), Zone("example.test.", (asked,)), 0.3
    )
    propagation.wait([record], world.resolver, task, clock)
    assert "answers without authority; going on" in task.text


def test_without_known_servers_the_delay_is_waited(world, task, clock):
    record = Expected("_acme-challenge.x.test.", frozenset("x"), Zone("", (), "no idea"), 0.4)
    assert 0.4 <= timed(lambda: propagation.wait([record], world.resolver, task, clock)) < 1
    assert "waiting 0.4 s instead: no idea" in task.text


def test_no_delay_is_no_wait(world, expect, task, clock):
    record = expect("_acme-challenge.no-wait.example.test.", "x", zone="example.test.", delay=0)
    assert timed(lambda: propagation.wait([record], world.resolver, task, clock)) < 0.2


def test_addresses_without_a_route_are_left_out_with_one_message(world, expect, task, clock):
    """A broadcast address cannot be connected to: what IPv6 is for a host without it."""
    name = "_acme-challenge.no-route.example.test."
    world.primary.update("example.test.", ("add", name, "value"))
    good = expect(name, "value", zone="example.test.")
    far = world.resolver.authority("ns6.example.test.", "255.255.255.255")
    both = Expected(name, good.values, Zone("example.test.", (*good.zone.servers, far)), 5.0)
    assert timed(lambda: propagation.wait([both, both], world.resolver, task, clock)) < 3
    assert [line for line in task.lines if "no route" in line] == [
        f"Not watched, there is no route to them: {far}"
    ]


def test_without_any_route_the_delay_is_waited(world, task, clock):
    far = world.resolver.authority("", "255.255.255.255")
    record = Expected("_acme-challenge.x.test.", frozenset("x"), Zone("x.test.", (far,)), 0.4)
    assert 0.4 <= timed(lambda: propagation.wait([record], world.resolver, task, clock)) < 1


def test_long_answers_come_over_tcp(world, expect, task, clock):
    name = "_acme-challenge.many.example.test."
    values = [f"{number:02d}" + "x" * 41 for number in range(30)]
    world.primary.update("example.test.", *(("add", name, value) for value in values))
    propagation.wait([expect(name, *values, zone="example.test.")], world.resolver, task, clock)


def test_a_server_that_speaks_only_tcp(world, task, clock):
    name = "_acme-challenge.tcp.example.test."
    world.primary.update("example.test.", ("add", name, "value"))
    with TcpOnly(world.primary) as address:
        server = world.resolver.authority("", address)
        record = Expected(name, frozenset(["value"]), Zone("example.test.", (server,)), 5.0)
        assert timed(lambda: propagation.wait([record], world.resolver, task, clock)) < 2
        assert "could not be watched" not in task.text


class TcpOnly:
    """Relays TCP connections on another address to a server."""

    def __init__(self, server):
        self._server = server

    def __enter__(self):
        target = (self._server.address, self._server.port)

        class Relay(socketserver.BaseRequestHandler):
            def handle(self):
                with socket.create_connection(target) as other:
                    other.sendall(self.request.recv(65535))
                    self.request.sendall(other.recv(65535))

        address = loopback()
        self._relay = socketserver.ThreadingTCPServer((address, self._server.port), Relay)
        self._relay.daemon_threads = True
        self._thread = threading.Thread(target=self._relay.serve_forever, args=(0.01,))
        self._thread.start()
        return address

    def __exit__(self, *_):
        self._relay.shutdown()
        self._relay.server_close()
        self._thread.join()


def test_many_names_are_asked_together(world, expect, task, clock):
    names = [f"_acme-challenge.n{number}.many.example.test." for number in range(120)]
    world.primary.update("example.test.", *(("add", name, "value") for name in names))
    expected = [expect(name, "value", zone="example.test.") for name in names]
    seen = []
    propagation.wait(
        expected, world.resolver, task, clock, lambda _, record: seen.append(record.name)
    )
    assert sorted(seen) == sorted(names * 2)


def test_waiting_can_be_cancelled(world, expect, clock):
    task = Task()
    threading.Timer(0.3, task.cancel).start()
    record = expect("_acme-challenge.cancel.slow.test.", "x", zone="slow.test.", delay=60)
    with pytest.raises(Cancelled):
        propagation.wait([record], world.resolver, task, clock)


def test_blind_waiting_can_be_cancelled(clock):
    task = Task()
    threading.Timer(0.3, task.cancel).start()
    record = Expected("_acme-challenge.x.test.", frozenset("x"), Zone("", (), "no idea"), 60)
    with pytest.raises(Cancelled):
        propagation.wait([record], Resolver([]), task, clock)
