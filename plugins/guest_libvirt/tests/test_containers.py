"""LXC containers: the conformance kit, and what they cannot do."""

import json
from pathlib import Path

import pytest
from privileges import only_root
from servers.lxc import lxc_node
from whole_host import Host

from pvefw.api import GuestState, MigrateOptions, Unsupported
from pvefw.testing.guest import GuestConformance, PatientTask
from pvefw_guest_libvirt import Libvirt

pytestmark = [
    only_root("runs containers"),
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="libvirt_lxc mounts by FUSE"),
    pytest.mark.xdist_group("containers"),  # their control groups are the machine's
]


@pytest.fixture(scope="module")
def daemon():
    with lxc_node() as made:
        for name in ("ct0", "ct1", "deaf"):
            made.define(name, deaf=name == "deaf")
        yield made


class TestContainers(GuestConformance):
    @pytest.fixture
    def plugin(self, daemon):
        return Libvirt(uri=daemon.uri)

    @pytest.fixture
    def vmids(self, plugin):
        return [guest.vmid for guest in plugin.guest_list() if guest.name != "deaf"]

    @pytest.fixture
    def stubborn(self, plugin):
        return next(guest.vmid for guest in plugin.guest_list() if guest.name == "deaf")

    @pytest.fixture
    def look(self, daemon, plugin):
        names = {guest.vmid: guest.name for guest in plugin.guest_list()}
        running, stopped = GuestState.RUNNING, GuestState.STOPPED
        return lambda vmid: running if names[vmid] in daemon.active() else stopped


@pytest.fixture
def host(daemon, tmp_path):
    made = Host(tmp_path / "root")
    made.paths.cluster_pvefw_cfg.parent.mkdir(parents=True)
    made.paths.cluster_pvefw_cfg.write_text(f"guest: libvirt\n\turi {daemon.uri}\n")
    return made


def test_containers_start_without_a_delay_and_stop(daemon, host):
    rows = json.loads(host.run("startall", "--force", "--dry-run", "--output-format", "json"))
    assert [(row["id"], row["second"]) for row in rows] == [("100", 0), ("101", 0), ("102", 0)]
    assert host.run("startall", "--force").endswith("Task OK\n")
    assert daemon.active() == {"ct0", "ct1", "deaf"}
    host.run("guest", "set", 102, "--down", 3)
    said = host.run("stopall")
    assert "102 (deaf): force-stopped: libvirt: it still runs after 3 seconds" in said
    assert said.endswith("Task WARNINGS: 1\n"), said
    assert daemon.active() == set()


def test_a_container_whose_init_libvirt_missed_is_started_once_more(daemon, host):
    daemon.miss_an_init()
    said = host.run("startall", "--force", "--vms", 100)
    assert "100 (ct0): libvirt failed to record its init process; it is started again" in said
    assert said.endswith("Task OK\n"), said
    assert daemon.active() == {"ct0"}
    said = host.run("stopall", "--vms", 100)
    assert said.endswith("Task OK\n"), said
    assert daemon.active() == set()


def test_containers_cannot_move(daemon):
    plugin = Libvirt(uri=daemon.uri)
    guest = plugin.guest_list()[0]
    assert guest.kind == "container"
    assert plugin.guest_migrate_check(guest, "n2", MigrateOptions()) == [
        "libvirt cannot move containers"
    ]
    with pytest.raises(Unsupported):
        plugin.guest_migrate(guest, "n2", MigrateOptions(), PatientTask())
