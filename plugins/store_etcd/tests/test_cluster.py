"""Twelve nodes on three members of etcd: what becomes of changes, locks and orders when members fail."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from servers.etcd import cannot_separate, etcds, separate_etcds
from servers.faulty_acme import faulty_acme
from servers.pebble import pebble as run_pebble
from servers.processes import free_port
from waiting import wait_until
from whole_host import Host

from pvefw.core.errors import PvefwError
from pvefw.store import revocations, shared
from pvefw.store.paths import Paths

pytestmark = pytest.mark.timeout(1800)  # elections and leases, on a machine that does much else
NODES, CHANGES = 12, 9
PROGRAM = """
import os, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from pvefw.core.errors import PvefwError
from pvefw.store import files, locks, revocations, shared_leases
from pvefw.store.paths import Paths
from pvefw.store.revocations import Revocation

shared_leases.SECONDS = 4  # what etcd grants at least is about two
paths = Paths(Path(sys.argv[1]), sys.argv[2])
now = datetime.now(UTC)

def add(serial):
    revocations.add(paths, Revocation(serial, "CN=x", paths.node, now, now + timedelta(days=9)), now)

def added(serial):
    with locks.cluster_lock(paths, "pvefw-revoked"):
        return any(one.serial == serial for one in revocations.load(paths))
"""
ADD = """
for number in range(int(sys.argv[3])):
    serial = f"{paths.node}-{number}"
    tried = done = False
    while not done:
        try:
            if not tried or not added(serial):  # whether the last try got through is not always known
                tried = True
                add(serial)
            done = True
        except PvefwError as error:
            print(type(error).__name__, error)
"""
HOLD = """
with locks.cluster_lock(paths, "thing"):
    print("held", flush=True)
    sys.stdin.readline()
    files.replace(paths.datacenter_cfg, b"late")
"""
TAKE = """
with locks.cluster_lock(paths, "thing", timeout=300):
    files.replace(paths.datacenter_cfg, b"next")
"""
ONCE = """
try:
    add(sys.argv[3])
    print("added")
except PvefwError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    with etcds(tmp_path_factory.mktemp("three"), 3) as running:
        yield running


@pytest.fixture
def cluster(three):
    """All members run again in the end."""
    yield three
    for number in {*range(3)} - {*three.members}:
        three.start(number)
    three.wait()


@pytest.fixture
def make(tmp_path):
    """Makes nodes of a cluster of their own."""
    prefix = f"/{os.urandom(6).hex()}"

    def made(endpoints, number):
        paths = Paths(tmp_path / f"pve{number}", f"pve{number}")
        paths.store_cfg.parent.mkdir(parents=True)
        text = f"store: etcd\nendpoints: {','.join(endpoints)}\nprefix: {prefix}\n"
        paths.store_cfg.write_text(text)
        return paths

    return made


@pytest.fixture
def nodes(cluster, make):
    return [make(cluster.endpoints, number) for number in range(1, NODES + 1)]


@pytest.fixture
def start():
    """Starts programs of nodes, and ends what is left of them."""
    running = []

    def started(paths, text, *arguments, within=()):
        command = [sys.executable, "-c", PROGRAM + text, paths.root, paths.node, *arguments]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        running.append(subprocess.Popen([*within, *map(str, command)], text=True, **pipes))
        return running[-1]

    yield started
    for member in running:
        with member:
            member.kill()


def said(process):
    text, _ = process.communicate(timeout=600)
    assert "Traceback" not in text, text
    return text


def serials(paths):
    return sorted(revocation.serial for revocation in revocations.load(paths))


# --- changes ----------------------------------------------------------------------------------------


def test_a_hundred_changes_of_twelve_nodes_are_all_there_whatever_fails(
    cluster, nodes, make, start
):
    """The leader is killed in the midst of them, and later all members at once."""
    watcher = make(cluster.endpoints, NODES + 1)

    def count():
        shared._OPEN.clear()
        try:
            return len(serials(watcher))
        except PvefwError:
            return 0

    adding = [start(node, ADD, CHANGES) for node in nodes]
    wait_until(lambda: count() > 10, "the first changes", 600)
    leader = cluster.leader()
    cluster.end(leader)
    before = count()
    wait_until(lambda: count() > before + 10, "changes without the leader", 600)
    cluster.start(leader)
    for number in cluster.members:
        cluster.end(number)
    for number in range(3):
        cluster.start(number)
    for process in adding:
        said(process)
    expected = sorted(f"{node.node}-{number}" for node in nodes for number in range(CHANGES))
    for node in (*nodes, watcher):
        shared._OPEN.clear()
        assert serials(node) == expected


@pytest.mark.parametrize("end", ["killed", "asleep"])
def test_who_is_killed_or_sleeps_has_no_lock_after_its_lease(nodes, start, end):
    first, second, *_ = nodes
    holding = start(first, HOLD)
    assert holding.stdout.readline() == "held\n"
    os.kill(holding.pid, signal.SIGKILL if end == "killed" else signal.SIGSTOP)
    said(start(second, TAKE))
    if end == "asleep":
        os.kill(holding.pid, signal.SIGCONT)
        text, _ = holding.communicate("\n", timeout=60)
        assert "this process slept for longer than its lock lasts" in text
    text = shared.of(second.etc_pve)
    text.look(now=True)
    assert second.datacenter_cfg.read_bytes() == b"next"
    shared.of(first.etc_pve).look(now=True)
    assert first.datacenter_cfg.read_bytes() == b"next"


def test_a_member_that_was_cut_off_takes_no_change_and_the_others_do(tmp_path, make, start):
    """A node that reaches only that member reads its copy; nothing is written on two sides."""
    if why := cannot_separate():
        pytest.skip(why)
    workdir = tmp_path / "members"
    workdir.mkdir()
    with separate_etcds(workdir) as members:
        alone = make(members.endpoints[:1], 1)
        other = make(members.endpoints, 2)
        here, there = members.within(0), ["ip", "netns", "exec", members.switch]
        assert "added" in said(start(alone, ONCE, "before", within=here))
        members.cut(0)
        text = said(start(alone, ONCE, "minority", within=here))
        assert "NoQuorum" in text
        assert "the store cannot be asked" in text
        assert "added" in said(start(other, ONCE, "majority", within=there))
        assert json.loads(alone.revocations.read_text())["revoked"][0]["serial"] == "before"
        members.heal(0)
        wait_until(
            lambda: "added" in said(start(alone, ONCE, "healed", within=here)), "the healed", 120
        )
        said(start(other, "revocations.load(paths)", within=there))
        for host in (alone, other):
            found = json.loads(host.revocations.read_text())["revoked"]
            assert [each["serial"] for each in found] == ["before", "majority", "healed"]


# --- certificates -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    where = tmp_path_factory.mktemp("authority")
    with (
        # a request that it refuses for its nonce is sent again, and would be counted twice
        run_pebble(where, always_valid=True, nonce_reject=0) as server,
        faulty_acme(server, where) as proxy,
    ):
        yield replace(server, directory=proxy.directory, ca_file=proxy.ca_file), proxy


@pytest.fixture
def hosts(authority, nodes):
    """Twelve nodes that want one certificate."""
    server, proxy = authority
    proxy.heal()
    found = [Host(node.root, node=node.node) for node in nodes]
    found[0].register(server)
    found[0].standalone(free_port())
    for host in found:
        host.run("config", "set", "--acmedomain0", "gui.example", "--reload-command", "-")
    proxy.requests.clear()
    return found


@pytest.fixture
def started():
    running = []
    yield running
    for process in running:
        with process:
            process.kill()


def orders(proxy):
    return sum("POST /order-plz" in request for request in proxy.requests)


def test_twelve_nodes_order_once_though_the_leader_is_killed(cluster, hosts, authority, started):
    _, proxy = authority
    started += [host.start("acme", "cert", "order") for host in hosts]
    wait_until(lambda: orders(proxy), "the order", 300)
    cluster.end(cluster.leader())
    for process in started:
        text, _ = process.communicate(timeout=600)
        assert process.returncode == 0, text
    assert len({host.pair() for host in hosts}) == 1
    assert orders(proxy) == 1


def test_others_take_over_a_shared_certificate_at_once(hosts, authority, started):
    _, proxy = authority
    first, second, *_ = hosts
    first.run("acme", "cert", "order")
    second.run("acme", "cert", "order")
    watching = second.start("store", "watch")
    started.append(watching)
    before = second.pair()
    first.run("acme", "cert", "renew", "--force")
    history = second.paths.task_dir / "index"
    try:
        wait_until(lambda: ":acmerenew:" in history.read_text(), "the end of the take-over", 120)
    except AssertionError as error:
        watching.terminate()
        pytest.fail(f"{error}; who watches said: {watching.communicate(timeout=60)[0]}")
    assert second.pair() == first.pair() != before
    assert orders(proxy) == 2
    watching.terminate()
    text, _ = watching.communicate(timeout=60)
    assert "Node pve1 has this certificate already; taking it over\n" in text


def test_a_renewal_that_is_due_waits_for_etcd_and_tells(cluster, hosts, authority, tmp_path):
    _, proxy = authority
    first, second, *_ = hosts
    first.run("acme", "cert", "order")
    first.make_due()
    for number in cluster.members:
        cluster.end(number)
    proxy.requests.clear()
    text = first.fail_output("renew")
    assert "the store cannot be asked" in text
    assert orders(proxy) == 0
    record = json.loads(first.paths.renewal_state.read_text())["pveproxy-ssl.pem"]
    assert "the store cannot be asked" in record["reason"]
    assert record["told"]
    assert record["next_try"] is None  # no authority was asked, and none has to be spared
    assert "the store cannot be asked" in second.fail("config", "set", "--acmedomain1", "b.example")
    done = second.try_("config", "get")
    assert "gui.example" in done.stdout
    assert done.stderr.count("what is read is the copy of") == 1
    for number in range(3):
        cluster.start(number)
    cluster.wait()
    first.run("renew")
    assert orders(proxy) == 1
