"""Bulk power with real guests: order, parallel groups, deaf guests, a hundred of them."""

import json
import re

import libvirt
import pytest
from resources import uses
from servers.machines import agent

from pvefw.testing.guest import PatientTask

WORKERS = ("--max-workers", 8)


def names(count, prefix="web"):
    return [f"{prefix}{number:02}" for number in range(count)]


def by_fives(vmids):
    return [set(vmids[at : at + 5]) for at in range(0, len(vmids), 5)]


def settle(host, *wanted):
    """Start guests past the scheduler, and wait until they would obey."""
    for name in wanted:
        host.daemon.connection.lookupByName(name).create()
    host.daemon.wait_until_booted(*wanted)


def test_twenty_guests_start_in_their_order_and_stop_in_reverse(host, recorder):
    everybody = names(20)
    for name in everybody:
        host.daemon.define(name, lingers=0.5)
    plugin = host.plugin()
    groups = {}
    for guest in plugin.guest_list():
        order = (guest.vmid - 100) % 4  # not in the order of their numbers
        groups.setdefault(order, set()).add(guest.vmid)
        plugin.guest_set(guest, {"onboot": "1", "order": str(order), "up": "0"})
    recorded = recorder()

    said = host.run("startall", *WORKERS)
    assert said.endswith("Task OK\n")
    assert host.daemon.active() == set(everybody)
    started = by_fives(recorded.order("running", 20))
    assert started == [groups[order] for order in range(4)]

    host.daemon.wait_until_booted(*everybody)
    said = host.run("stopall", *WORKERS)
    assert said.endswith("Task OK\n")
    assert host.daemon.active() == set()
    stopped = by_fives(recorded.order("stopped", 20))
    assert stopped == [groups[order] for order in (3, 2, 1, 0)]
    assert {how for _, state, how in recorded.events if state == "stopped"} == {"shut down"}


def test_guests_of_a_group_stop_side_by_side(host):
    everybody = names(5)
    for name in everybody:
        host.daemon.define(name, lingers=2)
    settle(host, *everybody)
    said = host.run("stopall", *WORKERS)
    words = re.findall(r"shutting down|stopped after", said)
    assert words == ["shutting down"] * 5 + ["stopped after"] * 5


def test_a_deaf_guest_is_stopped_hard_when_its_own_time_is_over(host):
    host.daemon.define("deaf", deaf=True)
    host.daemon.define("web")
    host.give("deaf", down=2)
    settle(host, "deaf", "web")
    said = host.run("stopall", *WORKERS)
    assert "100 (deaf): shutting down, at most 2 s" in said
    assert "100 (deaf): force-stopped: libvirt: it still runs after 2 seconds" in said
    assert "101 (web): stopped after" in said
    assert said.endswith("Task WARNINGS: 1\n")
    assert host.daemon.active() == set()


def test_without_force_a_deaf_guest_is_left_and_named(host):
    host.daemon.define("deaf", deaf=True)
    host.daemon.define("web")
    settle(host, "deaf", "web")
    said = host.fail("stopall", "--timeout", 2, "--force-stop", 0, *WORKERS)
    assert "stopall: 1 failed: 100 failed: libvirt: it still runs after 2 seconds" in said
    assert host.daemon.active() == {"deaf"}


def test_a_guest_that_was_still_booting_is_asked_again(host):
    host.daemon.define("web").create()  # its firmware has not looked at the disk yet
    assert host.run("stopall", "--timeout", 60).endswith("Task OK\n")


def test_a_paused_guest_goes_on(host):
    host.daemon.define("web").createWithFlags(1)
    host.give("web", onboot=1)
    assert (
        json.loads(host.run("guest", "show", 100, "--output-format", "json"))["state"] == "paused"
    )
    host.run("startall")
    assert (
        json.loads(host.run("guest", "show", 100, "--output-format", "json"))["state"] == "running"
    )


def test_an_interruption_says_what_was_and_leaves_the_rest(host):
    host.daemon.define("deaf", deaf=True)
    for name in ("web0", "web1"):
        host.daemon.define(name)
    for order, name in enumerate(("web0", "deaf", "web1")):
        host.give(name, order=order)
    settle(host, "web0", "deaf", "web1")
    with host.start("stopall") as process:
        host.read_until(process, "100 (deaf): shutting down")
        status, said = host.interrupt(process)
    assert status == 1
    assert "interrupted: done: 102" in said
    assert "100 (deaf): interrupted; it is running now" in said
    assert "interrupted: not begun: 101" in said
    assert host.daemon.active() == {"deaf", "web0"}


def test_an_agent_that_does_not_answer_and_none_at_all(host):
    host.daemon.define("mute", mute_agent=True).create()
    host.daemon.define("none").create()
    plugin, task = host.plugin(), PatientTask()
    mute, none = plugin.guest_list()
    assert plugin.guest_ready(mute, 1.5, task) is False
    assert plugin.guest_ready(none, 1.5, task) is None


def test_an_agent_that_answers_lets_the_next_group_start_and_takes_the_shutdown(host):
    host.daemon.define("web")
    domain = host.daemon.define_with_agent("db")
    host.give("db", onboot=1, order=1, up=3600, ready="agent")
    host.give("web", onboot=1, order=2)
    plugin = host.plugin()
    db = next(guest for guest in plugin.guest_list() if guest.name == "db")

    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    assert plugin.guest_ready(db, 0.5, PatientTask()) is False
    domain.destroy()

    said = host.run("startall", limit=280)  # it does not take the hour that db may take
    words = re.findall(r"\((\w+)\): (starting|waiting until it is ready|started)", said)
    assert words == [
        *(("db", "starting"), ("db", "started"), ("db", "waiting until it is ready")),
        *(("web", "starting"), ("web", "started")),
    ]
    assert plugin.guest_ready(db, 60, PatientTask()) is True

    host.daemon.wait_until_booted("web")
    said = host.run("stopall", "--timeout", 280, limit=300)
    assert said.endswith("Task OK\n"), said
    assert agent.SAYS in host.daemon.console("db")


@uses("night")  # a few are, every time
def test_a_hundred_guests_start_and_stop(host):
    everybody = names(100, "many")
    for name in everybody:
        host.daemon.define(name)
    plugin = host.plugin()
    for guest in plugin.guest_list():
        plugin.guest_set(guest, {"onboot": "1", "up": "0"})
    said = host.run("startall", *WORKERS, limit=280)
    assert "100 of 100 guests done" in said
    assert host.daemon.active() == set(everybody)
    host.daemon.wait_until_booted(*everybody)
    said = host.run("stopall", *WORKERS, limit=280)
    assert "100 of 100 guests done" in said
    assert said.endswith("Task OK\n")
    assert host.daemon.active() == set()


@pytest.mark.parametrize("what", ["list", "show"])
def test_what_is_known_of_guests(host, what):
    host.daemon.define("web", memory=24)
    if what == "list":
        line = host.run("guest", "list").splitlines()[1]
        assert line.split()[:5] == ["100", "web", "vm", "libvirt", "stopped"]
    else:
        shown = json.loads(host.run("guest", "show", 100, "--output-format", "json"))
        assert (shown["memory"], shown["kind"]) == (24 << 20, "vm")
