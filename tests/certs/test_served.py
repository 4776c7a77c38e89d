"""What is served is compared with what is installed: real TLS, and each way to begin it."""

import contextlib
import datetime as dt
import json
import socket
import ssl
import threading

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from certificates import NOW, Log, own, self_signed
from servers.processes import free_port

from pvefw import instances
from pvefw.certs import chain, deploy, install, renew, served
from pvefw.cli.run import run
from pvefw.host import tls
from pvefw.host.clock import SystemClock
from pvefw.store import node_settings
from pvefw.tasks import events

BEGINNINGS = {
    "": [],
    "smtp": [
        (b"", b"220-a\r\n220 b\r\n"),
        (b"EHLO", b"250-c\r\n250 STARTTLS\r\n"),
        (b"STARTTLS", b"220 go\r\n"),
    ],
    "imap": [(b"", b"* OK ready\r\n"), (b"a1 STARTTLS", b"* more\r\na1 OK go\r\n")],
    "pop3": [(b"", b"+OK ready\r\n"), (b"STLS", b"+OK go\r\n")],
    "ftp": [(b"", b"220 ready\r\n"), (b"AUTH TLS", b"234 go\r\n")],
    "ldap": [(b"\x30\x1d\x02\x01\x01\x77", bytes.fromhex("300c02010178070a010004000400"))],
    "postgres": [(bytes.fromhex("0000000804d2162f"), b"S")],
}  # fmt: skip
"""What each side says before TLS begins, as the protocol's document has it."""


class Server:
    """Serves a certificate that can be exchanged, after a conversation."""

    def __init__(self, directory, conversation=()):
        self._directory, self._conversation = directory, conversation
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.names = []
        threading.Thread(target=self._serve, daemon=True).start()

    def use(self, pem, key):
        paths = self._directory / "served.pem", self._directory / "served.key"
        for path, data in zip(paths, (pem, key), strict=True):
            path.write_bytes(data)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*paths)
        self._context.sni_callback = lambda _socket, name, _context: self.names.append(name)

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with contextlib.suppress(OSError), connection:
                    self._answer(connection)

    def _answer(self, connection):
        for expected, answer in self._conversation:
            if expected and not connection.recv(1024).startswith(expected):
                return
            connection.sendall(answer)
        with self._context.wrap_socket(connection, server_side=True) as tls_:
            tls_.recv(1)

    def close(self):
        self._listener.close()


@pytest.fixture
def server(tmp_path):
    found = Server(tmp_path)
    yield found
    found.close()


@pytest.mark.parametrize("protocol", BEGINNINGS)
def test_each_way_to_begin(tmp_path, protocol):
    pem, key = self_signed("www.example")
    server = Server(tmp_path, BEGINNINGS[protocol])
    server.use(pem, key)
    der = tls.served_certificate("127.0.0.1", server.port, protocol, "www.example", 30)
    assert ssl.DER_cert_to_PEM_cert(der).encode() == pem
    assert server.names == ["www.example"]
    server.close()


@pytest.mark.parametrize("protocol", [beginning for beginning in BEGINNINGS if beginning])
def test_a_server_that_refuses(tmp_path, protocol):
    server = Server(tmp_path, [(b"", b"554 not today\r\n")])
    server.use(*self_signed())
    with pytest.raises(OSError, match="it does not begin TLS"):
        tls.served_certificate("127.0.0.1", server.port, protocol, "", 30)
    server.close()


def test_a_real_mail_server(tmp_path):
    pem, key = self_signed("mail.example")
    for name, data in (("m.pem", pem), ("m.key", key)):
        (tmp_path / name).write_bytes(data)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "m.pem", tmp_path / "m.key")
    controller = Controller(Sink(), hostname="127.0.0.1", port=free_port(), tls_context=context)
    controller.start()
    try:
        der = tls.served_certificate("127.0.0.1", controller.port, "smtp", "", 30)
    finally:
        controller.stop()
    assert ssl.DER_cert_to_PEM_cert(der).encode() == pem


class Patient(Log):
    """A task whose waits are noted."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def wait(self, seconds):
        self.waits.append(seconds)


@pytest.fixture
def told(monkeypatch):
    found = []
    monkeypatch.setattr(
        events, "tell", lambda _node, hook, event, _task: found.append((hook, event))
    )
    return found


@pytest.fixture
def certificate(paths, server):
    node_settings.change(paths, {"serves": f"127.0.0.1:{server.port}"})
    install.install_pair(own(paths), *self_signed("new.example"), Log(), NOW)
    server.use(*self_signed("old.example"))
    return own(paths)


def test_the_old_one_is_noticed_waited_for_and_told(paths, certificate, server, told):
    task = Patient()
    assert not served.after_deployment(certificate, task, NOW)
    assert len(task.waits) > 3
    [warning] = task.warnings
    assert f"127.0.0.1:{server.port}: another certificate is served: for old.example" in warning
    [(hook, event)] = told
    assert (hook, event.name) == ("on_served", "pveproxy")
    assert event.reason in warning
    assert server.names[0] == "new.example"


def test_a_run_looks_again_before_it_tells(paths, certificate, server, told):
    """One process of a service may still serve the old one when another one serves the new."""

    class Reloading(SystemClock):
        def wait(self, _event, _seconds):
            server.use(certificate.pem(), certificate.files.key.read_bytes())
            return False

    lines = []
    assert renew._look(paths, lines.append, lines.append, Reloading())
    assert (lines, told) == ([], [])


def test_nothing_is_told_twice_a_day_and_the_end_is(paths, certificate, server, told):
    hour = dt.timedelta(hours=1)
    for hours in (0, 6, 12, 23, 25, 30):
        found = served.look(certificate)
        assert not served.tell(certificate, found, Log(), NOW + hours * hour)
    assert len(told) == 2
    server.use(certificate.pem(), certificate.files.key.read_bytes())
    for hours in (31, 37):
        found = served.look(certificate)
        assert served.is_news(certificate, found, NOW) == (hours == 31)
        assert served.tell(certificate, found, Log(), NOW + hours * hour)
    assert [bool(event.reason) for _, event in told] == [True, True, False]


def test_a_server_that_is_away_is_wrong_too(paths, certificate, server):
    server.close()
    node_settings.change(paths, {"serves": f"127.0.0.1:{free_port()}"})
    [look] = served.look(own(paths))
    assert "it cannot be asked" in look.reason


def test_by_hand(paths, certificate, server, capsys):
    def check():
        done = run(["--root", str(paths.root), "--node", "pve1", "cert", "check"])
        return done, capsys.readouterr().out

    done, said = check()
    assert (done, "for old.example" in said) == (1, True)
    server.use(certificate.pem(), certificate.files.key.read_bytes())
    assert check()[0] == 0
    assert chain.names(chain.parse(certificate.pem(), "it")[0]) == ["new.example"]
    node_settings.change(paths, {}, ["serves"])
    assert check()[0] == 2


def status(paths, capsys, *arguments):
    done = run(["--root", str(paths.root), "--node", "pve1", "status", *arguments])
    return done, capsys.readouterr().out


def test_status_shows_what_the_last_look_found(paths, certificate, server, told, capsys):
    address = f"127.0.0.1:{server.port}"
    assert status(paths, capsys, "served", "--check")[0] == 0  # nobody has looked yet
    served.tell(certificate, served.look(certificate), Log(), NOW)
    done, said = status(paths, capsys, "served")
    assert (done, f"pveproxy: {address}: another certificate is served: for old" in said) == (
        1,
        True,
    )
    assert "pvefw cert deploy pveproxy" in said
    done, said = status(paths, capsys, "served", "--check")
    assert done == 1
    assert said.startswith("PVEFW WARNING - served: pveproxy:")
    assert "'served wrong'=1;0;;0" in said
    _, said = status(paths, capsys, "served", "--output-format", "json")
    [look] = json.loads(said)["parts"]["served"]["data"]["addresses"]
    assert (look["certificate"], look["address"], look["ok"]) == ("pveproxy", address, False)
    server.use(certificate.pem(), certificate.files.key.read_bytes())
    assert status(paths, capsys, "served")[0] == 1  # the last look counts
    run(["--root", str(paths.root), "--node", "pve1", "cert", "check"])
    assert status(paths, capsys, "served")[0] == 0
    assert served.is_news(certificate, served.look(certificate), NOW)  # who was told hears the end


def test_what_is_acknowledged_is_quiet_until_something_else_is_served(
    paths, certificate, server, told, capsys
):
    def tell(days):
        told.clear()
        served.tell(certificate, served.look(certificate), Log(), NOW + dt.timedelta(days=days))
        return len(told)

    assert (tell(0), tell(1)) == (1, 1)
    assert status(paths, capsys, "--acknowledge", "served")[0] == 0
    assert (tell(2), tell(9)) == (0, 0)
    server.use(*self_signed("other.example"))
    assert tell(10) == 1
    assert status(paths, capsys, "served")[0] == 1


NO_ZONE = b'{"127.0.0.1:1": {"told": "2020-01-01T00:00:00", "reason": "x"}}'


def test_damaged_notes_cost_nothing(paths, certificate, told):
    for text in (b"[]", b'{"a:1": 1}', b'{"a:1": {"told": "never", "reason": ""}}', NO_ZONE):
        certificate.files.served.parent.mkdir(parents=True, exist_ok=True)
        at = certificate.settings.served_at[0][1]
        certificate.files.served.write_bytes(
            text.replace(b"127.0.0.1:1", f"127.0.0.1:{at}".encode())
        )
        told.clear()
        served.tell(certificate, served.look(certificate), Log(), NOW)
        assert len(told) == 1


def test_a_server_that_kept_the_old_one_after_its_reload(paths, certificate, tmp_path, capsys):
    """The delivery says so and somebody hears of it, though the reload itself succeeded."""
    program, said = tmp_path / "program", tmp_path / "said"
    program.write_text(f'#!/bin/sh\ncat >> "{said}"\n')
    program.chmod(0o755)
    settings = {"program": str(program), "events": "served"}
    instances.add(paths, instances.Instance("observer", "hook", "exec", settings))
    node_settings.change(paths, {"reload-command": "true"})
    task = Patient()
    assert deploy.deploy(own(paths), task, again=True) == []
    assert any("another certificate is served" in warning for warning in task.warnings)
    [event] = [json.loads(line) for line in said.read_text().splitlines()]
    assert (event["event"], event["severity"], event["name"]) == ("served", "error", "pveproxy")
    assert "for old.example" in event["reason"]
    assert status(paths, capsys, "served")[0] == 1


def test_a_target_that_is_tried_alone_is_looked_at(paths, certificate, server):
    """Unless the service has to be reloaded before anything can be seen."""

    def tried(command):
        task = Patient()
        node_settings.change(paths, {"reload-command": command})
        deploy.deploy_one(own(paths), deploy.SERVICE, task)
        return task

    assert "another certificate is served" in tried("true").warnings[0]
    server.use(certificate.pem(), certificate.files.key.read_bytes())
    assert f"127.0.0.1:{server.port} serves it" in tried("true").lines
