"""One node with two hypervisors: a libvirt daemon, and Proxmox VE's API with its secret in a file."""

import json

import pytest
from servers.processes import free_port
from servers.pve import SECRET, PveApi

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def api(tmp_path):
    made = PveApi(tmp_path)
    made.fake.time_scale = 0.05
    made.fake.add_vm(100, "mail", config={"onboot": 1, "startup": "order=2,up=0"})
    made.fake.add_vm(300, "db", config={"onboot": 1, "startup": "order=1,up=0"})
    yield made
    made.stop()


@pytest.fixture
def both(host, api):
    secret = host.root / "etc/pve/priv/pvefw-token"
    secret.parent.mkdir(parents=True)
    secret.write_text(f"{SECRET}\n")
    settings = {**api.settings(), "secret": f"file:{secret}"}
    lines = "".join(f"\t{key} {value}\n" for key, value in settings.items())
    with host.paths.cluster_pvefw_cfg.open("a") as file:
        file.write(f"\nguest: pve\n{lines}")
    host.daemon.define("web")
    host.give("web", onboot=1, order=1, up=0)
    return host


def test_two_hypervisors_are_one_node(both, api):
    rows = json.loads(both.run("guest", "list", "--output-format", "json"))
    assert [(row["id"], row["name"]) for row in rows] == [
        ("libvirt:100", "web"),
        ("pve:100", "mail"),
        ("pve:300", "db"),
    ]
    said = both.run("startall")
    assert said.index("pve:300 (db): started") < said.index("pve:100 (mail): starting")
    assert said.endswith("Task OK\n")
    assert both.daemon.active() == {"web"}
    assert {api.fake.vm(vmid).status for vmid in (100, 300)} == {"running"}
    assert "this may be libvirt:100 and pve:100" in both.fail("stopall", "--vms", 100)
    both.daemon.wait_until_booted("web")
    both.run("stopall", "--vms", "libvirt:100,300")
    assert both.daemon.active() == set()
    assert [api.fake.vm(vmid).status for vmid in (100, 300)] == ["running", "stopped"]
    assert SECRET not in said


def test_one_that_is_away_is_named_and_the_other_goes_on(both, api):
    path = both.paths.cluster_pvefw_cfg
    path.write_text(path.read_text().replace(f"port {api.fake.port}", f"port {free_port()}"))
    said = both.fail("startall")
    assert both.daemon.active() == {"web"}
    assert "startall: 1 failed: pve: 127.0.0.1" in said
    assert SECRET not in said
