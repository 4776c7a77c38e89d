"""Guests through ``pvesh``: lists, plans, bulk actions, and a task that is watched and stopped."""

import os
import sys
from pathlib import Path

import proxmoxer
import pytest
from waiting import wait_until


@pytest.fixture
def api(farm, monkeypatch):
    (farm.root / "etc/pve/nodes/pve1").mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(farm.site))
    monkeypatch.setenv("PVEFW_ROOT", str(farm.root))
    monkeypatch.setenv("PVEFW_NODE", "pve1")
    return proxmoxer.ProxmoxAPI(backend="local", timeout=60)


def test_they_are_listed_as_proxmox_ve_lists_its_own(farm, api):
    farm.guest(100, memory=1 << 30, state="running")
    farm.guest(101, kind="container", template=True)
    node = api.nodes("pve1")
    assert node.qemu.get() == [
        {"vmid": 100, "name": "vm100", "status": "running", "maxmem": 1 << 30}
    ]
    [container] = node.lxc.get()
    assert (container["vmid"], container["status"], container["template"]) == (101, "stopped", 1)
    resources = api.cluster.resources.get()
    assert [resource["id"] for resource in resources] == ["node/pve1", "qemu/100", "lxc/101"]
    assert [row["id"] for row in api.cluster.resources.get(type="vm")] == ["qemu/100", "lxc/101"]


def test_a_plan_is_shown_before_anything_is_done(farm, api):
    farm.guest(100, order=2)
    farm.guest(101, order=1)
    plan = api.nodes("pve1").pvefw.plan.start.get()
    assert [row["id"] for row in plan] == ["101", "100"]
    assert farm.events() == []
    assert [row["id"] for row in api.nodes("pve1").pvefw.plan.start.get(vms="100")] == ["100"]


def test_they_start_and_stop(farm, api):
    farm.guest(100)
    farm.guest(101, onboot=False)
    node = api.nodes("pve1")
    upid = node.startall.post(**{"max-workers": 2})
    assert node.tasks(upid).status.get()["exitstatus"] == "OK"
    assert (farm.state(100), farm.state(101)) == ("running", "stopped")
    node.startall.post(vms="101", force=1)
    assert farm.state(101) == "running"
    upid = node.stopall.post(timeout=5, **{"force-stop": 0})
    assert node.tasks(upid).status.get()["exitstatus"] == "OK"
    assert (farm.state(100), farm.state(101)) == ("stopped", "stopped")


def test_one_is_configured_by_its_path(farm, api):
    farm.guest(100)
    guest = api.nodes("pve1").pvefw.guests("100")
    guest.put(order=3, after="101")
    assert (guest.get()["order"], guest.get()["after"]) == (3, [101])
    guest.put(delete="order,after")
    assert (guest.get()["order"], guest.get()["after"]) == (None, [])
    with pytest.raises(proxmoxer.ResourceException, match="no such guest"):
        api.nodes("pve1").pvefw.guests("999").get()


def test_a_task_is_watched_and_stopped(farm, api):
    farm.guest(100, start_secs=600)
    running = farm.start("api", "create", "/nodes/pve1/startall", "--detach")
    upid = running.communicate(timeout=60)[0].strip()
    assert upid.startswith("UPID:pve1:")
    task = api.nodes("pve1").tasks(upid)
    farm.wait_for("start")
    assert task.status.get()["status"] == "running"
    assert [row["upid"] for row in api.nodes("pve1").tasks.get(source="active")] == [upid]
    assert task.delete() is None
    wait_until(lambda: task.status.get()["status"] == "stopped", "the task has ended", seconds=30)
    assert "interrupted" in task.status.get()["exitstatus"]
