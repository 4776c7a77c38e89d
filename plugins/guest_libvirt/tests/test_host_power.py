"""A host with systemd as process 1 and libvirt's system daemon boots and is powered off.

The guests' consoles are the witnesses: each says "U" when it is up, "D" when it shuts down by itself.
"""

import sys
from pathlib import Path

import pytest
from servers.boot_sector import write_image
from servers.libvirt import CONSOLE, DISK, DOMAIN, wait_until
from servers.systemd import missing, systemd_host

PVEFW = Path(sys.executable).with_name("pvefw")
IMAGES = "/var/lib/pvefw-test"
TARGET = Path("/usr/lib/systemd/system/virt-guest-shutdown.target")
BACKEND = "guest: libvirt\n\turi qemu:///system\n"

pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.skipif(not TARGET.exists(), reason="libvirt-daemon-system is not installed"),
]


class Site:
    """A host with two guests."""

    def __init__(self, host):
        self.host, self.guests = host, {"db": 100, "web": 101}
        host.write("etc/pve/nodes/box/pvefw.cfg", BACKEND)
        host.write(
            "etc/libvirt/qemu.conf",
            'user = "root"\ngroup = "root"\nsecurity_driver = "none"\nnamespaces = []\n'
            'stdio_handler = "file"\n',
        )
        for name in self.guests:
            devices = DISK.format(f"{IMAGES}/{name}.img")
            devices += CONSOLE.format(f"{IMAGES}/{name}.console", "append='on'")
            xml = DOMAIN.format(name=name, memory=16, boot="", devices=devices)
            host.write(f"{IMAGES}/{name}.xml", xml)
            write_image(host.files / IMAGES.lstrip("/") / f"{name}.img")

    def set_up(self):
        """Define the guests; what the administrator does once."""
        self.host.run("systemctl", "enable", "--now", "libvirtd.service", "libvirtd.socket")
        for name in self.guests:
            self.host.run("virsh", "-q", "define", f"{IMAGES}/{name}.xml")
        self.pvefw("guest", "list")
        for vmid in self.guests.values():
            self.pvefw("guest", "set", vmid, "--onboot", 1, "--up", 0)

    def pvefw(self, *arguments):
        return self.host.run(PVEFW, *arguments)

    def said(self):
        """What all guests have said since they were defined; who says something else is named."""
        said = {name: self.host.read(f"{IMAGES}/{name}.console") for name in self.guests}
        return said["db"] if len(set(said.values())) == 1 else said

    def wait_for(self, said):
        wait_until(lambda: self.said() == said, f"the guests say {said}")

    def tasks(self):
        """How the tasks have ended, read while the host is off."""
        lines = self.host.read("var/log/pve/tasks/index").splitlines()
        return [(one.split(":")[5], one.split(" ", 2)[2]) for one in lines]


@pytest.fixture
def site(tmp_path):
    with systemd_host(tmp_path / "box") as host:
        yield Site(host)


def test_guests_shut_down_before_systemd_stops_them(site):
    site.host.boot()
    site.set_up()
    site.pvefw("install-units")
    assert site.pvefw("startall").endswith("Task OK\n")
    site.wait_for("U")
    site.host.power_off()  # the first one after the units were installed
    assert site.said() == "UD"

    assert site.host.boot() == "running"
    site.wait_for("UDU")  # the backend is configured in the node's file
    site.host.power_off()
    assert site.said() == "UDUD"
    assert site.tasks()[-2:] == [("startall", "OK"), ("stopall", "OK")]


def test_two_that_shut_guests_down_are_said_and_none_is_killed(site):
    site.host.boot()
    site.set_up()
    site.host.run("systemctl", "enable", "--now", "libvirt-guests.service")
    said = site.host.try_(PVEFW, "install-units").stderr
    assert "libvirt-guests.service starts and stops guests, too" in said
    assert "without --now" in said
    site.pvefw("startall")
    site.wait_for("U")
    site.host.power_off()
    assert site.said() == "UD"
    assert site.tasks()[-1] == ("stopall", "WARNINGS: 1")


def test_a_daemon_that_nobody_needs_is_no_failure(site):
    """It ends by itself, and its sockets do not start it while the host goes down."""
    site.host.boot()
    site.set_up()
    site.pvefw("install-units")
    site.host.run("systemctl", "stop", "libvirtd.service")
    site.host.power_off()
    assert site.tasks()[-1] == ("stopall", "OK")


def test_a_host_without_libvirt_has_units_that_work(site):
    site.host.boot()
    site.host.run("rm", TARGET)
    site.pvefw("install-units")
    assert site.host.run("systemctl", "is-active", "pvefw-guests-stop.service") == "active\n"
