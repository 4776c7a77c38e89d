"""Proxmox VE's API is played by fakepve; a client that was not written for it must be content.

The plugin speaks through proxmoxer's transport, but only as it needs. This is what others do.
"""

import proxmoxer
import pytest
from servers.pve import SECRET, TOKEN, PveApi

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),
]


@pytest.fixture
def api(tmp_path):
    made = PveApi(tmp_path)
    made.fake.add_vm(101, "web", config={"onboot": 1})
    made.fake.time_scale = 0.02
    yield made
    made.stop()


@pytest.fixture
def client(api):
    user, _, name = TOKEN.partition("!")
    where = {"host": "127.0.0.1", "port": api.fake.port, "verify_ssl": False}
    return proxmoxer.ProxmoxAPI(user=user, token_name=name, token_value=SECRET, **where)


def test_proxmoxer_reads_starts_and_stops(api, client):
    from proxmoxer.tools import Tasks

    assert client.version.get()["version"]
    assert [row["node"] for row in client.nodes.get()] == ["pve1"]
    node = client.nodes("pve1")
    assert [(row["vmid"], row["name"]) for row in node.qemu.get()] == [(101, "web")]
    assert node.lxc.get() == []
    assert node.qemu(101).config.get()["onboot"] == 1
    for action, state in (("start", "running"), ("stop", "stopped")):
        upid = node.qemu(101).status(action).post()
        assert Tasks.decode_upid(upid)["node"] == "pve1"
        ended = Tasks.blocking_status(client, upid, timeout=20, polling_interval=0.05)
        assert (ended["status"], ended["exitstatus"]) == ("stopped", "OK")
        assert node.qemu(101).status.current.get()["status"] == state
        assert api.fake.vm(101).status == state


def test_proxmoxer_tells_what_is_refused(api, client):
    with pytest.raises(proxmoxer.ResourceException) as caught:
        client.nodes("pve1").qemu(999).status.current.get()
    assert caught.value.status_code in (404, 500)
    user, _, name = TOKEN.partition("!")
    where = {"host": "127.0.0.1", "port": api.fake.port, "verify_ssl": False}
    stranger = proxmoxer.ProxmoxAPI(user=user, token_name=name, token_value="wrong", **where)
    with pytest.raises(proxmoxer.ResourceException) as caught:
        stranger.nodes.get()
    assert caught.value.status_code == 401
