"""Answers of servers that one cannot trust, trust anchors, and proxies."""

import contextlib
import datetime as dt
import email.utils
import json
import select
import socket
import threading

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from ordering import Patient

from pvefw.acme import transport as module
from pvefw.acme.answers import Response, problem_of
from pvefw.acme.client import Client
from pvefw.acme.transport import Transport
from pvefw.core.errors import AcmeError, AcmeProtocolError, ConfigError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
MEMBERS = ("type", "title", "detail", "status", "subproblems", "identifier", "value")
DOCUMENTS = st.dictionaries(st.sampled_from(MEMBERS), JSON)


def headers(**values: str) -> requests.structures.CaseInsensitiveDict[str]:
    return requests.structures.CaseInsensitiveDict(
        {key.replace("_", "-"): value for key, value in values.items()}
    )


def answer(body: bytes = b"", **said: str) -> Response:
    return Response(200, headers(**said), body, "https://ca.example/acme/order/1")


# --- problem documents (RFC 7807) ------------------------------------------------------------------


@given(DOCUMENTS, st.lists(DOCUMENTS, max_size=3))
def test_whatever_a_problem_document_holds_is_one_line_of_text(document, subproblems):
    for variant in (document, {**document, "subproblems": subproblems}):
        problem = problem_of(variant, "a.example", status=400)
        assert problem.message.startswith("a.example: ")
        assert problem.message.isprintable()
        assert all(name.isprintable() for name in problem.subproblems)


def test_a_terminal_is_not_given_control_characters():
    problem = problem_of({"detail": "fine\nTASK OK\r\x1b[2J\x9b0m\u202e"}, "a.example")
    assert problem.message == "a.example: fine TASK OK \ufffd[2J\ufffd0m\ufffd"


def test_long_words_are_cut():
    assert len(problem_of({"detail": "x" * 100_000}, "a.example").message) < 2000


def test_each_identifier_keeps_all_that_is_said_of_it():
    said = {
        "type": "urn:ietf:params:acme:error:compound",
        "detail": "no",
        "subproblems": [
            {"detail": "first", "identifier": {"type": "dns", "value": "a.example"}},
            {"detail": "second", "identifier": {"type": "dns", "value": "a.example"}},
            {"type": "urn:ietf:params:acme:error:caa", "identifier": {"value": "b.example"}},
            {"detail": "of none"},
        ],
    }
    problem = problem_of(said, "order")
    assert problem.subproblems == {
        "a.example": "first; second",
        "b.example": "caa",
        "": "of none",
    }
    assert problem.type == "compound"
    assert "CAA record" in problem.hint
    assert problem.message == (
        "order: no; a.example: first; second; b.example: caa; of none [compound]"
    )


# --- headers ---------------------------------------------------------------------------------------


@given(st.text(max_size=30) | st.integers().map(str) | st.datetimes().map(str))
def test_retry_after_is_seconds_or_nothing(text):
    found = answer(Retry_After=text).retry_after
    assert found is None or found >= 0


def test_retry_after_as_a_date():
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=100)
    for when, least, most in ((later, 98, 100), (later - dt.timedelta(days=1), 0, 0)):
        text = email.utils.format_datetime(when, usegmt=True)
        assert least <= answer(Retry_After=text).retry_after <= most


def test_references_are_resolved():
    """RFC 9110 section 10.2.2 allows relative ones."""
    assert answer(Location="/acme/order/2").location() == "https://ca.example/acme/order/2"
    links = '<https://ca.example/dir>;rel="index", </c/1>;rel="alternate", <2>;rel="alternate"'
    assert answer(Link=links).alternates() == [
        "https://ca.example/c/1",
        "https://ca.example/acme/order/2",
    ]


# --- bodies ----------------------------------------------------------------------------------------


@given(st.binary(max_size=50) | JSON.map(lambda value: json.dumps(value).encode()))
def test_a_body_is_an_object_or_an_error(body):
    with contextlib.suppress(AcmeProtocolError):
        assert isinstance(answer(body, Content_Type="application/json").json(), dict)


def test_a_body_that_is_too_deep():
    with pytest.raises(AcmeProtocolError, match="not JSON"):
        answer(b"[" * 200_000, Content_Type="application/json").json()


# --- trust -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"hello", "contains none"), (b"", "contains none")],
)
def test_a_file_of_trust_anchors_that_is_none(tmp_path, content, said):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"ca\.pem: no certificates to trust: .*{said}"):
        Transport(ca_file=str(file), task=Patient())


def directory(pebble, **options):
    transport = Transport(task=Patient(), deadline=10, **options)
    try:
        return Client(transport, pebble.directory).directory
    finally:
        transport.close()


def test_the_hosts_trust_anchors_are_used(pebble, monkeypatch):
    """Where an administrator adds a certificate of the house, it counts here, too."""
    with pytest.raises(AcmeError, match="is not trusted") as caught:
        directory(pebble)
    assert "--ca-file" in caught.value.hint
    monkeypatch.setenv("SSL_CERT_FILE", str(pebble.ca_file))
    assert directory(pebble).urls["newOrder"]


def test_requests_own_variable_does_not_win_over_ca_file(pebble, monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")
    assert directory(pebble, ca_file=str(pebble.ca_file)).urls["newOrder"]


# --- proxies ---------------------------------------------------------------------------------------


@pytest.fixture
def tunnel():
    """An HTTP proxy that knows CONNECT; gives its URL and what was asked of it."""
    asked: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)

    def serve():
        near, _ = listener.accept()
        with near:
            head = b""
            while b"\r\n\r\n" not in head:
                head += near.recv(4096)
            asked.append(head.split(b"\r\n")[0].decode())
            host, _, port = head.split()[1].decode().rpartition(":")
            with socket.create_connection((host, int(port))) as far:
                near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                ends = {near: far, far: near}
                while True:
                    for ready in select.select(list(ends), [], [], 10)[0]:
                        data = ready.recv(65536)
                        if not data:
                            return
                        ends[ready].sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
    thread.join(10)
    listener.close()


def test_the_environments_proxy_is_used(pebble, tunnel, monkeypatch):
    url, asked = tunnel
    for name in ("no_proxy", "NO_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", url)
    assert directory(pebble, ca_file=str(pebble.ca_file)).urls["newOrder"]
    [request] = asked
    assert request.split()[:2] == ["CONNECT", pebble.directory.split("/")[2]]


def test_no_proxy_is_respected(pebble, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert directory(pebble, ca_file=str(pebble.ca_file)).urls["newOrder"]


# --- nonces ----------------------------------------------------------------------------------------


def test_the_newest_nonce_is_used_first(pebble):
    """After a long wait the old ones have expired; each would cost a request."""
    transport = Transport(ca_file=str(pebble.ca_file), task=Patient())
    transport._nonces.extend(["old", "older"])
    transport._nonces.append("new")
    assert transport._nonce() == "new"
    for number in range(100):
        transport._nonces.append(str(number))
    assert len(transport._nonces) == 2 * module.CONNECTIONS
    assert transport._nonce() == "99"
    transport.close()
