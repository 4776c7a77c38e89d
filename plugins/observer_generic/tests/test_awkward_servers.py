"""HTTP servers that do not answer as they should: no event is lost silently, no secret goes astray."""

import contextlib
import gzip
import socket
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pvefw.api import ProviderError, RenewalFailedEvent, Unavailable
from pvefw.core import notices
from pvefw_observer_generic import http
from pvefw_observer_generic.webhook import Webhook

DAY = datetime(2026, 11, 24, 8, tzinfo=UTC)
NOTICE = notices.of(
    "on_renewal_failed",
    RenewalFailedEvent("pve1", ["a.example"], Path("/c.pem"), DAY, 9.5, 3, "no"),
)


class Server:
    """Answers each path with bytes; ``requests`` are as they arrive."""

    def __init__(self):
        self.answers, self.requests = {}, []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def answers_with(self, path, status, *headers, body=b""):
        lines = [f"HTTP/1.1 {status} Words", "Connection: close", *headers]
        self.answers[path] = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def _serve(self):
        while True:
            connection, _ = self._socket.accept()
            with connection, contextlib.suppress(OSError):
                request = self._request(connection)
                if not request:
                    return
                self.requests.append(request)
                answer = self.answers.get(request.split(b" ")[1].decode(), b"")
                for piece in [answer] if isinstance(answer, bytes) else answer:
                    connection.sendall(piece)

    def _request(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(1 << 16)
            if not piece:
                return b""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            ),
            0,
        )
        while len(body) < length:
            body += connection.recv(1 << 16)
        return head + b"\r\n\r\n" + body

    def close(self):
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._socket.close()


@pytest.fixture
def server():
    running = Server()
    yield running
    running.close()


@pytest.mark.parametrize("status", [301, 302])
def test_a_redirection_that_would_lose_the_event_is_a_failure(server, status):
    server.answers_with("/", status, "Location: /new")
    server.answers_with("/new", 200)
    with pytest.raises(ProviderError, match=f"status {status} .*redirects to 127.0.0.1") as caught:
        Webhook(f"{server.url}/").on_notice(NOTICE)
    assert "Set `url`" in caught.value.hint
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [307, 308])
def test_the_same_request_goes_on_on_the_same_host_only(server, status):
    server.answers_with("/", status, "Location: /new")
    server.answers_with("/new", 200)
    Webhook(f"{server.url}/").on_notice(NOTICE)
    assert (
        server.requests[0].partition(b"\r\n\r\n")[2] == server.requests[1].partition(b"\r\n\r\n")[2]
    )
    other = f"http://localhost:{server.port}/new?token=in-vain"
    server.answers_with("/", status, f"Location: {other}")
    with pytest.raises(ProviderError, match=f"redirects to localhost:{server.port}") as caught:
        Webhook(f"{server.url}/", headers=["X-Token: t0p"]).on_notice(NOTICE)
    assert "in-vain" not in caught.value.message
    assert len(server.requests) == 3


def test_who_redirects_for_ever(server):
    server.answers_with("/", 307, "Location: /")
    with pytest.raises(ProviderError, match="redirects too often"):
        Webhook(f"{server.url}/").on_notice(NOTICE)


def test_see_other_is_an_acceptance_and_get_may_be_asked_again(server):
    server.answers_with("/", 303, "Location: /result")
    server.answers_with("/result", 200)
    Webhook(f"{server.url}/").on_notice(NOTICE)
    Webhook(f"{server.url}/", method="GET").on_notice(NOTICE)
    assert [request.split(b" ")[1] for request in server.requests] == [b"/", b"/", b"/result"]


@pytest.mark.parametrize("status", [300, 304])
def test_other_answers_are_no_acceptance(server, status):
    server.answers_with("/", status)
    with pytest.raises(ProviderError, match=f"status {status}"):
        Webhook(f"{server.url}/").on_notice(NOTICE)


def endless():
    yield b"HTTP/1.1 500 Broken\r\n\r\n"
    while True:
        yield b"x" * (1 << 20)


def test_an_answer_without_end_is_not_waited_for(server):
    server.answers["/"] = endless()
    with pytest.raises(Unavailable, match=r"status 500 Broken: x{200}$"):
        Webhook(f"{server.url}/").on_notice(NOTICE)


@pytest.mark.parametrize(
    ("headers", "body", "words"),
    [
        (["Content-Encoding: gzip"], gzip.compress(b"y" * (1 << 28)), "y{200}$"),
        (["Content-Encoding: gzip"], b"no gzip", "status 400 Words$"),
        (["Content-Length: 100"], b"cut off", "status 400 Words: cut off$"),
        (["Content-Type: text/plain"], b"\x1b]0;pwn\x07 hello", "hello$"),
    ],
)
def test_odd_bodies(server, headers, body, words):
    server.answers_with("/", 400, *headers, body=body)
    with pytest.raises(ProviderError, match=words):
        Webhook(f"{server.url}/").on_notice(NOTICE)


def test_what_is_no_http(server):
    server.answers["/"] = b"SSH-2.0-nonsense\r\n"
    with pytest.raises(Unavailable, match="it does not speak HTTP"):
        Webhook(f"{server.url}/").on_notice(NOTICE)


def test_a_header_may_have_any_letter(server):
    server.answers_with("/", 200)
    Webhook(f"{server.url}/", headers=["Title: $subject … für 日本 …"]).on_notice(NOTICE)
    assert "left … für 日本 …\r\n".encode() in server.requests[0]


@pytest.mark.parametrize("header", ["Ti tle: x", "Ti\ttle: x", "é: x", ": x"])
def test_a_name_that_no_header_has_is_refused(header):
    with pytest.raises(ValueError, match="is not NAME: VALUE"):
        Webhook("https://a.example", headers=[header])


def test_what_is_set_wins_over_netrc(server, tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login root password of-somebody\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    server.answers_with("/", 200)
    Webhook(f"{server.url}/", headers=["Authorization: Bearer t0p"]).on_notice(NOTICE)
    Webhook(f"{server.url}/").on_notice(NOTICE)
    Webhook(f"{server.url}/".replace("//", "//me:mine@", 1)).on_notice(NOTICE)
    assert b"Authorization: Bearer t0p" in server.requests[0]
    assert b"Authorization" not in server.requests[1]
    assert b"Authorization: Basic bWU6bWluZQ==" in server.requests[2]


def test_certificates_to_trust_that_are_none(tmp_path):
    (tmp_path / "empty.pem").write_text("nothing")
    for name, why in (("empty.pem", "holds no certificates"), ("gone.pem", "No such file")):
        with pytest.raises(ProviderError, match=f"{name}: .*{why}"):
            http.send("POST", "https://127.0.0.1:9/", b"", {}, tmp_path / name)
