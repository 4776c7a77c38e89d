"""What goes wrong between the front, the helper and their host, without either of them running."""

import asyncio
import json
import os
import socket
import threading
from types import SimpleNamespace

import full_node
import pytest
from starlette.requests import Request

from pvefw.cli.run import run
from pvefw.core.errors import ProgramError, StoreError, UsageError
from pvefw.store import units as systemd
from pvefw_api import call, table
from pvefw_api.calls import Job
from pvefw_api.errors import ApiError
from pvefw_api_server import (
    answering,
    elsewhere,
    front,
    helper,
    login,
    permissions,
    serving,
    swap,
    tickets,
    users,
    wire,
)

ANN = "ann@pam"


@pytest.fixture
def accounts(paths):
    full_node.fill(paths)
    with users.changing(paths) as found:
        found[ANN] = users.User(ANN, users.grants(["/=Sys.Audit,Sys.Modify"]))
    return paths


@pytest.fixture
def pvefw(paths, capsys):
    def said(*words, status=0):
        assert run(["--root", str(paths.root), "--node", "pve1", "api", *words]) == status
        out = capsys.readouterr()
        return out.out + out.err

    return said


# --- accounts -------------------------------------------------------------------------------------


def test_a_token_that_is_not_there_or_cannot_be(accounts, pvefw):
    said = pvefw("token", "remove", ANN, "ci", status=1)
    assert f"{ANN} has no token ci" in said
    assert "pvefw api user list" in said
    assert "'c i' is not the name of a token" in pvefw("token", "add", ANN, "c i", status=2)


def test_a_ticket_outlives_no_user(accounts):
    """The page asks for a new one with the old one."""
    now = login.SystemClock().now().timestamp()
    ticket, _ = tickets.issue(tickets.key(accounts), ANN, now)
    given = {"username": ANN, "password": ticket}
    assert login.login(accounts, given, "192.0.2.1")["username"] == ANN
    with users.changing(accounts) as found:
        del found[ANN]
    with pytest.raises(ApiError) as refused:
        login.login(accounts, given, "192.0.2.1")
    assert (refused.value.status, refused.value.message) == (401, "authentication failure")


def test_who_has_no_address_is_counted_as_one(accounts, monkeypatch):
    monkeypatch.setattr(login, "_pam", lambda *_arguments: False)
    statuses = set()
    for number in range(login._MOST["address"] + 1):
        with pytest.raises(ApiError) as refused:
            login.login(accounts, {"username": f"u{number}", "password": "x"}, "a socket")
        statuses.add(refused.value.status)
    assert statuses == {401, 429}


@pytest.mark.parametrize(
    ("method", "path", "given", "said"),
    [
        ("GET", "/nodes/pve1/tasks/UPID:x/status", {}, "UPID"),
        ("POST", "/cluster/acme/plugins",
         {"id": "a2", "type": "dns", "api": "ovh", "data": "%"}, "base64"),
        ("POST", "/cluster/acme/plugins", {"id": "a2", "type": "dns", "api": "nosuch"}, "nosuch"),
    ],
)  # fmt: skip
def test_what_nobody_could_call_is_refused_for_its_own_reason(accounts, method, path, given, said):
    """Not with what it would need, which leads nowhere."""
    who = users.by_password(users.load(accounts), ANN)
    endpoint, named = table.find(method, path)
    permissions.check(who, endpoint, {**given, **named}, accounts)
    with pytest.raises(ApiError) as refused:
        call.call(accounts, method, path, given)
    assert said in f"{refused.value.message} {refused.value.errors}"


# --- the helper -----------------------------------------------------------------------------------


def test_where_the_fronts_user_is_missing_only_root_is_let_in():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        made = SimpleNamespace(front="no-such-user")
        let_in = helper.Helper.verify_request(made, ours, None)
    assert helper._uid("no-such-user") is None
    assert let_in is (os.geteuid() == 0)


def test_a_fault_is_said_in_the_journal_and_not_to_the_caller(capsys):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        try:
            raise KeyError("s3cret")
        except KeyError:
            helper.Helper.handle_error(None, ours, None)
        status, body = wire.answered(theirs.recv(1 << 16))
    assert "a call failed: KeyError: 's3cret'" in capsys.readouterr().err
    assert status == 500
    assert b"see the journal of pvefw-api-helper" in body
    assert b"s3cret" not in body


def test_a_helper_that_cannot_have_its_socket_says_where(paths, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=f"{tmp_path}/file/socket"):
        helper.run(tmp_path / "file/socket", paths, "nobody", 8006)


def test_a_call_is_bounded_and_an_answer_is_whole():
    ours, theirs = socket.socketpair()

    def call_():
        with theirs:
            theirs.sendall(b"x" * (wire.LARGEST + 2))

    thread = threading.Thread(target=call_)
    thread.start()
    with ours, pytest.raises(ValueError, match="the call is too long"):
        ours.settimeout(60)
        wire.receive(ours)
    thread.join()
    with pytest.raises(ValueError, match="the answer has no body"):
        wire.answered(b"200\n")


def test_a_task_that_cannot_be_entered_is_a_refusal(accounts):
    (accounts.task_dir / "active").mkdir()
    who, answers = users.by_password(users.load(accounts), ANN), []
    answering._work(accounts, Job("startall", lambda _task: None), who, answers.append)
    [error] = answers
    assert isinstance(error, ApiError)
    assert "active" in error.message


def test_lists_are_kept_up_to_a_number(accounts, monkeypatch):
    monkeypatch.setattr(answering, "_MOST_LISTS", 2)
    monkeypatch.setattr(answering, "_KEPT", {})
    ticket, _ = tickets.issue(
        tickets.key(accounts), "root@pam", login.SystemClock().now().timestamp()
    )
    for limit in range(1, 6):
        request = {"method": "GET", "path": "/nodes/pve1/tasks", "ticket": ticket}
        found = []
        answering.answer(accounts, {**request, "parameters": {"limit": str(limit)}}, found.append)
        assert [row["upid"] for row in found[0]] == [full_node.UPID]
        assert len(answering._KEPT) <= 2


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"data": 1, "errors": [1]}', b'"text"', b"\xff"]
)
def test_what_another_node_answers_is_looked_at(body):
    with pytest.raises(ApiError) as failed:
        elsewhere._data("pve2", 200, body)
    assert failed.value.status == 502
    assert failed.value.message == (
        "node pve2 cannot be asked: its answer of status 200 is none of this API"
    )


# --- the front ------------------------------------------------------------------------------------


def request(body=b"", kind="application/json", path="/nodes", method="POST"):
    """One as it comes from a client."""
    pieces = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        return pieces.pop(0)

    scope = {
        "type": "http", "method": method, "query_string": b"a=1", "client": None,
        "raw_path": f"{front.API}{path}".encode(), "path": path,
        "headers": [(b"content-type", kind.encode())],
    }  # fmt: skip
    return Request(scope, receive)


def test_a_body_of_json_is_taken_as_a_form_would_be():
    given = {"force": True, "timeout": 5, "vms": ["100", 101], "delete": []}
    assert asyncio.run(front._parameters(request(json.dumps(given).encode()))) == {
        "a": ["1"],
        "force": ["1"],
        "timeout": ["5"],
        "vms": ["100", "101"],
        "delete": [],
    }
    assert asyncio.run(front._parameters(request(b'{"a": "2"}'))) == {"a": ["2", "1"]}
    with pytest.raises(ValueError, match="a member of the body is given twice"):
        asyncio.run(front._parameters(request(b'{"b": "2", "b": "3"}')))


@pytest.mark.parametrize("error", [OSError("gone"), ValueError("the answer has no body")])
def test_where_the_helper_is_gone_it_says_what_to_look_at(error):
    async def answer(_message):
        raise error

    response = asyncio.run(front._api(SimpleNamespace(answer=answer), request()))
    assert response.status_code == 503
    assert b"systemctl status pvefw-api-helper" in response.body


def test_a_port_that_is_taken_and_a_page_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(serving.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(serving, "Swap", lambda *_arguments: None)
    monkeypatch.setattr(serving, "application", lambda *_arguments: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ProgramError, match=f"api serve: 127.0.0.1:{port} is in use by .*"
        ) as failed:
            serving.serve(None, ["127.0.0.1"], port, tmp_path)
    assert failed.value.message.endswith("; stop it, or use another one: --port")
    monkeypatch.setattr(serving, "_places", lambda: [tmp_path])
    with pytest.raises(UsageError, match="the page is not installed") as missing:
        serving.serve(None, ["127.0.0.1"], port, None)
    assert missing.value.hint == "Say where it is: --page DIR"
    (tmp_path / "index.html").touch()
    assert serving._page() == tmp_path


def test_a_helper_that_leaves_at_once_is_named(tmp_path):
    place = tmp_path / "helper"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen()

        def leave():
            connection, _ = listening.accept()
            with connection:
                connection.recv(100)

        thread = threading.Thread(target=leave)
        thread.start()
        with pytest.raises(ProgramError, match=f"does not answer on {place}: it has closed"):
            swap.Swap(place)
        thread.join()


def test_a_helper_that_is_started_again_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(swap, "_AGAIN", 0.001)
    made = object.__new__(swap.Swap)
    made._helper, (made._connection, old) = tmp_path / "helper", socket.socketpair()
    tries = []

    def connect():
        tries.append(1)
        if len(tries) < 3:
            raise ProgramError("not yet")
        return new

    new, theirs = socket.socketpair()
    monkeypatch.setattr(made, "_connect", connect)
    with old, new, theirs:
        asyncio.run(made._reconnect())
        assert made._connection is new
    assert len(tries) == 3


# --- the host -------------------------------------------------------------------------------------


def test_with_systemd_the_user_is_made_and_the_service_is_started(pvefw, paths, monkeypatch):
    ran = []
    monkeypatch.setattr(systemd, "runs_systemd", lambda _paths: True)
    done = SimpleNamespace(stderr="", returncode=0)
    monkeypatch.setattr(
        "pvefw.host.programs.run", lambda words, **_options: ran.append(words) or done
    )
    monkeypatch.setattr("pvefw_api_server.units.shutil.which", lambda name: f"/usr/bin/{name}")
    said = pvefw("install-service")
    assert "It is running: https://pve1:" in said
    assert ran[0] == ["systemd-sysusers", str(paths.below("etc/sysusers.d/pvefw-api.conf"))]
    assert any("pvefw-api.service" in words for words in ran[1:])
