"""Proxmox VE's API as fakepve plays it, which checks every request against the published schema."""

import contextlib
import socket

import pytest
from servers.processes import free_port
from servers.pve import SECRET, TOKEN, PveApi

from pvefw.api import (
    Cancelled,
    CredentialsRejected,
    GuestState,
    MigrateOptions,
    ProviderError,
    Unavailable,
    Unsupported,
)
from pvefw.testing.fakes import FakeTask
from pvefw.testing.guest import GuestConformance, PatientTask
from pvefw_guest_pve import Pve

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class Api(PveApi):
    def plugin(self, **settings):
        return Pve(**{**self.settings(), **settings})


@pytest.fixture
def api(tmp_path):
    made = Api(tmp_path)
    made.fake.add_vm(101, "web", config={"onboot": 1, "startup": "order=2,up=30,down=90"})
    made.fake.add_vm(102, "db")
    yield made
    made.stop()


@pytest.fixture
def task():
    return PatientTask()


def listed(plugin, vmid):
    return next(one for one in plugin.guest_list() if one.vmid == vmid)


class TestPve(GuestConformance):
    @pytest.fixture
    def plugin(self, api):
        api.fake.time_scale = 0.05
        api.fake.add_vm(103, "deaf").acpi = False
        return api.plugin()

    @pytest.fixture
    def vmids(self):
        return [101, 102]

    @pytest.fixture
    def stubborn(self):
        return 103

    @pytest.fixture
    def look(self, api):
        return lambda vmid: GuestState(api.fake.vm(vmid).status)


def test_what_a_guest_says_of_itself(api):
    guest = listed(api.plugin(), 101)
    assert (guest.name, guest.kind, guest.onboot) == ("web", "vm", True)
    assert (guest.order, guest.up, guest.down) == (2, 30, 90)
    other = listed(api.plugin(), 102)
    assert (other.onboot, other.order, other.up) == (False, None, None)


def test_their_log_is_part_of_ours(api, task):
    plugin = api.plugin()
    plugin.guest_start(listed(plugin, 101), 30.0, task)
    assert api.fake.vm(101).status == "running"
    assert not any(line.startswith("TASK") for line in task.lines)


def test_settings_of_a_guest_are_kept(api):
    plugin = api.plugin()
    plugin.guest_set(listed(plugin, 101), {"order": "5", "up": "", "onboot": "0"})
    guest = listed(plugin, 101)
    assert (guest.order, guest.up, guest.down, guest.onboot) == (5, None, 90, False)
    with pytest.raises(Unsupported, match="after"):
        plugin.guest_set(guest, {"after": "102"})


def test_a_wrong_secret_and_a_wrong_token(api):
    for settings in ({"secret": "wrong"}, {"token": "nobody@pam!x"}):
        with pytest.raises(CredentialsRejected, match="401") as caught:
            api.plugin(**settings).guest_list()
        assert "permissions" in caught.value.hint


def test_another_certificate(api):
    wrong = "00:" * 31 + "00"
    with pytest.raises(ProviderError, match=f"another fingerprint: {api.fingerprint}"):
        api.plugin(fingerprint=wrong).guest_list()
    with pytest.raises(ProviderError, match="not trusted"):
        api.plugin(fingerprint=None).guest_list()


def test_nobody_there():
    nobody = Pve(TOKEN, SECRET, host="127.0.0.1", port=free_port())
    with pytest.raises(Unavailable, match="refused"):
        nobody.guest_list()


@pytest.mark.parametrize("status", [595, 596, 503])
def test_a_node_that_cannot_be_reached(api, status):
    api.fake.fail("GET", "/nodes/pve1/qemu", status=status, message="No route to host")
    with pytest.raises(Unavailable, match=rf"No route to host \({status}\)"):
        api.plugin().guest_list()


def test_a_refusal_has_their_own_words(api, task):
    plugin = api.plugin()
    guest = listed(plugin, 101)
    api.fake.vm(101).lock = "backup"
    with pytest.raises(ProviderError, match=r"lock"):
        plugin.guest_start(guest, 10.0, task)
    assert api.fake.vm(101).status == "stopped"


def test_a_guest_that_does_not_start(api, task):
    plugin = api.plugin()
    api.fake.vm(101).start_error = "no such disk"
    with pytest.raises(ProviderError, match="no such disk"):
        plugin.guest_start(listed(plugin, 101), 10.0, task)


def test_a_slow_task_is_waited_for_and_given_up_in_time(api, task):
    api.fake.time_scale = 1.0
    api.fake.vm(101).start_secs = 1
    plugin = api.plugin()
    plugin.guest_start(listed(plugin, 101), 20.0, task)
    assert api.fake.vm(101).status == "running"
    api.fake.vm(102).start_secs = 60
    with pytest.raises(Unavailable, match=r"did not end within 0\.5 seconds"):
        plugin.guest_start(listed(plugin, 102), 0.5, task)


def test_warnings_of_theirs_are_warnings_of_ours(api, task):
    plugin = api.plugin()
    guest = listed(plugin, 101)

    def finish(status):
        return {**status, "exitstatus": "WARNINGS: 2"} if status.get("upid") else status

    changed(plugin, "/status", finish)
    plugin.guest_start(guest, 10.0, task)
    [warning] = task.warnings
    assert warning.endswith("WARNINGS: 2")


def changed(plugin, end, change):
    """Let the answers of some paths arrive changed, where the fake cannot give such ones."""
    serializer = plugin._connection.api._store["serializer"]
    before = serializer.loads

    def loads(response):
        data = before(response)
        return change(data) if response.url.partition("?")[0].endswith(end) else data

    serializer.loads = loads


def test_cancelling_stops_their_task(api):
    class Impatient(FakeTask):
        def wait(self, seconds):
            raise Cancelled

    api.fake.time_scale = 1.0
    api.fake.vm(101).start_secs = 60
    plugin = api.plugin()
    guest = listed(plugin, 101)
    with pytest.raises(Cancelled):
        plugin.guest_start(guest, 90.0, Impatient())
    assert any(
        one[0] == "DELETE" and "/tasks/" in one[1] for one in map(request_of, api.fake.requests)
    )


def request_of(recorded):
    """Method and path of a recorded request, however the fake keeps it."""
    if isinstance(recorded, dict):
        return recorded["method"], recorded["path"]
    return recorded[0], recorded[1]


# --- migration ------------------------------------------------------------------------------------


@pytest.fixture
def pair(api):
    api.fake.add_node("pve2")
    return api


def test_targets(pair):
    plugin = pair.plugin()
    assert plugin.guest_target("pve2").name == "pve2"
    with pytest.raises(ProviderError, match="no node pve9; it has pve1, pve2"):
        plugin.guest_target("pve9")
    pair.fake.set_node_offline("pve2")
    with pytest.raises(ProviderError, match="the node pve2 is offline"):
        plugin.guest_target("pve2")


def test_a_running_container_moves_by_a_restart(pair, task):
    pair.fake.add_ct(201, "ct", node="pve1", status="running")
    plugin = pair.plugin()
    guest = listed(plugin, 201)
    assert guest.kind == "container"
    plugin.guest_migrate(guest, "pve2", MigrateOptions(), task)
    assert next(one for one in pair.fake.cts if one.vmid == 201).node == "pve2"
    assert 201 not in [one.vmid for one in plugin.guest_list()]


def test_a_virtual_machine_moves_while_it_runs(pair, task):
    """The fake accepts the call and moves nothing: what counts is the request and the end of the task."""
    plugin = pair.plugin()
    guest = listed(plugin, 101)
    plugin.guest_start(guest, 10.0, task)
    plugin.guest_migrate(guest, "pve2", MigrateOptions(with_local_disks=True), task)
    [asked] = [
        one for one in pair.fake.requests if one[0] == "POST" and one[1].endswith("/migrate")
    ]
    assert "online=1" in str(asked)
    assert "with-local-disks=1" in str(asked)


def test_what_proxmox_ve_has_against_a_move(pair):
    plugin = pair.plugin()
    guest = listed(plugin, 101)
    changed(
        plugin,
        "/migrate",
        lambda _data: {
            "not_allowed_nodes": {"pve2": {"unavailable_storages": ["fast"]}},
            "local_disks": [{"volid": "local-lvm:vm-101-disk-0"}],
            "local_resources": ["hostpci0"],
        },
    )
    found = plugin.guest_migrate_check(guest, "pve2", MigrateOptions())
    along = plugin.guest_migrate_check(guest, "pve2", MigrateOptions(with_local_disks=True))
    assert [("vm-101-disk-0" in one, "fast" in one, "hostpci0" in one) for one in found] == [
        (False, True, False),
        (True, False, False),
        (False, False, True),
    ]
    assert len(along) == 2


def test_no_request_is_refused_for_its_form(pair, task):
    """The fake answers 400 to any parameter that the published schema does not know."""
    plugin = pair.plugin()
    guest = listed(plugin, 101)
    plugin.guest_start(guest, 10.0, task)
    plugin.guest_shutdown(guest, 10.0, task)
    plugin.guest_start(guest, 10.0, task)
    plugin.guest_stop(guest, 10.0, task)
    plugin.guest_set(guest, {"order": "1"})
    plugin.guest_migrate(guest, "pve2", MigrateOptions(with_local_disks=True), task)
    assert pair.fake.vm(101).status == "stopped"


def test_settings_that_cannot_be():
    for settings in ({"token": "root@pam"}, {"fingerprint": "AB:CD"}):
        with pytest.raises(ValueError, match=r"USER@REALM!NAME|32 bytes"):
            Pve(**{"token": TOKEN, "secret": SECRET, **settings})
    with contextlib.closing(socket.socket()) as _unused:
        assert SECRET not in repr(Pve(TOKEN, SECRET))
