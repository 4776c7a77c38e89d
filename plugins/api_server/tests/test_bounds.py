"""What one client can take of the service: connections, time, processes."""

import asyncio
import contextlib
import json
import os
import socket
from types import SimpleNamespace

import pytest
import requests
import uvicorn
from resources import uses
from waiting import wait_until

from pvefw_api_server import bounds, helper, network, wire

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")


async def answering(scope, _receive, send):
    """An application, one of whose answers is long."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    size = 32 << 20 if scope["path"] == "/long" else 1
    await send({"type": "http.response.body", "body": b"x" * size})


@contextlib.asynccontextmanager
async def serving():
    """A front without TLS and without a helper: its port, and when it has given up on a client."""
    given_up = asyncio.Event()

    class Watched(bounds.Protocol):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            given_up.set()

    config = uvicorn.Config(answering, http=Watched, log_config=None, lifespan="off")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server, port = uvicorn.Server(config), listener.getsockname()[1]
        running = asyncio.create_task(server.serve(bounds.shared([listener])))
        yield port, given_up
        server.should_exit = True
        await running


def left(sent, first=0):
    """What a client gets until the connection ends, after it has sent something."""

    async def talk():
        async with serving() as (port, given_up):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
            writer.write(sent)
            got = await reader.read(first)
            if first:  # and then it does not read on
                await given_up.wait()
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(1 << 20):
                    got += piece
            writer.close()
            return got

    with asyncio.Runner(loop_factory=bounds.Loop) as runner:
        return runner.run(talk())


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HTTP/1.1\r\nHost: x\r\n",
     b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nx"],
)  # fmt: skip
@uses("server")
def test_a_request_has_to_come_in_time(monkeypatch, sent):
    monkeypatch.setattr(bounds, "_REQUEST", 0.2)
    left(sent)  # else it does not end


@uses("server")
def test_an_answer_has_to_be_read(monkeypatch):
    monkeypatch.setattr(bounds, "_READ", 0.2)
    got = left(b"GET /long HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", first=1)
    assert 0 < len(got) < 32 << 20


def test_a_client_may_be_slow_as_long_as_it_reads(monkeypatch):
    """All of a long answer waits at once, so that it is written when the last of it has been read."""
    sizes, later, ended = [900, 500, 500], [], []
    protocol = object.__new__(bounds.Protocol)
    protocol.loop = SimpleNamespace(call_later=lambda _, *call: later.append(call))
    protocol.transport = SimpleNamespace(
        get_write_buffer_size=lambda: sizes.pop(0), abort=lambda: ended.append(True)
    )
    monkeypatch.setattr(bounds.H11Protocol, "pause_writing", lambda _: None)
    protocol.pause_writing()
    for expected in ([], [True]):
        look, before = later.pop()
        look(before)
        assert (ended, bool(later)) == (expected, not expected)


@uses("server")
def test_several_requests_take_their_time_one_after_the_other(monkeypatch):
    """Time runs for each request, not for the connection."""
    monkeypatch.setattr(bounds, "_REQUEST", 30.0)
    request = b"GET / HTTP/1.1\r\nHost: x\r\n"
    got = left((request + b"\r\n") * 3 + request + b"Connection: close\r\n\r\n")
    assert got.count(b"HTTP/1.1 200 OK") == 4


def test_one_network_leaves_connections_to_the_others(service):
    """They are counted before anything of TLS: whoever opens them need not say anything."""
    with contextlib.ExitStack() as stack:

        def connect(source):
            made = socket.create_connection(("127.0.0.1", service.port), 60, (source, 0))
            return stack.enter_context(made)

        taken = [connect("127.0.0.1") for _ in range(bounds.MOST_OF_ONE)]
        refused = connect("127.0.0.1")
        assert refused.recv(1) == b"", "one too many is closed"
        from_elsewhere = connect("127.0.0.9")
        from_elsewhere.settimeout(0.2)
        with pytest.raises(TimeoutError):
            from_elsewhere.recv(1)
        for connection in taken:
            connection.close()
    wait_until(lambda: answers(service), "the connections are free again", 60)


def answers(service):
    try:
        return service.call("GET", "/version", as_="root@pam").status_code == 200
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize(
    ("address", "found"),
    [("192.0.2.1", "192.0.2.1/32"), ("2001:db8:0:1:2::3", "2001:db8:0:1::/64"),
     ("fe80::1%eth0", "fe80::/64"), ("", "unknown"), ("root@pam", "unknown")],
)  # fmt: skip
def test_an_address_is_of_a_network(address, found):
    assert network.of(address) == found


class NeedsAProcessError(Exception):
    """The helper would fork."""


def test_one_network_leaves_processes_to_the_others(paths, tmp_path, monkeypatch):
    """A helper that has as many as it may answers that, and goes on; it does not wait for one to end."""

    def fork():
        raise NeedsAProcessError

    def asked(client):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            said = {"verb": wire.CALL, "method": "PUT", "path": "/", "client": client}
            ours.sendall(wire.encode(said))
            made.process_request(theirs, "")
            return wire.answered(ours.makefile("rb").read())

    monkeypatch.setattr(helper, "_MOST_OF_ONE", 2)
    monkeypatch.setattr(helper, "_MOST", 3)
    monkeypatch.setattr(os, "fork", fork)
    with helper.Helper(tmp_path / "helper", paths, "nobody", 8006) as made:
        made.active_children = {11, 12}
        made._callers = dict.fromkeys((11, 12), "192.0.2.1/32")
        made.collect_children()
        made.active_children = {11, 12}
        status, body = asked("192.0.2.1")
        assert (status, json.loads(body)["message"].startswith("too many calls")) == (503, True)
        with pytest.raises(NeedsAProcessError):
            asked("192.0.2.2")
        made.active_children = {11, 12, 13}
        assert asked("192.0.2.2")[0] == 503, "all together"
        made.active_children = {12}
        with pytest.raises(NeedsAProcessError):
            asked("192.0.2.1")
