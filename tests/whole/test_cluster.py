"""Three nodes with one certificate, on a file system that answers as pmxcfs does."""

import json
import os
import signal
import threading
import time
from dataclasses import dataclass, field, replace

import pytest
from cryptography import x509
from servers import pmxcfs
from servers.faulty_acme import FaultyAcme, faulty_acme, problem
from servers.pebble import Pebble
from servers.pebble import pebble as run_pebble
from servers.processes import free_port
from shifted_clock import needs_the_machines_clock
from waiting import wait_until
from whole_host import Host

from pvefw.store import node_settings

NAMES = ("pve1", "pve2", "pve3")


@dataclass
class Stop:
    """Keeps an answer of the authority back until it may go."""

    reached: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def __call__(self, _proxy, _handler, answer):
        self.reached.set()
        self.go.wait(120)
        return answer


@dataclass
class Three:
    """The nodes, and their authority behind a proxy."""

    cluster: pmxcfs.Cluster
    authority: Pebble
    proxy: FaultyAcme
    hosts: list[Host]
    running: list = field(default_factory=list)

    def set(self, **values):
        for host in self.hosts:
            node_settings.change(host.paths, values)

    def share(self):
        """Let all have the certificate that the first one orders."""
        first, *others = self.hosts
        first.run("acme", "cert", "order")
        for other in others:
            other.run("renew")
        assert len({host.pair() for host in self.hosts}) == 1
        return serial(first)

    def stopped(self, host, *arguments):
        """Start a command that orders, and let its certificate wait at the authority."""
        stop = Stop()
        self.proxy.fail("POST /certZ/", stop, 1)
        started = self.start(host, *arguments)
        assert stop.reached.wait(60), "no certificate was asked for"
        return started, stop

    def start(self, host, *arguments):
        started = host.start(*arguments)
        self.running.append(started)
        return started

    def status(self, number):
        return self.authority.status(number)

    @property
    def lock(self):
        [found] = [lock for lock in self.cluster.locks() if lock.startswith("acme-order-")]
        return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Three nodes, and an account that they share; what tests write there goes."""
    if why := pmxcfs.missing():
        pytest.skip(why)
    needs_the_machines_clock("a lock looks abandoned by the time stamps of its file system")
    where = tmp_path_factory.mktemp("cluster")
    with (
        run_pebble(where / "pebble", always_valid=True) as authority,
        faulty_acme(authority, where) as proxy,
        pmxcfs.cluster(where, NAMES) as cluster,
    ):
        hosts = [Host(cluster.roots[name], node=name) for name in NAMES]
        through = replace(authority, directory=proxy.directory, ca_file=proxy.ca_file)
        hosts[0].register(through)
        hosts[0].standalone(free_port())
        cluster.keep()
        yield Three(cluster, authority, proxy, hosts)


@pytest.fixture
def three(shared):
    shared.proxy.heal()
    shared.proxy.requests.clear()
    shared.cluster.reset()
    shared.set(acmedomain0="gui.example", **{"reload-command": "-"})
    yield shared
    while shared.running:
        with shared.running.pop() as cluster:
            cluster.kill()


def serial(host):
    return x509.load_pem_x509_certificate(host.pair()[0]).serial_number


def lines_of(started, lines):
    """Collects what a command prints, while it runs."""
    thread = threading.Thread(target=lambda: lines.extend(started.stdout), daemon=True)
    thread.start()
    return thread


def killed(started):
    started.kill()
    started.wait()


# --- revoked ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 2], ids=["the node that revoked", "another node"])
def test_a_revoked_certificate_and_its_key_do_not_come_back(three, first):
    three.set(**{"key-reuse": "1"})
    number = three.share()
    leaked = three.hosts[0].pair()
    said = three.hosts[0].run("acme", "cert", "revoke")
    assert three.status(number) == "Revoked"
    for name in NAMES[1:]:
        assert f"Node {name} still serves the revoked certificate" in said
    assert "pveproxy-ssl.pem (gui.example): not ordered yet" in three.hosts[0].run("renew")
    assert not three.hosts[0].paths.proxy_certificate.exists()
    rows = parts(three.hosts[1])["certificates"]["data"]["certificates"]
    [row] = [candidate for candidate in rows if candidate["revoked"]]
    assert "node pve1 revoked it on" in row["line"]

    command = ["acme", "cert", "order"] if first == 0 else ["renew"]
    assert "Placing ACME order" in three.hosts[first].run(*command)
    for host in three.hosts:
        if host is not three.hosts[first]:
            assert "taking it over" in host.run("renew")
        assert host.pair() == three.hosts[first].pair()
        assert host.pair()[0] != leaked[0]
        assert host.pair()[1] != leaked[1]


def parts(host):
    """``status`` says 1 where something needs attention."""
    return json.loads(host.try_("status", "--output-format", "json").stdout)["parts"]


def test_a_revocation_that_the_authority_refuses_is_none(three):
    number = three.share()
    three.proxy.fail("POST /revoke-cert", problem("serverInternal", "not today", 500))
    three.hosts[0].fail("acme", "cert", "revoke")
    three.proxy.heal()
    assert three.status(number) == "Valid"
    assert three.hosts[0].paths.proxy_certificate.exists()
    assert "revoked" not in three.hosts[1].run("renew", "--dry-run")


def test_the_last_node_that_replaces_a_certificate_revokes_it(three):
    three.set(**{"revoke-replaced": "1"})
    number = three.share()
    first, second, third = three.hosts
    said = first.run("acme", "cert", "renew", "--force")
    assert "not revoked yet: pve2, pve3 still serve it" in said
    assert three.status(number) == "Valid"
    assert "not revoked yet: pve3 still serves it" in second.run("renew")
    assert three.status(number) == "Valid"
    third.run("renew")
    assert three.status(number) == "Revoked"
    assert three.status(serial(third)) == "Valid"


# --- no quorum --------------------------------------------------------------------------------------


def test_who_waits_says_for_whom_and_does_not_wait_without_quorum(three):
    first, second, third = three.hosts
    _, stop = three.stopped(first, "acme", "cert", "order")
    commands = (["acme", "cert", "order"], ["acme", "cert", "order", "--force"])
    waiting, lines = [], []
    for host, command in zip((second, third), commands, strict=True):
        waiting.append(three.start(host, *command))
        lines.append([])
        lines_of(waiting[-1], lines[-1])
    for line in lines:
        wait_until(
            lambda texts=line: any("Waiting for node pve1 (process" in text for text in texts),
            "word",
            60,
        )
    three.cluster.cut("pve2")
    assert waiting[0].wait(60) == 1
    wait_until(lambda: any("no quorum, and node pve1 (process" in line for line in lines[0]), "why")
    for command in (["acme", "cert", "order"], ["acme", "cert", "order", "--force"]):
        said = second.fail(*command)
        assert "no quorum, and node pve1 (process" in said
    stop.go.set()
    assert waiting[1].wait(60) == 0
    three.cluster.heal("pve2")
    second.run("acme", "cert", "order")
    assert serial(second) in (serial(first), serial(third))


def test_a_node_without_quorum_revokes_nothing(three):
    number = three.share()
    before = three.hosts[2].pair()
    three.cluster.cut("pve3")
    assert "no quorum" in three.hosts[2].fail("acme", "cert", "revoke")
    assert three.status(number) == "Valid"
    assert three.hosts[2].pair() == before
    assert "POST /revoke-cert" not in " ".join(three.proxy.requests)


def test_a_healed_node_takes_over_at_once(three):
    """Back-off is for orders that failed, not for what others have, nor for a cluster without quorum."""
    three.share()
    first, second, _ = three.hosts
    second.make_due()
    three.cluster.cut("pve2")
    assert "no quorum" in second.fail_output("renew")
    first.run("acme", "cert", "renew", "--force")
    three.cluster.heal("pve2")
    assert "taking it over" in second.run("renew")
    assert second.pair() == first.pair()

    second.make_due()
    three.proxy.fail("POST /order-plz", problem("serverInternal", "not today", 500))
    assert "The next try is due" in second.fail_output("renew")
    assert "the last try failed; next at" in second.run("renew", "--dry-run")
    three.proxy.heal()
    first.run("acme", "cert", "renew", "--force")
    assert "taking it over" in second.run("renew")
    assert second.pair() == first.pair()


def test_what_is_said_of_quorum(three):
    """As Proxmox VE's own API does, to those who decide by it."""
    node = three.hosts[2]

    def said():
        words = ["api", "get", "/cluster/ha/status/current", "--output-format", "json"]
        [found] = json.loads(node.run(*words))
        return found["quorate"], found["status"]

    assert said() == (1, "OK")
    three.cluster.cut("pve3")
    assert said() == (0, "No quorum on node 'pve3'!")


@pytest.mark.parametrize("command", ["startall", "boot-guests"])
def test_guests_wait_for_quorum(three, command):
    """Which backends there are is only looked at then: what is known before may be old."""
    node = three.hosts[2]
    three.cluster.cut("pve3")
    started, lines = three.start(node, command), []
    reading = lines_of(started, lines)
    wait_until(lambda: any("waiting for quorum" in line for line in lines), "word of it", 60)
    assert started.poll() is None
    three.cluster.heal("pve3")
    assert started.wait(60) == (1 if command == "startall" else 0)  # at boot none is needed
    reading.join()
    said = "".join(lines)
    end = "pve3 has no guest backend" if command == "startall" else "Task OK"
    assert said.index("the cluster has quorum") < said.index(end)


# --- killed, and asleep -----------------------------------------------------------------------------


def test_the_order_of_a_killed_node_ends_when_it_takes_over(three):
    first, second, _ = three.hosts
    started, _ = three.stopped(first, "acme", "cert", "order")
    killed(started)
    assert first.paths.open_order.exists()
    three.cluster.age(three.lock)
    second.run("acme", "cert", "order")
    first.run("acme", "cert", "order")
    assert first.pair() == second.pair()
    assert not first.paths.open_order.exists()
    assert not list(first.paths.node_dir().glob("*.pvefw-order"))


def test_an_interrupted_order_is_not_put_over_something_newer(three):
    """As a record that is left from elsewhere: of an older pvefw, or of a node that was restored."""
    first, *_ = three.hosts
    started, _ = three.stopped(first, "acme", "cert", "order")
    killed(started)
    key = first.paths.proxy_key.with_name("pveproxy-ssl.key.pvefw-order")
    left = {path: path.read_bytes() for path in (first.paths.open_order, key)}
    first.run("acme", "cert", "order")  # it is resumed
    stale = serial(first)
    wait_for_the_next_second()
    first.run("acme", "cert", "renew", "--force")
    newer = serial(first)
    for path, data in left.items():
        path.write_bytes(data)
    said = first.run("acme", "cert", "renew", "--force")
    assert "The interrupted order is abandoned: its certificate is older" in said
    assert serial(first) not in (stale, newer)
    assert not first.paths.open_order.exists()


def wait_for_the_next_second():
    """Certificates begin at whole seconds."""
    now = int(time.time())
    wait_until(lambda: int(time.time()) > now, "the next second")


def test_who_slept_for_too_long_installs_nothing_and_leaves_the_lock(three):
    first, second, third = three.hosts
    three.share()
    before = first.pair()
    asleep, stop = three.stopped(first, "acme", "cert", "renew", "--force")
    os.kill(asleep.pid, signal.SIGSTOP)
    three.cluster.age(three.lock)
    second.run("acme", "cert", "renew", "--force")
    _, theirs = three.stopped(third, "acme", "cert", "renew", "--force")
    lock = three.lock
    stop.go.set()
    os.kill(asleep.pid, signal.SIGCONT)
    said, _ = asleep.communicate(timeout=60)
    assert asleep.returncode == 1
    assert "this process slept for longer than its lock lasts" in said
    assert three.lock == lock
    assert first.pair() == before
    theirs.go.set()
    wait_until(
        lambda: not any("acme-order" in name for name in three.cluster.locks()), "its end", 60
    )
    first.run("renew")
    assert first.pair() in (second.pair(), third.pair())
    assert not first.paths.open_order.exists()
