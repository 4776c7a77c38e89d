"""Guests that move between two hosts: shared and local disks, spread, abort, and a target that dies."""

import json
import re

import pytest
from servers.libvirt import libvirt_nodes
from waiting import wait_until

WORKERS = ("--max-workers", 4)
SLOW = {"bandwidth": 2}
"""MiB a second: time to interfere."""


def image(node, name):
    return node.base / f"local-of-{node.name}" / f"{name}.img"


def is_arriving(node):
    """Whether a guest is on its way to a node: it is there, and does not run yet."""
    return any(domain.isActive() for domain in node.connection.listAllDomains())


def test_guests_move_while_they_run_and_keep_what_they_say_of_themselves(host, other):
    for name in ("web0", "web1", "web2"):
        host.daemon.define(name)
    for name, vmid in (("web0", 1000), ("web1", 101), ("web2", 102)):
        host.give(name, vmid=vmid, onboot=1, order=5)
    for name in ("web0", "web1"):
        host.daemon.connection.lookupByName(name).create()
    plan = json.loads(host.run("migrateall", "n2", "--dry-run", "--output-format", "json"))
    assert [(row["id"], row["target"]) for row in plan] == [
        (vmid, "n2") for vmid in ("101", "102", "1000")
    ]
    assert host.daemon.active() == {"web0", "web1"}

    said = host.run("migrateall", "n2", "--max-workers", 1)
    assert re.findall(r"(\d+) \(\w+\): moved", said) == ["101", "102", "1000"]
    assert said.endswith("Task OK\n")
    assert host.plugin().guest_list() == []
    assert other.daemon.active() == {"web0", "web1"}
    there = {
        guest.vmid: (guest.name, guest.onboot, guest.order) for guest in other.plugin().guest_list()
    }
    assert there == {
        1000: ("web0", True, 5),
        101: ("web1", True, 5),
        102: ("web2", True, 5),
    }


def test_local_disks_move_along_where_that_is_wanted(host, other):
    host.daemon.define("web", local=True, filler=8 << 20)
    host.daemon.connection.lookupByName("web").create()
    said = host.fail("migrateall", "n2")
    assert "100 blocked: n2: it has local disks" in said
    assert host.daemon.active() == {"web"}

    before = image(host.daemon, "web").read_bytes()
    host.run("migrateall", "n2", "--with-local-disks")
    assert other.daemon.active() == {"web"}
    assert image(other.daemon, "web").read_bytes() == before


def test_what_stands_in_the_way_of_one_keeps_the_others_from_nothing(host, other):
    for name in ("clash", "moves", "number"):
        host.daemon.define(name)
        host.daemon.connection.lookupByName(name).create()
    other.daemon.define("clash")
    other.daemon.define("x")
    host.give("clash", vmid=201)
    host.give("number", vmid=202)
    host.give("moves", vmid=203)
    other.give("clash", vmid=301)
    other.give("x", vmid=202)
    said = host.fail("migrateall", "n2", *WORKERS)
    assert "migrateall: 2 failed: " in said
    assert "201 blocked: n2: n2 has another guest of this name" in said
    assert "202 blocked: n2: x of n2 has the VMID 202, too" in said
    assert host.daemon.active() == {"clash", "number"}
    assert other.daemon.active() == {"moves"}


def test_a_target_that_is_not_there_moves_nothing(host):
    host.daemon.define("web").create()
    said = host.fail("migrateall", "n9")
    assert "Failed to connect socket" in said
    assert host.daemon.active() == {"web"}


def test_an_abort_in_the_middle_leaves_nothing_half_done(host, other):
    host.daemon.define("long", local=True, filler=64 << 20)
    host.daemon.connection.lookupByName("long").create()
    host.configure(**SLOW)
    with host.start("migrateall", "n2", "--with-local-disks") as process:
        host.read_until(process, "(long): moving to n2")
        wait_until(lambda: is_arriving(other.daemon), "the move begins")
        status, said = host.interrupt(process)
    assert status == 1
    assert "100 (long): interrupted; it is running now" in said
    assert host.daemon.active() == {"long"}
    wait_until(lambda: other.daemon.connection.listAllDomains() == [], "nothing is left at n2")
    assert not image(other.daemon, "long").exists()
    host.daemon.wait_until_booted("long")
    assert host.run("stopall").endswith("Task OK\n")


@pytest.fixture
def mortal(host, tmp_path):
    """Two hosts of their own, of which one may die."""
    with libvirt_nodes("n1", "n2") as (first, second):
        second.pool()
        made = type(host)(tmp_path / "mortal", node="n1", daemon=first)
        made.configure(**SLOW)
        yield made, second


def test_a_target_that_dies_in_the_middle(mortal):
    host, target = mortal
    host.daemon.define("web", local=True, filler=64 << 20)
    host.daemon.connection.lookupByName("web").create()
    with host.start("migrateall", "n2", "--with-local-disks") as process:
        host.read_until(process, "(web): moving to n2")
        wait_until(lambda: is_arriving(target), "the move begins")
        target.die()
        status, said = host.end(process)
    assert status == 1
    assert "migrateall: 1 failed: 100 failed: libvirt: " in said
    assert host.daemon.active() == {"web"}
    assert host.plugin().guest_list()[0].state == "running"
    host.daemon.wait_until_booted("web")
    assert host.run("stopall").endswith("Task OK\n")


def test_a_node_is_drained_over_two_others(tmp_path, host):
    """Both have the same memory, as they are one machine: what one takes makes the other the next."""
    with libvirt_nodes("n1", "n2", "n3") as (first, second, third):
        made = type(host)(tmp_path / "drained", node="n1", daemon=first)
        made.configure()
        for number in range(4):
            first.define(f"web{number}").create()
        plan = json.loads(
            made.run("migrateall", "--spread", "n2,n3", "--dry-run", "--output-format", "json")
        )
        assert {row["target"] for row in plan} <= {"n2", "n3"}
        made.run("migrateall", "--spread", "n2,n3", *WORKERS)
        assert first.active() == set()
        assert sorted(second.active() | third.active()) == [f"web{number}" for number in range(4)]
