"""Real containers by way of our API: what Proxmox VE's clients ask below ``/nodes/{node}/lxc``."""

from pathlib import Path

import pytest
from api_schema import assert_fits
from privileges import only_root
from servers.lxc import lxc_node

from pvefw.tasks.task import run_task
from pvefw_api import call, table
from pvefw_api.errors import ApiError

pytestmark = [
    only_root("runs containers"),
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="libvirt_lxc mounts by FUSE"),
    pytest.mark.xdist_group("containers"),  # their control groups are the machine's
]
BASE = "/nodes/pve1/lxc"


@pytest.fixture
def daemon(paths):
    with lxc_node() as made:
        made.define("web")
        paths.cluster_pvefw_cfg.parent.mkdir(parents=True)
        paths.cluster_pvefw_cfg.write_text(f"guest: libvirt\n\turi {made.uri}\n")
        yield made


def test_a_container_is_found_configured_started_and_stopped(daemon, paths):
    def get(path):
        answer = call.call(paths, "GET", path, {})
        assert_fits(table.find("GET", path)[0], answer)
        return answer

    def power(action, **given):
        job = call.call(paths, "POST", f"{endpoint}/status/{action}", given)
        with run_task(paths, job.type, job.id) as task:
            job.work(task)
        return job.type

    [row] = get(BASE)
    assert (row["name"], row["status"]) == ("web", "stopped")
    assert get("/nodes/pve1/qemu") == []
    assert [child["id"] for child in get("/cluster/resources")] == [
        "node/pve1",
        f"lxc/{row['vmid']}",
    ]
    endpoint = f"{BASE}/{row['vmid']}"
    words = {word for child in get(f"{endpoint}/status") for word in child.values()}
    assert words >= {"current", "start", "shutdown"}
    call.call(paths, "PUT", f"{endpoint}/config", {"onboot": "1", "startup": "order=2,down=9"})
    config = get(f"{endpoint}/config")
    assert (config["hostname"], config["onboot"], config["startup"]) == ("web", 1, "order=2,down=9")

    assert power("start") == "vzstart"
    assert daemon.active() == {"web"}
    assert get(f"{endpoint}/status/current")["status"] == "running"
    assert get(f"{endpoint}/migrate") == {"running": True, "not-allowed-nodes": {}}
    assert power("shutdown", timeout="60", forceStop="0") == "vzshutdown"
    assert daemon.active() == set()
    assert get(f"{endpoint}/status/current")["status"] == "stopped"
    with pytest.raises(ApiError, match=r"lxc/999\.conf' does not exist"):
        get(f"{BASE}/999/config")
    with pytest.raises(ApiError, match=r"qemu-server/.* does not exist"):
        get(f"/nodes/pve1/qemu/{row['vmid']}/config")
