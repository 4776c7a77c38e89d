"""Guests that vanish, are transient, saved, paused, on their way here, or cannot be read."""

import json

import libvirt
import pytest
from servers.libvirt import wait_until

from pvefw.api import GuestState, MigrateOptions
from pvefw.testing.guest import PatientTask

PAUSED = libvirt.VIR_DOMAIN_START_PAUSED


class Odd:
    """A connection whose listed domain ``odd`` is removed when it is asked for the n-th time."""

    def __init__(self, connection, remove, survives):
        self._connection, self._remove, self._survives = connection, remove, survives

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def listAllDomains(self, *flags):  # noqa: N802 - libvirt's name
        found = self._connection.listAllDomains(*flags)
        return [OddDomain(self, domain) if domain.name() == "odd" else domain for domain in found]

    def asked(self):
        if self._survives == 0:
            self._remove()
        self._survives -= 1


class OddDomain:
    def __init__(self, of, domain):
        self._of, self._domain = of, domain

    def __getattr__(self, name):
        self._of.asked()
        return getattr(self._domain, name)


def make_odd(plugin, survives, remove):
    """Let every connection of a plugin be an odd one."""
    take = plugin._pool._take

    def taken():
        from pvefw_guest_libvirt.connections import connect

        return Odd(take() or connect(plugin.uri), remove, survives)

    plugin._pool._take = taken


@pytest.mark.parametrize("survives", range(8))
def test_a_domain_that_vanishes_at_any_call_spoils_no_list(host, survives):
    host.daemon.define("odd")
    host.daemon.define("web")
    plugin = host.plugin()
    make_odd(plugin, survives, host.daemon.connection.lookupByName("odd").undefine)
    assert "web" in [guest.name for guest in plugin.guest_list()]


def test_a_domain_that_cannot_be_read_is_listed_with_the_reason(host, monkeypatch):
    host.daemon.define("odd").create()
    host.daemon.define("web")
    plugin = host.plugin()
    known = libvirt.virDomain.XMLDesc

    def refused(domain, flags=0):
        if domain.name() == "odd":
            raise libvirt.libvirtError("its XML is odd")
        return known(domain, flags)

    monkeypatch.setattr(libvirt.virDomain, "XMLDesc", refused)
    odd, web = sorted(plugin.guest_list(), key=lambda guest: guest.name)
    assert (odd.problem, odd.state) == ("its XML is odd", GuestState.RUNNING)
    assert web.problem == ""
    plugin.guest_stop(odd)
    assert host.daemon.active() == set()


@pytest.mark.parametrize("deaf", [False, True])
def test_a_transient_guest_that_stops_is_gone_and_that_is_no_failure(host, deaf):
    domain = host.daemon.define("web", deaf=deaf)
    xml = domain.XMLDesc(0)
    domain.undefine()
    host.daemon.connection.createXML(xml)
    host.daemon.wait_until_booted("web")
    said = host.run("stopall", "--timeout", 2 if deaf else 60)
    assert said.endswith("Task WARNINGS: 1\n" if deaf else "Task OK\n")
    assert host.daemon.active() == set()


def test_a_guest_that_moves_away_while_it_is_asked_to_stop(host, other):
    host.daemon.define("web", deaf=True).create()
    host.daemon.wait_until_booted("web")
    with host.start("stopall", "--timeout", 300) as process:
        host.read_until(process, "shutting down")
        plugin, task = host.plugin(), PatientTask()
        [guest] = plugin.guest_list()
        plugin.guest_migrate(guest, "n2", MigrateOptions(), task)
        status, said = host.end(process)
    assert status == 0
    assert "WARN: 100 (web): it has moved away to another node" in said
    assert other.daemon.active() == {"web"}


# --- saved and paused -----------------------------------------------------------------------------


def test_a_guest_with_a_saved_image_stays_and_says_why(host, other):
    domain = host.daemon.define("web")
    domain.create()
    host.daemon.wait_until_booted("web")
    domain.managedSave()
    shown = json.loads(host.run("guest", "show", 100, "--output-format", "json"))
    assert (shown["state"], shown["saved"]) == ("stopped", True)
    assert host.run("guest", "list").splitlines()[1].split()[-1] == "saved"
    reason = "its memory is saved on this node"
    assert reason in host.run("migrateall", "n2", "--dry-run")
    assert reason in host.fail("migrateall", "n2")
    assert domain.hasManagedSaveImage()
    plugin = host.plugin()
    [guest] = plugin.guest_list()
    with pytest.raises(Exception, match=reason):  # saved since it was looked at
        plugin.guest_migrate(guest, "n2", MigrateOptions(online=False), PatientTask())
    domain.managedSaveRemove()


def test_a_paused_guest_continues_to_shut_down(host):
    domain = host.daemon.define("web")
    domain.create()
    host.daemon.wait_until_booted("web")
    domain.suspend()
    said = host.run("stopall", "--timeout", 60)
    assert "100 (web): it was paused by a user, and continues to shut down" in said
    assert "100 (web): stopped after" in said


def test_a_guest_that_is_paused_again_is_not_called_deaf(host, monkeypatch):
    domain = host.daemon.define("web", deaf=True)
    domain.createWithFlags(PAUSED)
    plugin = host.plugin()
    [guest] = plugin.guest_list()
    monkeypatch.setattr("pvefw_guest_libvirt.domains.resume", lambda _domain: False)
    with pytest.raises(Exception, match="it is still paused by a user after 1 seconds"):
        plugin.guest_shutdown(guest, 1.0, PatientTask())


def test_a_guest_that_is_just_arriving_is_the_other_nodes(host, other):
    """It is not stopped here, nor does its number go to another guest."""
    host.daemon.define("big", local=True, filler=64 << 20).create()
    host.daemon.define("web")
    host.daemon.wait_until_booted("big")
    host.configure(bandwidth=1)
    number = host.vmid("big")
    with host.start("migrateall", "n2", "--vms", number, "--with-local-disks") as process:
        host.read_until(process, "moving to n2")
        wait_until(lambda: "big" in other.daemon.active(), "big arrives")
        other.configure()
        assert [guest.name for guest in other.plugin().guest_list()] == []
        assert "0 of 0 guests" in other.run("stopall")
        assert "big" in [guest.name for guest in host.plugin().guest_list()]
        status, said = host.interrupt(process)
    assert status == 1, said
    assert "big" in host.daemon.active()
