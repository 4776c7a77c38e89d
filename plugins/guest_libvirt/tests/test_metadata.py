"""Numbers and settings of guests, kept in the daemon's own definitions."""

import xml.etree.ElementTree as ET

import libvirt
import pytest

from pvefw.api import ProviderError

TOOL = "https://example.org/tool/1"


def numbers(plugin):
    return {guest.name: guest.vmid for guest in plugin.guest_list()}


def test_a_number_is_given_at_first_sight_and_stays(host):
    for name in ("mail", "web"):
        host.daemon.define(name)
    assert numbers(host.plugin()) == {"mail": 100, "web": 101}
    host.daemon.define("db")
    assert numbers(host.plugin()) == {"db": 102, "mail": 100, "web": 101}
    assert numbers(host.plugin(first_vmid=5000)) == {"db": 102, "mail": 100, "web": 101}


def test_each_node_can_have_numbers_of_its_own(host):
    host.daemon.define("web")
    assert numbers(host.plugin(first_vmid=5000)) == {"web": 5000}


def test_the_number_is_the_users_to_choose(host):
    for name in ("mail", "web"):
        host.daemon.define(name)
    host.run("guest", "set", 100, "--vmid", 7000)
    assert numbers(host.plugin()) == {"mail": 7000, "web": 101}
    assert "mail has the VMID 7000" in host.fail("guest", "set", 101, "--vmid", 7000)


def test_a_clone_gets_a_number_of_its_own(host):
    host.daemon.define("web")
    host.give("web", order=3)
    root = ET.fromstring(host.daemon.connection.lookupByName("web").XMLDesc(0))
    root.find("name").text = "clone"
    root.remove(root.find("uuid"))
    host.daemon.connection.defineXML(ET.tostring(root, encoding="unicode"))
    assert numbers(host.plugin()) == {"clone": 101, "web": 100}
    assert [guest.order for guest in host.plugin().guest_list()] == [3, 3]


def test_two_that_claim_the_same_number_get_two(host):
    for name in ("mail", "web"):
        host.daemon.define(name)
    plugin = host.plugin()
    plugin.guest_list()
    web = host.daemon.connection.lookupByName("web")
    told = f"<guest of='{web.UUIDString()}' vmid='100'/>"
    web.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, told, "pvefw", "urn:pvefw:guest:1", 0)
    assert sorted(numbers(plugin).values()) == [100, 101]


def test_settings_live_with_the_guest_and_beside_those_of_others(host):
    web = host.daemon.define("web")
    web.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, "<os>x</os>", "tool", TOOL, 0)
    web.create()
    settings = ("--onboot", 1, "--order", 2, "--up", 4, "--down", 60, "--ready", "agent")
    host.run("guest", "set", 100, *settings, "--after", "101,102")
    for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE):  # as it runs, and as it is defined
        found = ET.fromstring(web.XMLDesc(flags)).find("metadata/{urn:pvefw:guest:1}guest")
        assert found.attrib == {
            "of": web.UUIDString(),
            "vmid": "100",
            "onboot": "1",
            "order": "2",
            "up": "4",
            "down": "60",
            "ready": "agent",
            "after": "101,102",
        }
    assert web.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, TOOL, 0) == "<os>x</os>"
    host.run("guest", "set", 100, "--delete", "order,ready")
    [guest] = host.plugin().guest_list()
    assert (guest.order, guest.ready, guest.after, guest.down) == (None, "", [101, 102], 60)


def test_a_guest_that_was_never_defined_has_a_number_too(host):
    web = host.daemon.define("web")
    xml = web.XMLDesc(0)
    web.undefine()
    host.daemon.connection.createXML(xml, 0)
    plugin = host.plugin()
    assert numbers(plugin) == {"web": 100}
    plugin.guest_set(plugin.guest_list()[0], {"down": "5"})
    assert plugin.guest_list()[0].down == 5


def test_a_guest_that_is_gone(host):
    web = host.daemon.define("web")
    plugin = host.plugin()
    [guest] = plugin.guest_list()
    web.undefine()
    with pytest.raises(ProviderError, match="Domain not found"):
        plugin.guest_set(guest, {"order": "1"})
