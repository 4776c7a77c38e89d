"""One odd guest stops nobody; certificates that are renewed; what a person gets to read."""

import contextlib
import socket
import threading
from dataclasses import replace
from types import SimpleNamespace

import certificates
import pytest
import requests
from proxmoxer import ResourceException
from servers.processes import free_port
from servers.pve import SECRET, TOKEN, PveApi
from whole_host import Host

from pvefw.api import GuestState, MigrateOptions, ProviderError, Unavailable, Unsupported
from pvefw.testing.fakes import FakeTask
from pvefw.testing.guest import PatientTask
from pvefw_guest_pve import Pve, following, trust

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
LIBRARIES = ("Pool", "Max retries", "urllib3", "HTTPS", "object at 0x", "Errno", "ssl.c")


@pytest.fixture
def api(tmp_path):
    made = PveApi(tmp_path)
    for vmid, order in ((100, 1), (101, 2), (102, 3)):
        made.fake.add_vm(vmid, f"vm{vmid}", config={"onboot": 1, "startup": f"order={order},up=0"})
    yield made
    made.stop()


@pytest.fixture
def host(api, tmp_path):
    """A node whose guests are those of the API."""
    made = Host(tmp_path / "root")
    made.paths.cluster_pvefw_cfg.parent.mkdir(parents=True)
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    settings = {**api.settings(), "secret": f"file:{secret}"}
    lines = "".join(f"\t{key} {value}\n" for key, value in settings.items())
    made.paths.cluster_pvefw_cfg.write_text(f"guest: pve\n{lines}")
    return made


def plugin(api, **settings):
    return Pve(**{**api.settings(), **settings})


def running(api):
    return {vm.vmid for vm in api.fake.vms if vm.status == "running"}


def spoil(api, vmid):
    api.fake.fail("GET", f"/qemu/{vmid}/config", status=500, message="unable to parse value")


# --- one that cannot be read ----------------------------------------------------------------------


def test_a_guest_that_cannot_be_read_fails_and_the_others_start(api, host):
    spoil(api, 101)
    for command in ("boot-guests", "startall"):
        said = host.fail(command)
        assert "101 blocked: its settings could not be read: unable to parse value (500)" in said
        assert running(api) == {100, 102}


def test_a_guest_that_cannot_be_read_stops_and_is_named(api, host):
    for vm in api.fake.vms:
        vm.status = vm.qmpstatus = "running"
    spoil(api, 101)
    assert host.run("stopall", "--vms", 100).endswith("Task OK\n")
    assert running(api) == {101, 102}
    said = host.fail("shutdown-guests")
    assert running(api) == set()
    assert "101 stopped, but out of order: its settings could not be read" in said


def test_a_guest_that_cannot_be_read_is_listed_with_the_reason(api, host):
    spoil(api, 101)
    line = next(text for text in host.run("guest", "list").splitlines() if text.startswith("101"))
    assert line.endswith("its settings could not be read: unable to parse value (500)")


def test_a_guest_that_leaves_while_the_list_is_read_is_not_in_it(api):
    api.fake.fail(
        "GET",
        "/qemu/101/config",
        status=500,
        message="Configuration file 'nodes/pve1/qemu-server/101.conf' does not exist",
    )
    assert [other.vmid for other in plugin(api).guest_list()] == [100, 102]


# --- one that is not where it was, or paused ------------------------------------------------------


@pytest.mark.parametrize("how", ["guest_shutdown", "guest_stop"])
def test_a_guest_that_has_moved_away_has_stopped_here(api, how):
    api.fake.add_node("pve2")
    api.fake.vm(101).status = "running"
    made, task = plugin(api), PatientTask()
    guest = next(other for other in made.guest_list() if other.vmid == 101)
    api.fake.vm(101).node = "pve2"
    getattr(made, how)(guest, 5.0, task)
    assert task.warnings == ["101 (vm101): it has moved away to pve2"]


def test_a_paused_guest_continues_to_shut_down(api):
    vm = api.fake.vm(101)
    vm.status, vm.qmpstatus = "running", "paused"
    made, task = plugin(api), PatientTask()
    guest = next(other for other in made.guest_list() if other.vmid == 101)
    made.guest_shutdown(guest, 5.0, task)
    assert vm.status == "stopped"
    assert any(request[1].endswith("/101/status/resume") for request in api.fake.requests)


def test_a_guest_that_is_suspended_to_disk_is_saved(api):
    api.fake.vm(101).lock = "suspended"
    guest = next(other for other in plugin(api).guest_list() if other.vmid == 101)
    assert (guest.state, guest.saved) == (GuestState.STOPPED, True)


# --- certificates ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pveproxy-ssl.pem", "pve-ssl.pem"])
@pytest.mark.parametrize("pin", ["00:" * 31 + "00", None])
def test_the_certificate_that_is_installed_at_the_moment_is_trusted(api, tmp_path, name, pin):
    """The pin is that of the certificate before, or the CA did not sign the new one."""
    node = tmp_path / "nodes/pve1"
    node.mkdir(parents=True)
    made = plugin(api, fingerprint=pin, certificates=tmp_path / "nodes")
    with pytest.raises(ProviderError, match=r"another fingerprint|not trusted"):
        made.guest_list()
    (node / name).write_bytes((tmp_path / "c.pem").read_bytes())
    assert len(made.guest_list()) == 3
    assert len(made.guest_list()) == 3  # over the connection that is kept, too


# --- what a person reads --------------------------------------------------------------------------


@pytest.fixture
def closing():
    """A server that closes every connection before it answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def said_by(**settings):
    with pytest.raises(ProviderError) as caught:
        Pve(**{"token": TOKEN, "secret": SECRET, "host": "127.0.0.1", **settings}).guest_list()
    said = f"{caught.value} {caught.value.hint}"
    assert not [library for library in LIBRARIES if library in said], said
    return said


def test_no_message_of_a_library_reaches_a_person(api, closing):
    assert "Connection refused" in said_by(port=free_port())
    assert "127.0.0.1" in said_by(port=closing)
    assert "Name or service not known" in said_by(host="no-such-host.invalid")
    assert "not trusted: unable to get local issuer certificate" in said_by(port=api.fake.port)
    assert "another fingerprint" in said_by(port=api.fake.port, fingerprint="00:" * 31 + "00")


@contextlib.contextmanager
def without_tls():
    """The port of a server that answers one client in plain text."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection = server.accept()[0]
            connection.recv(100)
            connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def test_a_server_that_does_not_speak_tls(monkeypatch):
    with without_tls() as port:
        assert "wrong version number" in said_by(port=port)


@pytest.mark.parametrize(
    "error", [requests.exceptions.ReadTimeout("x"), requests.exceptions.ConnectTimeout("y")]
)
def test_no_answer_in_time(api, monkeypatch, error):
    made = plugin(api)

    def late(*_arguments, **_options):
        raise error

    monkeypatch.setattr("requests.adapters.HTTPAdapter.send", late)
    with pytest.raises(Unavailable, match="no answer within 30 seconds"):
        made.guest_list()


# --- what is rare ---------------------------------------------------------------------------------


def of(made, vmid):
    return next(other for other in made.guest_list() if other.vmid == vmid)


def answering(made, end, *answers):
    """Let the answers of a path be these, one after the other; the last stays. An error is raised."""
    serializer = made._connection.api._store["serializer"]
    before, left = serializer.loads, list(answers)

    def loads(response):
        data = before(response)
        if not response.url.partition("?")[0].endswith(end):
            return data
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return {**data, **answer}

    serializer.loads = loads


def test_an_api_that_goes_away_while_guests_are_read_is_no_odd_guest(api, monkeypatch):
    monkeypatch.setattr("pvefw_guest_pve.guests._AT_ONCE", 1)
    monkeypatch.setattr("threading.local", type("Shared", (), {}))  # one connection for all threads
    made = plugin(api)
    answering(made, "/config", requests.exceptions.ConnectionError(TimeoutError()))
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:\d+: no answer within 30 seconds"):
        made.guest_list()


@pytest.mark.parametrize(
    ("states", "said"), [(["stopped", "stopped", "running"], ""), (["stopped"], "it is stopped")]
)
def test_what_the_ha_manager_does_after_its_task_is_waited_for(api, states, said):
    made, task = plugin(api), FakeTask()
    guest = replace(of(made, 101), managed_by_ha=True)
    answering(made, "/status/current", *({"status": state, "qmpstatus": state} for state in states))
    if said:
        with pytest.raises(Unavailable, match=f"its task ended, but {said}"):
            made.guest_start(guest, 30.0, task)
        assert task.waited >= 60
    else:
        made.guest_start(guest, 30.0, task)


def test_an_agent_that_answers_late_or_never(api, monkeypatch):
    monkeypatch.setattr("pvefw_guest_pve.guests._PING_SECONDS", 0.01)
    vm, made, task = api.fake.vm(101), plugin(api), PatientTask()
    vm.config["agent"] = "1"
    vm.status = vm.qmpstatus = "running"
    guest = of(made, 101)
    assert made.guest_ready(guest, 0.1, task) is False
    vm.agent = {}
    assert made.guest_ready(guest, 30.0, task) is True
    vm.config["agent"] = "0"
    assert made.guest_ready(guest, 30.0, task) is None


def test_containers_are_not_suspended(api):
    api.fake.add_ct(201, "ct", node="pve1", status="running")
    made = plugin(api)
    with pytest.raises(Unsupported, match="Proxmox VE suspends virtual machines only"):
        made.guest_suspend(of(made, 201), False, 9.0, PatientTask())


@pytest.mark.parametrize("how", ["guest_shutdown", "guest_stop"])
def test_another_refusal_is_no_guest_that_has_left(api, how):
    made = plugin(api)
    guest = of(made, 101)
    missing = "Configuration file 'nodes/pve1/qemu-server/101.conf' does not exist"
    for message in ("internal trouble", missing):
        api.fake.fail("GET", "/qemu/101/status/current", status=500, message=message)
        with pytest.raises(ProviderError, match=message[:20]):
            getattr(made, how)(guest, 5.0, PatientTask())


def test_a_shutdown_that_fails_is_not_one_that_takes_long(api, monkeypatch):
    vm, made = api.fake.vm(101), plugin(api)
    vm.status = vm.qmpstatus = "running"
    monkeypatch.setattr(Pve, "_act", raising(ProviderError("the monitor is gone")))
    with pytest.raises(ProviderError, match="the monitor is gone") as raised:
        made.guest_shutdown(of(made, 101), 5.0, PatientTask())
    assert not isinstance(raised.value, Unavailable)


def raising(error):
    def call(*_arguments, **_options):
        raise error

    return call


def test_lines_of_their_log_that_come_twice_are_shown_once(api):
    pages = [[{"n": 1, "t": "one"}], [{"n": 1, "t": "one"}, {"n": 2, "t": "two"}]]
    theirs = SimpleNamespace(log=SimpleNamespace(get=lambda **_options: pages.pop(0)))
    connection, task = plugin(api)._connection, FakeTask()
    assert [following._show(connection, theirs, shown, task) for shown in (0, 1)] == [1, 2]
    assert task.lines == ["one", "two"]


def test_certificates_that_cannot_be_read_are_passed_over(tmp_path):
    for name, text in (("pve1", "no PEM"), ("pve2", "-----BEGIN CERTIFICATE-----\n%%")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pve-ssl.pem").write_text(text)
    (tmp_path / "pve3/pve-ssl.pem").mkdir(parents=True)
    assert trust.installed(tmp_path) == []


def test_none_of_the_installed_certificates_is_the_servers(api, tmp_path):
    other = certificates.self_signed("pve9.example")[0]
    (tmp_path / "nodes/pve9").mkdir(parents=True)
    (tmp_path / "nodes/pve9/pve-ssl.pem").write_bytes(other)
    made = plugin(api, fingerprint=None, certificates=tmp_path / "nodes")
    with pytest.raises(ProviderError, match="its certificate is not trusted"):
        made.guest_list()


def test_no_tls_where_a_certificate_is_pinned():
    with without_tls() as port:
        said = said_by(port=port, fingerprint="00:" * 31 + "00")
    assert "no encrypted connection: wrong version number" in said


def test_what_the_api_has_as_an_object_is_said_in_words(api):
    made = plugin(api)
    guest = of(made, 101)
    refused = {"pve2": {"unavailable_storages": ["fast", "slow"]}}
    answering(made, "/migrate", {"not_allowed_nodes": refused})
    reasons = made.guest_migrate_check(guest, "pve2", MigrateOptions())
    assert reasons[0] == "it may not run on pve2: unavailable storages: fast, slow"
    error = ResourceException(400, "Bad Request", "Parameter verification failed.", {"up": "no\n"})
    assert made._connection._refused(error).message == (
        "Parameter verification failed. (up: no) (400)"
    )
