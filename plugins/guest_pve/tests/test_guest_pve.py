"""Proxmox VE's API as fakepve plays it; every request is checked against what is published."""

import contextlib
import re
import socket
from urllib.parse import parse_qsl

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
    return next(guest for guest in plugin.guest_list() if guest.vmid == vmid)


class TestPve(GuestConformance):
    @pytest.fixture
    def plugin(self, api):
        api.fake.time_scale = 0.05
        api.fake.add_vm(103, "deaf").acpi = False
        return api.plugin()

    @pytest.fixture
    def broken_plugin(self, api):
        return api.plugin(port=1)

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


def test_to_watch_takes_two_requests_however_many_guests_there_are(api):
    plugin = api.plugin()
    before = len(api.fake.requests)
    seen = {event.vmid: event.state for event in plugin.guest_watch(0.0)}
    assert seen == {101: GuestState.STOPPED, 102: GuestState.STOPPED}
    assert [request[1] for request in map(request_of, api.fake.requests[before:])] == [
        "/api2/json/nodes/pve1/qemu",
        "/api2/json/nodes/pve1/lxc",
    ]


def test_their_log_is_part_of_ours(api, task):
    plugin = api.plugin()
    plugin.guest_start(listed(plugin, 101), 30.0, task)
    assert api.fake.vm(101).status == "running"
    assert not any(line.startswith("TASK") for line in task.lines)


def test_our_own_service_says_otherwise_that_the_time_is_over(api, task, monkeypatch):
    """It may say so before the plugin's own time is over."""
    plugin = api.plugin()
    plugin.guest_start(listed(plugin, 101), 30.0, task)

    def act(*_arguments, **_options):
        raise ProviderError("1 failed: 101 failed: libvirt: it still runs after 2 seconds")

    monkeypatch.setattr(Pve, "_act", act)
    with pytest.raises(Unavailable, match="it still runs after 2 seconds"):
        plugin.guest_shutdown(listed(plugin, 101), 2.0, task)


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
        request[0] == "DELETE" and "/tasks/" in request[1]
        for request in map(request_of, api.fake.requests)
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
    assert next(other for other in pair.fake.cts if other.vmid == 201).node == "pve2"
    assert 201 not in [other.vmid for other in plugin.guest_list()]


def test_a_virtual_machine_moves_while_it_runs(pair, task):
    """The fake accepts the call and moves nothing: what counts is the request and the end of the task."""
    plugin = pair.plugin()
    guest = listed(plugin, 101)
    plugin.guest_start(guest, 10.0, task)
    plugin.guest_migrate(guest, "pve2", MigrateOptions(with_local_disks=True), task)
    [asked] = [
        request
        for request in pair.fake.requests
        if request[0] == "POST" and request[1].endswith("/migrate")
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
    assert [
        ("vm-101-disk-0" in sentence, "fast" in sentence, "hostpci0" in sentence)
        for sentence in found
    ] == [
        (False, True, False),
        (True, False, False),
        (False, False, True),
    ]
    assert len(along) == 2


FLAG, NUMBER, NODE = "[01]", "[0-9]+", "[a-z][a-z0-9-]*"
START_UP = r"order=\d+(,up=\d+)?(,down=\d+)?|(up|down)=\d+(,down=\d+)?"
CONFIG = {"onboot": FLAG, "startup": START_UP, "delete": "startup", "digest": "[0-9a-f]{1,64}"}
PUBLISHED = {
    r"GET nodes": {},
    r"GET cluster/ha/resources": {},
    r"GET nodes/N/(qemu|lxc)": {},
    r"GET nodes/N/(qemu|lxc)/ID/(config|status/current)": {},
    r"GET nodes/N/qemu/ID/migrate": {"target": NODE},
    r"GET nodes/N/tasks/UPID/status": {},
    r"GET nodes/N/tasks/UPID/log": {"start": NUMBER, "limit": NUMBER},
    r"PUT nodes/N/(qemu|lxc)/ID/config": CONFIG,
    r"POST nodes/N/(qemu|lxc)/ID/status/start": {},
    r"POST nodes/N/(qemu|lxc)/ID/status/shutdown": {"timeout": NUMBER, "forceStop": FLAG},
    r"POST nodes/N/(qemu|lxc)/ID/status/stop": {"overrule-shutdown": FLAG},
    r"POST nodes/N/qemu/ID/status/suspend": {"todisk": FLAG},
    r"POST nodes/N/qemu/ID/status/resume": {},
    r"GET cluster/resources": {"type": "vm"},
    r"POST nodes/N/qemu/ID/agent/ping": {},
    r"POST nodes/N/qemu/ID/migrate": {"target": NODE, "online": FLAG, "with-local-disks": FLAG},
    r"POST nodes/N/lxc/ID/migrate": {"target": NODE, "restart": FLAG},
}
"""The calls that the plugin may make, and the parameters that it may give, with their published forms."""


def flaws(method, path, body):
    """What is wrong with a request."""
    place, _, query = path.removeprefix("/api2/json/").partition("?")
    place = re.sub(r"UPID:[^/]+|UPID%3A[^/]+", "UPID", place)
    place = re.sub(r"/(qemu|lxc)/\d+", r"/\1/ID", re.sub(r"^nodes/[^/]+", "nodes/N", place))
    known = [value for call, value in PUBLISHED.items() if re.fullmatch(call, f"{method} {place}")]
    if not known:
        return [f"{method} {place}: not published"]
    given = parse_qsl((body or b"").decode()) + parse_qsl(query)
    return [
        f"{method} {place}: {key}={value}"
        for key, value in given
        if key not in known[0] or not re.fullmatch(known[0][key], value)
    ]


def test_every_request_is_a_published_one(pair, task):
    """The fake checks the form of those parameters that it knows, and lets others pass."""
    pair.fake.add_ct(201, "ct", node="pve1")
    plugin = pair.plugin()
    for guest in plugin.guest_list():
        for state in (plugin.guest_shutdown, plugin.guest_stop):
            plugin.guest_start(guest, 10.0, task)
            state(guest, 10.0, task)
        plugin.guest_set(guest, {"onboot": "1", "order": "3", "up": "", "down": "9"})
        plugin.guest_set(guest, {"order": "", "up": "", "down": ""})
        plugin.guest_start(guest, 10.0, task)
        plugin.guest_ready(guest, 0.1, task)
        for to_disk in (False, True) if guest.kind == "vm" else ():
            plugin.guest_suspend(guest, to_disk, 10.0, task)
            plugin.guest_resume(guest, 10.0, task)
        plugin.guest_migrate_check(guest, "pve2", MigrateOptions())
        plugin.guest_migrate(guest, "pve2", MigrateOptions(with_local_disks=True), task)
    plugin.guest_target("pve2")
    assert len(pair.fake.requests) > 50
    assert [flaw for request in pair.fake.requests for flaw in flaws(*request[:3])] == []


@pytest.mark.parametrize(
    ("request_", "wrong"),
    [
        (("POST", "/api2/json/nodes/pve1/qemu/101/status/stop", b"overrule-shutdown=1"), False),
        (("POST", "/api2/json/nodes/pve1/qemu/101/status/start", b"bogus=1"), True),
        (("POST", "/api2/json/nodes/pve1/qemu/101/status/shutdown", b"timeout=1.5"), True),
        (("POST", "/api2/json/nodes/pve1/startall", b""), True),
    ],
)
def test_a_request_that_is_not_published_would_be_found(request_, wrong):
    assert bool(flaws(*request_)) is wrong


def test_settings_that_cannot_be():
    for settings in ({"token": "root@pam"}, {"fingerprint": "AB:CD"}):
        with pytest.raises(ValueError, match=r"USER@REALM!NAME|32 bytes"):
            Pve(**{"token": TOKEN, "secret": SECRET, **settings})
    with contextlib.closing(socket.socket()) as _unused:
        assert SECRET not in repr(Pve(TOKEN, SECRET))
