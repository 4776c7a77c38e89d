"""HAProxy as it is installed takes a certificate through its socket."""

import socket
from dataclasses import replace

import pytest
from certificates import self_signed
from servers.processes import free_port, process, wait_for_port
from waiting import wait_until

from pvefw.api import CredentialsRejected, ProviderError, Unavailable
from pvefw.testing.fakes import FakeTask
from pvefw_observer_targets import haproxy
from pvefw_observer_targets.haproxy import HAProxy

CONFIG = """
global
    maxconn 20
    stats socket {here}/admin.sock mode 600 level admin
    stats socket {here}/other.sock mode 600 level operator
defaults
    mode http
    timeout connect 60s
    timeout client 60s
    timeout server 60s
frontend web
    bind 127.0.0.1:{port} ssl crt {here}/ssl/
"""


@pytest.fixture
def here(short_path):
    return short_path


@pytest.fixture
def target(here):
    return HAProxy(pem=f"{here}/ssl/{{name}}.pem", socket=here / "admin.sock")


@pytest.fixture
def running(here, target, issue, monkeypatch):
    """One that was started with the first certificate: that, and its port."""
    first, task, port = issue(), FakeTask(), free_port()
    monkeypatch.setattr(haproxy, "is_stopped", lambda _unit: True)
    target.on_certificate(first, task)
    assert "it reads the certificate when it starts" in task.lines[0]
    monkeypatch.undo()
    (here / "haproxy.cfg").write_text(CONFIG.format(here=here, port=port))
    with process(["haproxy", "-db", "-f", str(here / "haproxy.cfg")], here / "log") as started:
        wait_for_port(port, started, here / "log")
        sockets = [here / "admin.sock", here / "other.sock"]
        wait_until(lambda: all(path.exists() for path in sockets), "HAProxy's sockets")
        yield first, port


def test_the_running_one_exchanges_it_and_keeps_its_connections(
    target, running, issue, served, here
):
    first, port = running
    assert served(port) == first.fingerprint
    with socket.create_connection(("127.0.0.1", port)) as connection:
        second, task = issue(), FakeTask()
        path = here / "ssl/web.pem"
        assert target.certificate_plan(second) == [
            f"write {path} (combined, 0600)",
            f"tell {here}/admin.sock: set ssl cert {path}, commit ssl cert {path}",
        ]
        target.on_certificate(second, task)
        assert served(port) == second.fingerprint
        assert path.read_bytes() == second.certificate.read_bytes() + second.key.read_bytes()
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)


def test_what_it_refuses_is_taken_back(target, running, issue, served, here):
    first, port = running
    kept, event = (here / "ssl/web.pem").read_bytes(), issue()
    event.key.write_bytes(self_signed()[1])
    with pytest.raises(ProviderError, match="HAProxy refuses the certificate"):
        target.on_certificate(event, FakeTask())
    assert served(port) == first.fingerprint
    assert (here / "ssl/web.pem").read_bytes() == kept
    target.on_certificate(issue(), FakeTask())


def test_a_file_that_it_does_not_use_yet_stays_for_its_configuration(running, issue, here):
    path = here / "other.pem"
    other = HAProxy(pem=str(path), socket=here / "admin.sock")
    with pytest.raises(ProviderError, match="HAProxy does not use") as error:
        other.on_certificate(issue(), FakeTask())
    assert f"ssl crt {path}" in error.value.hint
    assert path.exists()


def test_a_socket_without_the_right_level(target, running, issue, here):
    kept = (here / "ssl/web.pem").read_bytes()
    with pytest.raises(CredentialsRejected, match="Permission denied") as error:
        replace(target, socket=here / "other.sock").on_certificate(issue(), FakeTask())
    assert "level admin" in error.value.hint
    assert (here / "ssl/web.pem").read_bytes() == kept


def test_a_socket_that_nobody_answers(target, issue, here):
    with pytest.raises(Unavailable, match="No such file") as error:
        target.on_certificate(issue(), FakeTask())
    assert f"stats socket {here}/admin.sock level admin" in error.value.hint
    assert not (here / "ssl").exists()


def test_a_path_that_would_be_a_command():
    with pytest.raises(ValueError, match="plain characters"):
        HAProxy(pem="/etc/haproxy/a.pem; disable frontend web")
