"""Reads of another node are handed on to it: two services, each with a certificate of its own."""

import contextlib
import json
import os
import socket
import ssl
import threading

import certificates
import pytest

from pvefw_api_server import users

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
AUDITOR, OPERATOR = "monitor@pve", "operator@pve"
ELSEWHERE = "127.0.0.4"
SECRETS = ("priv/pvefw-api.json", "priv/pvefw-api.key")
TASKS = "/nodes/pve2/tasks"


@pytest.fixture
def asked(cluster):
    members(cluster[0], cluster[1].address)
    yield cluster[0]
    cluster[1].share(cluster[0], "nodes/pve2/pveproxy-ssl.pem")


@pytest.fixture
def answers(cluster):
    return cluster[1]


def token(cluster, user):
    """A token that both nodes know."""
    id_ = f"t{os.urandom(4).hex()}"
    with users.changing(cluster[0].paths) as found:
        found[user], secret = users.new_token(found[user], id_, None, 0)
    cluster[0].share(cluster[1], *SECRETS)
    return f"{user}!{id_}={secret}"


def members(service, address):
    nodes = {"pve2": {"id": 2, "online": 1, "ip": address}}
    service.paths.members.write_text(json.dumps({"nodelist": nodes}))


def refused(answer, status=502):
    assert answer.status_code == status, answer.text
    assert answer.json()["data"] is None
    return answer.json()["errors"]["message"]


def test_a_read_is_answered_by_the_node_that_it_names(cluster, asked, answers):
    """With its path and parameters, for a ticket as for a token; what it says about itself is its own."""
    upid = answers.call("POST", "/nodes/pve2/startall", as_="root@pam").json()["data"]
    wanted = {"source": "all", "typefilter": "startall"}
    [row] = asked.call("GET", TASKS, as_="root@pam", params=wanted).json()["data"]
    assert row["upid"] == upid
    node = asked.client().nodes("pve2")
    assert node.tasks(upid).status.get()["node"] == "pve2"
    assert asked.client().nodes("pve1").tasks.get(**wanted) == []
    seen = asked.call("GET", TASKS, as_=token(cluster, AUDITOR), params=wanted)
    assert seen.json()["data"] == [row]
    assert (
        asked.call("GET", TASKS, as_=token(cluster, OPERATOR), params=wanted).json()["data"] == []
    )


def test_refusals_are_the_other_nodes(cluster, asked):
    """Its permissions, its schema, its words."""
    wrong = asked.call("GET", "/nodes/pve2/config", as_="root@pam", params={"surprise": 1})
    assert wrong.status_code == 400
    assert "surprise" in wrong.json()["errors"]
    gone = "UPID:pve2:00000001:00000001:00000001:x:1:root@pam:"
    absent = asked.call("GET", f"{TASKS}/{gone}/status", as_="root@pam")
    assert "not known" in refused(absent, 500)
    denied = asked.call("GET", "/nodes/pve2/status", as_=token(cluster, OPERATOR))
    assert "/nodes/pve2, Sys.Audit" in refused(denied, 403)


@contextlib.contextmanager
def recorder(asked, folder):
    """Somebody else at the node's address, with a certificate of his own: whatever he is sent."""
    pem, key = certificates.self_signed()
    context, sent = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
    (folder / "pair").write_bytes(pem + key)
    context.load_cert_chain(folder / "pair")

    def serve():
        with contextlib.suppress(OSError):  # nobody came, or he left
            connection, _ = listening.accept()
            sent.append(b"connected")
            with context.wrap_socket(connection, server_side=True) as tls:
                sent.append(tls.recv(65536))

    with socket.create_server((ELSEWHERE, asked.port)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        members(asked, ELSEWHERE)
        yield sent
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_caller_who_is_not_known_is_handed_on_to_nobody(asked, tmp_path):
    with recorder(asked, tmp_path) as sent:
        assert asked.call("GET", TASKS).status_code == 401
        assert asked.call("GET", TASKS, headers={"Cookie": "PVEAuthCookie=x"}).status_code == 401
    assert sent == []


def test_changes_are_refused(asked, answers):
    before = answers.paths.node_config().read_bytes()
    change = {"description": "from pve1"}
    answer = asked.call("PUT", "/nodes/pve2/config", as_="root@pam", data=change)
    assert "this is node pve1" in refused(answer, 500)
    assert answers.paths.node_config().read_bytes() == before


@pytest.mark.parametrize("node", ["127.0.0.3", "pve3", "a.example", "%2e%2e", "pve2%2f..%2fpve2"])
def test_what_is_no_node_of_the_cluster_is_not_asked(asked, node):
    answer = asked.call("GET", f"/nodes/{node}/tasks", as_="root@pam")
    assert answer.status_code in (400, 500, 501), answer.text
    assert answer.json()["errors"]


def test_a_ticket_is_shown_to_nobody_who_has_not_the_nodes_certificate(cluster, asked, tmp_path):
    """The address may be wrong, or taken: the certificate that the cluster has of the node decides."""
    known = asked.paths.node_dir("pve2") / "pveproxy-ssl.pem"
    with recorder(asked, tmp_path) as sent:
        answer = asked.call("GET", TASKS, as_="root@pam")
    assert "does not show the certificate" in refused(answer)
    assert sent in ([b"connected"], [b"connected", b""])
    members(asked, cluster[1].address)
    for other in (b"", b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
                  asked.paths.proxy_certificate.read_bytes()):  # fmt: skip
        known.write_bytes(other)
        answer = asked.call("GET", TASKS, as_="root@pam")
        assert "does not show the certificate" in refused(answer)


def test_a_call_is_handed_on_once(asked):
    """Where addresses lead in a circle, somebody says so."""
    once = {"PVEDisableProxy": "true"}
    answer = asked.call("GET", TASKS, as_="root@pam", headers=once)
    assert "leads to node pve1" in refused(answer)


def test_a_node_that_cannot_answer_is_named(asked, answers):
    members(asked, ELSEWHERE)
    assert "node pve2" in refused(asked.call("GET", TASKS, as_="root@pam"))
    members(asked, answers.address)
    key = answers.paths.api_key.read_bytes()
    answers.paths.api_key.write_bytes(b"another one")
    try:
        said = refused(asked.call("GET", TASKS, as_="root@pam"))
    finally:
        answers.paths.api_key.write_bytes(key)
    assert "they do not share /etc/pve" in said
