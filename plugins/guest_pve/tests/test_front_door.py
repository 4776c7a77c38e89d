"""A proxy before the API, or the API on a bad day: nothing is taken for an answer that is none."""

import pytest
from servers.front_door import front_door
from servers.pve import PveApi

from pvefw.api import (
    CredentialsRejected,
    GuestState,
    MigrateOptions,
    ProviderError,
    RateLimited,
    Unavailable,
)
from pvefw.testing.fakes import FakeTask
from pvefw.testing.guest import PatientTask
from pvefw_guest_pve import Pve, following

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
PAGE = b"<html><head><title>Sign in</title></head><body>Please sign in.</body></html>"
START = "/qemu/101/status/start"


@pytest.fixture
def api(tmp_path):
    made = PveApi(tmp_path)
    made.fake.time_scale = 0.05
    for vmid in (100, 101):
        made.fake.add_vm(vmid, f"vm{vmid}", config={"onboot": 1})
    yield made
    made.stop()


@pytest.fixture
def door(api, tmp_path):
    with front_door(tmp_path, api.fake.port) as made:
        yield made


@pytest.fixture
def plugin(api, door):
    return Pve(**{**api.settings(), "port": door.port})


def listed(plugin, vmid=101):
    return next(guest for guest in plugin.guest_list() if guest.vmid == vmid)


# --- lists ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"body": PAGE}, "GET /nodes/pve1/qemu: the answer is not Proxmox VE's: <html><head>"),
        ({}, "the answer is not Proxmox VE's: it is empty"),
        ({"body": b"[]"}, "the answer is not Proxmox VE's: []"),
        ({"body": b"{}"}, "the answer is not Proxmox VE's: {}"),
        ({"body": b'{"data":null}'}, "the API answered something that is no list"),
        ({"status": 502, "body": PAGE}, "Bad Gateway (502)"),
        ({"status": 404, "body": PAGE}, "Not Found (404)"),
        (
            {"status": 302, "headers": {"Location": "https://sso/login"}},
            "redirected to https://sso",
        ),
        ({"status": 429, "headers": {"Retry-After": "7"}}, "too many requests (429)"),
        ({"closed": True}, "the connection was closed before an answer came"),
    ],
)
def test_what_is_no_list_of_guests_is_a_sentence(plugin, door, answer, said):
    door.answers("GET", "/nodes/pve1/qemu", **answer)
    with pytest.raises(ProviderError) as caught:
        plugin.guest_list()
    assert said in caught.value.message
    assert "b'" not in caught.value.message
    if isinstance(caught.value, RateLimited):
        assert caught.value.retry_after == 7.0


@pytest.mark.parametrize("body", [PAGE, b'{"data":null}', b""])
def test_a_guest_whose_settings_are_no_settings_is_not_taken_for_one_without(plugin, door, body):
    """It was left out of a start without a word, as if it had no onboot."""
    door.answers("GET", "/qemu/101/config", body=body)
    problems = {guest.vmid: bool(guest.problem) for guest in plugin.guest_list()}
    assert problems == {100: False, 101: True}


def test_a_guest_without_a_number_spoils_no_list(plugin, door):
    rows = b'{"data":[{"vmid":100,"status":"stopped"},{"name":"x","status":"stopped"}]}'
    door.answers("GET", "/nodes/pve1/qemu", body=rows)
    assert [(guest.vmid, bool(guest.problem)) for guest in plugin.guest_list()] == [
        (100, False),
        (0, True),
    ]
    assert [event.vmid for event in plugin.guest_watch(0.0)] == [100, 0]


@pytest.mark.parametrize("answer", [{"status": 500}, {"status": 403}, {"body": PAGE}])
def test_where_the_ha_manager_does_not_say_each_guest_is_asked(plugin, door, answer):
    door.answers("GET", "/cluster/ha/resources", **answer)
    state = b'{"data":{"vmid":101,"status":"stopped","ha":{"managed":1}}}'
    door.answers("GET", "/qemu/101/status/current", body=state)
    managed = {guest.vmid: guest.managed_by_ha for guest in plugin.guest_list()}
    assert managed == {100: False, 101: True}


def test_a_token_that_may_see_no_guest_is_not_a_node_without_guests(plugin, door):
    """Or a shutdown would stop none and say OK."""
    door.answers("GET", "/nodes/pve1/qemu", body=b'{"data":[]}')
    door.answers("GET", "/access/permissions", body=b'{"data":{"/":{"Sys.Audit":1}}}')
    with pytest.raises(CredentialsRejected, match=r"may see no guest: it lacks VM\.Audit"):
        plugin.guest_list()
    door.answers("GET", "/access/permissions", body=b'{"data":{"/vms":{"VM.Audit":1}}}')
    assert plugin.guest_list() == []
    door.answers("GET", "/access/permissions", status=500)
    assert plugin.guest_list() == []


def test_a_node_that_was_renamed(api, door):
    plugin = Pve(**{**api.settings(), "port": door.port, "node": "old"})
    with pytest.raises(ProviderError) as caught:
        plugin.guest_list()
    assert "set node, where this host was renamed" in caught.value.hint


# --- tasks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 502, "times": 2},
        {"body": PAGE, "times": 2},
        {"body": b'{"data":null}', "times": 2},
    ],
)
def test_a_task_goes_on_while_nobody_can_be_asked(api, plugin, door, answer):
    """As where pveproxy is restarted; a start that was begun again met a guest that runs already."""
    guest = listed(plugin)
    door.answers("GET", "/status", **answer)
    plugin.guest_start(guest, 30.0, PatientTask())
    assert api.fake.vm(101).status == "running"
    assert len(starts(api)) == 1


def starts(api):
    return [request for request in api.fake.requests if START in str(request)]


@pytest.mark.parametrize("answer", [{"status": 500}, {"body": b'{"data":[{"t":"x"}]}'}])
def test_a_log_that_cannot_be_read_is_no_failure(api, plugin, door, answer):
    door.answers("GET", "/log", **answer)
    plugin.guest_start(listed(plugin), 30.0, PatientTask())
    assert api.fake.vm(101).status == "running"


def test_a_move_that_nobody_can_follow_is_given_up(api, plugin, door, monkeypatch):
    api.fake.add_node("pve2")
    monkeypatch.setattr(following, "_PATIENCE", 0.2)
    guest = listed(plugin)
    door.answers("GET", "/status", status=502)
    door.answers("GET", "/status/current", body=b'{"data":{"vmid":101,"status":"stopped"}}')
    with pytest.raises(Unavailable, match=r"UPID:pve1:.*how it ends is not known: Bad Gateway"):
        plugin.guest_migrate(guest, "pve2", MigrateOptions(), PatientTask())


def test_an_answer_without_a_task(plugin, door):
    guest = listed(plugin)
    door.answers("POST", START, body=b'{"data":null}')
    with pytest.raises(ProviderError, match="the API did not say which task it has begun"):
        plugin.guest_start(guest, 30.0, FakeTask())


@pytest.mark.parametrize("end", [b"", b"unknown"])
def test_a_task_that_leaves_no_result_has_not_gone_well(plugin, door, end):
    guest = listed(plugin)
    upid = b"UPID:pve1:0000AAAA:00AAAAAA:5F0E8A00:qmstart:101:root@pam:"
    door.answers("POST", START, body=b'{"data":"' + upid + b'"}')
    ended = b'{"data":{"status":"stopped","exitstatus":"' + end + b'"}}'
    door.answers("GET", upid.decode() + "/status", body=ended)
    with pytest.raises(ProviderError, match="the task has ended and left no result"):
        plugin.guest_start(guest, 30.0, FakeTask())


def test_who_was_started_by_somebody_else_just_then_runs(api, plugin, door):
    guest = listed(plugin)
    api.fake.vm(101).status = api.fake.vm(101).qmpstatus = "running"
    state = b'{"data":{"vmid":101,"status":"stopped"}}'
    door.answers("GET", "/qemu/101/status/current", body=state, times=1)
    plugin.guest_start(guest, 30.0, PatientTask())


def test_who_was_stopped_by_somebody_else_just_then_is_stopped(plugin, door):
    guest = listed(plugin)
    state = b'{"data":{"vmid":101,"status":"running"}}'
    for hook in (plugin.guest_shutdown, plugin.guest_stop):
        door.answers("GET", "/qemu/101/status/current", body=state, times=1)
        hook(guest, 30.0, PatientTask())


def test_a_guest_that_is_backed_up_stops_when_that_is_over(api, plugin, door):
    api.fake.vm(101).status = api.fake.vm(101).qmpstatus = "running"
    guest = listed(plugin)
    locked = b'{"data":null,"message":"VM is locked (backup)"}'
    door.answers("POST", "/qemu/101/status/shutdown", status=500, body=locked, times=2)
    plugin.guest_shutdown(guest, 60.0, PatientTask())
    assert listed(plugin).state is GuestState.STOPPED


@pytest.mark.parametrize(("action", "state"), [("start", "stopped"), ("stop", "running")])
def test_a_lock_that_stays_can_be_removed(api, plugin, door, action, state):
    """A backup that was killed leaves its lock; no task of Proxmox VE's ever removes it."""
    api.fake.vm(101).status = api.fake.vm(101).qmpstatus = state
    guest = listed(plugin)
    locked = b'{"data":null,"message":"VM is locked (backup)"}'
    door.answers("POST", f"/qemu/101/status/{action}", status=500, body=locked, times=9)
    with pytest.raises(ProviderError, match=r"VM is locked \(backup\).*: qm unlock 101"):
        getattr(plugin, f"guest_{action}")(guest, 0.0, PatientTask())
