"""Guests that are suspended and resumed, all of them, in order, and at shutdown of the host."""

import json
import signal

from pvefw.store import guest_notes
from pvefw.store.guest_reference import Reference


def settle(host, *wanted):
    for name in wanted:
        host.daemon.define(name)
    for order, name in enumerate(wanted):
        host.give(name, order=order, onboot=0, up=0)
        host.daemon.connection.lookupByName(name).create()
    host.daemon.wait_until_booted(*wanted)


def states(host):
    rows = json.loads(host.run("guest", "list", "--output-format", "json"))
    return {row["name"]: (row["state"], row["saved"]) for row in rows}


def order(said, what):
    return [line.split()[1] for line in said.splitlines() if what in line]


def test_to_memory_and_back(host):
    settle(host, "db", "web")
    said = host.run("suspendall", "--to", "memory", "--max-workers", 1)
    assert order(said, ": suspending") == ["(web):", "(db):"]
    assert states(host) == {"db": ("paused", False), "web": ("paused", False)}
    said = host.run("resumeall", "--max-workers", 1)
    assert order(said, ": resuming") == ["(db):", "(web):"]
    assert states(host) == {"db": ("running", False), "web": ("running", False)}


def test_to_disk_and_back(host):
    settle(host, "db", "web")
    plan = json.loads(host.run("suspendall", "--dry-run", "--output-format", "json"))
    assert [(row["action"], row["name"]) for row in plan] == [("suspend", "web"), ("suspend", "db")]
    assert host.run("suspendall").endswith("Task OK\n")
    assert states(host) == {"db": ("stopped", True), "web": ("stopped", True)}
    assert host.run("resumeall", "--vms", 101).endswith("Task OK\n")
    assert states(host) == {"db": ("stopped", True), "web": ("running", False)}
    host.daemon.connection.lookupByName("db").managedSaveRemove()
    assert "0 of 0 guests" in host.run("resumeall")


def test_a_shutdown_suspends_and_the_next_boot_resumes_without_onboot(host):
    settle(host, "db", "web")
    said = host.run("shutdown-guests", "--suspend")
    assert said.endswith("Task OK\n")
    assert states(host) == {"db": ("stopped", True), "web": ("stopped", True)}
    assert host.run("boot-guests").endswith("Task OK\n")
    assert states(host) == {"db": ("running", False), "web": ("running", False)}
    host.run("stopall", "--timeout", 60)
    assert "0 of 0 guests" in host.run("boot-guests")


def test_one_that_cannot_be_suspended_is_shut_down(host, other):
    """Its memory cannot be saved: something is in the way."""
    settle(host, "db", "web")
    saved = host.daemon.home / "conf/libvirt/qemu/save"
    saved.mkdir(parents=True, exist_ok=True)
    (saved / "web.save").mkdir()
    try:
        said = host.run("shutdown-guests", "--suspend")
    finally:
        (saved / "web.save").rmdir()
    assert "WARN: not suspended, but shut down: " in said
    assert states(host) == {"db": ("stopped", True), "web": ("stopped", False)}
    host.daemon.connection.lookupByName("db").managedSaveRemove()


def test_a_shutdown_that_is_killed_loses_no_guest_that_it_saved(host):
    """Its guests have no onboot: only the note lets them continue."""
    settle(host, "db", "web")
    process = host.start("shutdown-guests", "--suspend")
    host.read_until(process, "suspended after")
    host.end(process, signal.SIGKILL)
    saved = {name for name, (_, on_disk) in states(host).items() if on_disk}
    assert saved
    host.try_("boot-guests")
    assert {states(host)[name] for name in saved} == {("running", False)}


def test_what_an_earlier_shutdown_saved_is_not_forgotten_by_the_next(host):
    """It could not continue at the boot between them: its backend did not answer, say."""
    settle(host, "db", "web")
    host.run("suspendall", "--vms", host.vmid("db"))
    guest_notes.note_suspended(host.paths, [Reference(host.vmid("db"))])
    host.run("shutdown-guests", "--suspend")
    assert states(host) == {"db": ("stopped", True), "web": ("stopped", True)}
    host.run("boot-guests")
    assert states(host) == {"db": ("running", False), "web": ("running", False)}
