"""``pvesh`` as Proxmox VE's clients call it: proxmoxer's own backend for it, and people."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import certificates
import proxmoxer
import pytest

from pvefw_shims import pvesh as pvesh_shim

PVESH = Path(sys.executable).with_name("pvesh")


@pytest.fixture
def node(tmp_path, monkeypatch):
    """A node's tree, and a path on which pvesh is ours."""
    root = tmp_path / "root"
    (root / "etc/pve/nodes/pve1").mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{PVESH.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PVEFW_ROOT", str(root))
    monkeypatch.setenv("PVEFW_NODE", "pve1")
    return root


@pytest.fixture
def api(node):
    return proxmoxer.ProxmoxAPI(backend="local", timeout=60)


def pvesh(*words, status=0):
    done = subprocess.run(["pvesh", *words], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if status == 0 else done.stderr


def pvesh_fails(*words):
    """A task that fails: nothing on standard error, as clients take that for a call that was refused."""
    done = subprocess.run(["pvesh", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    return done.stdout


# --- proxmoxer ------------------------------------------------------------------------------------


def test_a_dns_plugin_from_its_making_to_its_end(api, node):
    """The errand of Ansible's proxmox_cluster_acme_plugin, its look beforehand included."""
    plugins = api.cluster.acme.plugins
    with pytest.raises(proxmoxer.ResourceException) as absent:
        plugins("mine").get()
    assert absent.value.status_code == 500
    assert "not defined" in str(absent.value)
    text = "server=127.0.0.1\ntimeout=5\n"
    data = base64.b64encode(text.encode()).decode()
    made = {"id": "mine", "type": "dns", "api": "rfc2136", "data": data, "validation-delay": 5}
    assert plugins.post(**made) is None
    found = plugins("mine").get()
    assert found["data"] == text
    assert found["validation-delay"] == 5
    assert plugins("mine").put(disable=1, digest=found["digest"]) is None
    assert plugins("mine").get()["disable"] == 1
    with pytest.raises(proxmoxer.ResourceException, match="digest mismatch"):
        plugins("mine").put(disable=0, digest=found["digest"])
    assert plugins("mine").delete() is None
    assert [plugin["plugin"] for plugin in plugins.get()] == ["standalone"]


def test_the_node_is_configured_as_ansible_does_it(api):
    config = api.nodes("pve1").config
    gone = ",".join(f"acmedomain{number}" for number in range(1, 6))
    config.put(
        acme="account=default", acmedomain0="domain=a.example,plugin=standalone", delete=gone
    )
    assert config.get()["acmedomain0"] == "domain=a.example,plugin=standalone"
    assert config.get()["digest"]


def test_parameters_are_refused_by_name_and_with_their_status(api):
    with pytest.raises(proxmoxer.ResourceException) as refused:
        api.nodes("pve1").tasks.get(limit="many", colour="red")
    assert refused.value.status_code == 400
    assert "limit: " in str(refused.value)
    assert "colour: property is not defined" in str(refused.value)


def test_a_path_that_we_do_not_have_is_an_error(api):
    with pytest.raises(proxmoxer.ResourceException, match="not implemented"):
        api.cluster.firewall.get()


def test_a_task_gives_its_upid_and_is_looked_up_by_it(api, node):
    (node / "etc/pve/pvefw.cfg").write_text("observer: tell\n\tapi exec\n\tprogram /bin/true\n")
    upid = api.nodes("pve1").pvefw.instances.observer("tell").test.post()
    assert upid.startswith("UPID:pve1:")
    status = api.nodes("pve1").tasks(upid).status.get()
    assert (status["status"], status["exitstatus"]) == ("stopped", "OK")
    lines = api.nodes("pve1").tasks(upid).log.get(start=0, limit=500)
    assert lines[-1]["t"] == "TASK OK"
    assert [line["n"] for line in lines] == list(range(1, len(lines) + 1))


def test_a_task_that_fails_gives_its_upid_all_the_same(api):
    """The client waits for the task by its id, and learns there that it failed."""
    upid = api.nodes("pve1").startall.post()
    status = api.nodes("pve1").tasks(upid).status.get()
    assert status["status"] == "stopped"
    assert "no guest backend" in status["exitstatus"]
    *log, last = pvesh_fails("create", "/nodes/pve1/startall").splitlines()
    assert log[-1].startswith("TASK ERROR: guests: node pve1 has no guest backend")
    assert last.startswith("UPID:pve1:")


def test_a_pair_is_uploaded_as_arguments(api, node):
    pem, key = certificates.self_signed()
    info = api.nodes("pve1").certificates.custom.post(
        certificates=pem.decode(), key=key.decode(), force=1, restart=0
    )
    assert info["filename"] == "pveproxy-ssl.pem"
    [found] = api.nodes("pve1").certificates.info.get()
    assert found["fingerprint"] == info["fingerprint"]


# --- people ---------------------------------------------------------------------------------------


def test_folders_are_listed(node):
    assert "Dr---  nodes\n" in pvesh("ls", "/")
    listed = json.loads(pvesh("ls", "/nodes", "--output-format", "json"))
    assert listed == [{"capabilities": "Dr---", "name": "pve1"}]


def test_usage_names_what_is_needed_and_who_may(node):
    assert "pvesh create /cluster/acme/account --contact <string> [OPTIONS]" in pvesh(
        "usage", "/cluster/acme/account"
    )
    said = pvesh("usage", "/nodes/pve1/stopall", "-verbose")
    assert "--timeout                  <integer> (0 - 7200) (default=180)" in said
    assert "Permission: everybody" in said
    assert "no" not in pvesh("usage", "/nowhere", status=1).split()[0]


def test_options_are_written_in_every_way_that_pvesh_takes(node):
    pvesh("set", "/nodes/localhost/config", "-description", "rack 12", "--startall-onboot-delay=5")
    assert json.loads(pvesh("get", "/nodes/pve1/config", "-output-format", "json")) == {
        "description": "rack 12\n",
        "digest": json.loads(pvesh("get", "/nodes/pve1/config", "--output-format=json"))["digest"],
        "startall-onboot-delay": 5,
    }
    assert "it has no value" in pvesh("get", "/nodes/pve1/tasks", "-limit", status=2)
    assert "given twice" in pvesh(
        "get", "/nodes/pve1/tasks", "-limit", "1", "-limit", "2", status=2
    )
    assert "not an option" in pvesh("get", "/nodes/pve1/tasks", "limit", status=2)
    assert pvesh("get", "/nodes/pve1/tasks", "-errors", "-limit", "1") == ""


def test_secrets_are_handed_over_on_standard_input(node):
    path = "/nodes/pve1/pvefw/instances/observer"
    data = base64.b64encode(b"program=/bin/true\n").decode()
    words = ["pvesh", "create", path, "-id", "tell", "--stdin"]
    given = json.dumps({"api": "exec", "data": data, "disable": True})
    subprocess.run(words, input=given, text=True, check=True)
    found = json.loads(pvesh("get", f"{path}/tell", "--output-format", "json"))
    assert (found["data"], found["disable"]) == ({"program": "/bin/true"}, True)
    for wrong in ("", "[]", '{"api": []}'):
        done = subprocess.run(words, input=wrong, text=True, capture_output=True, check=False)
        assert done.returncode == 2
        assert "it is not" in done.stderr


def test_a_task_can_be_left_to_itself(node):
    upid = pvesh("create", "/nodes/pve1/pvefw/ksm/enable", "--detach").strip()
    assert upid.startswith("UPID:pve1:")


def test_it_does_nothing_where_the_original_is(node, tmp_path, monkeypatch, capsys):
    original = tmp_path / "pvesh.pm"
    original.touch()
    monkeypatch.setattr(pvesh_shim, "ORIGINAL", original)
    monkeypatch.setattr(sys, "argv", ["pvesh", "get", "/version"])
    with pytest.raises(SystemExit) as refused:
        pvesh_shim.main()
    assert "Proxmox VE's own" in str(refused.value)
    assert capsys.readouterr().out == ""
