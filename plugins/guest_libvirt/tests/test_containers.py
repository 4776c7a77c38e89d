"""LXC containers: the conformance kit, and what they cannot do."""

import json
import os

import pytest
from servers.lxc import lxc_node
from whole_host import Host

from pvefw.api import GuestState, MigrateOptions, Unsupported
from pvefw.testing.guest import GuestConformance, PatientTask
from pvefw_guest_libvirt import Libvirt

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(
        "PVEFW_TEST_CONTAINERS" not in os.environ,
        reason="libvirt 9 now and then never learns a container's init: set PVEFW_TEST_CONTAINERS=1",
    ),
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
        return [one.vmid for one in plugin.guest_list() if one.name != "deaf"]

    @pytest.fixture
    def stubborn(self, plugin):
        return next(one.vmid for one in plugin.guest_list() if one.name == "deaf")

    @pytest.fixture
    def look(self, daemon, plugin):
        names = {one.vmid: one.name for one in plugin.guest_list()}
        running, stopped = GuestState.RUNNING, GuestState.STOPPED
        return lambda vmid: running if names[vmid] in daemon.active() else stopped


def test_containers_start_without_a_delay_and_stop(daemon, tmp_path):
    host = Host(tmp_path / "root")
    host.paths.cluster_pvefw_cfg.parent.mkdir(parents=True)
    host.paths.cluster_pvefw_cfg.write_text(f"guest: libvirt\n\turi {daemon.uri}\n")
    rows = json.loads(host.run("startall", "--force", "--dry-run", "--output-format", "json"))
    assert [(one["id"], one["second"]) for one in rows] == [("100", 0), ("101", 0), ("102", 0)]
    assert host.run("startall", "--force").endswith("Task OK\n")
    assert daemon.active() == {"ct0", "ct1", "deaf"}
    said = host.run("stopall", "--timeout", 12)
    assert "102 (deaf): stopped hard: libvirt: it still runs after 12 seconds" in said
    assert said.endswith("Task WARNINGS: 1\n"), said
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
