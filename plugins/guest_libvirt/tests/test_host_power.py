"""A host with systemd as process 1 and libvirt's system daemon boots and is powered off.

The guests' consoles are the witnesses: each says "U" when it is up, "D" when it shuts down by itself.
"""

import sys
from pathlib import Path

import pytest
from servers import lxc
from servers.boot_sector import write_image
from servers.libvirt import CONSOLE, DISK, DOMAIN, wait_until
from servers.systemd import missing, systemd_host

PVEFW = Path(sys.executable).with_name("pvefw")
IMAGES = "/var/lib/pvefw-test"
TARGET = Path("/usr/lib/systemd/system/virt-guest-shutdown.target")
INIT = (  # initctl makes it shut down; a SIGTERM, as systemd sends it to a scope, is its death
    "trap 'printf K &gt;&gt;{console}; exit 1' TERM; mkfifo /dev/initctl; exec 3&lt;&gt;/dev/initctl; "
    "printf U &gt;&gt;{console}; read -r -N 1 -u 3; printf D &gt;&gt;{console}"
)

pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.skipif(not TARGET.exists(), reason="libvirt-daemon-system is not installed"),
]


class Site:
    """A host with two virtual machines."""

    uri = "qemu:///system"

    def __init__(self, host):
        self.host, self.guests = host, {"db": 100, "web": 101}
        host.write("etc/pve/nodes/box/pvefw.cfg", f"guest: libvirt\n\turi {self.uri}\n")
        self.write_files(host)

    def write_files(self, host):
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
            self.host.run("virsh", "-c", self.uri, "-q", "define", f"{IMAGES}/{name}.xml")
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
        return [(line.split(":")[5], line.split(" ", 2)[2]) for line in lines]


class ContainerSite(Site):
    """A host with two containers.

    The process that libvirt starts for each container registers it at machined, as everywhere. Where
    control groups are of version 1, libvirt 9 leaves this process itself outside of the scope (its group
    ``libvirt`` gets the place of the caller in systemd's hierarchy), its daemon then asks machined for
    it, and gives the container up: "NoMachineForPID". So this daemon has no bus to ask by.
    """

    uri = "lxc:///system"

    def write_files(self, host):
        host.write("etc/libvirt/lxc.conf", 'security_driver = "none"\n')
        host.write(
            "etc/systemd/system/libvirtd.service.d/no-bus.conf",
            "[Service]\nEnvironment=DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nowhere\n",
        )
        for name in self.guests:
            script = INIT.format(console=f"{IMAGES}/{name}.console")
            host.write(f"{IMAGES}/{name}.xml", lxc.DOMAIN.format(name=name, script=script))

    def scopes(self):
        """What systemd would stop, and after which target."""
        lines = self.host.run("systemctl", "show", "--property=Id,Before", "machine-lxc*.scope")
        blocks = [
            dict(line.split("=", 1) for line in block.split("\n"))
            for block in lines.strip().split("\n\n")
        ]
        return [block["Id"] for block in blocks if TARGET.name in block["Before"].split()]


@pytest.fixture
def site(tmp_path):
    with systemd_host(tmp_path / "box") as host:
        yield Site(host)


@pytest.fixture
def container_site(tmp_path):
    with systemd_host(tmp_path / "box", unified=False) as host:
        yield ContainerSite(host)


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


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="libvirt_lxc mounts by FUSE")
def test_containers_shut_down_before_systemd_stops_them(container_site):
    site = container_site
    site.host.boot()
    site.set_up()
    site.pvefw("install-units")
    site.pvefw("startall")
    site.wait_for("U")
    assert len(site.scopes()) == 2
    site.host.power_off()
    assert site.said() == "UD"
    assert site.tasks()[-1] == ("stopall", "OK")


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
