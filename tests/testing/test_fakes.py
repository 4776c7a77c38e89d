"""The fakes are strict: what is wrong with a plugin shows in them, and their orders are real ones."""

import socket

import dns.message
import dns.query
import dns.rcode
import pytest
import requests
from cryptography import x509

from pvefw.testing.acme_server import acme_server
from pvefw.testing.dns_zone import dns_zone
from pvefw.testing.http_api import http_api
from pvefw.testing.hypervisor import hypervisor
from pvefw.testing.node import Node

NAME = "_acme-challenge.www.example.test."


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# --- the zone -------------------------------------------------------------------------------------


def ask(zone, name, kind, over=dns.query.udp):
    return over(dns.message.make_query(name, kind), zone.address, timeout=5, port=zone.port)


def test_a_zone_takes_and_shows_values_side_by_side():
    with dns_zone("Example.test.") as zone:
        zone.add(NAME, "Value-1")
        zone.add(NAME.upper(), "Value-2")
        for over in (dns.query.udp, dns.query.tcp):
            [rrset] = ask(zone, NAME, "TXT", over).answer
            assert sorted(rdata.to_text() for rdata in rrset) == ['"Value-1"', '"Value-2"']
        zone.remove(NAME, "Value-1")
        zone.remove(NAME, "never there")
        assert zone.records == [(NAME, "Value-2")]
        zone.remove(NAME, "Value-2")
        reply = ask(zone, NAME, "TXT")
        assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])
        assert reply.authority[0].name.to_text() == "example.test."


def test_a_zone_knows_its_apex_and_nothing_else():
    with dns_zone() as zone:
        assert ask(zone, zone.name, "SOA").answer
        assert ask(zone, zone.name, "NS").answer[0][0].to_text() == "ns1.example.test."
        assert not ask(zone, "www.example.test.", "SOA").answer
        assert ask(zone, "other.test.", "A").rcode() == dns.rcode.NXDOMAIN
        for wrong in ("www.other.test.", "www.example.test", "notexample.test."):
            with pytest.raises(ValueError, match="is not an absolute name in the zone"):
                zone.add(wrong, "value")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"nonsense", (zone.address, zone.port))
        assert ask(zone, zone.name, "SOA").answer


# --- the API --------------------------------------------------------------------------------------


def test_an_api_answers_what_its_function_says():
    seen = []

    def answer(request):
        seen.append((request.method, request.path, dict(request.query), request.headers["x-key"]))
        return 201, {"got": request.json}

    with http_api(answer) as base:
        url = f"{base}/v1/a?b=c"
        got = requests.put(url, json={"x": 1}, headers={"X-Key": "k"}, timeout=5)
        bad = requests.get(base, timeout=5, headers={"X-Key": "k"})
    assert (got.status_code, got.json()) == (201, {"got": {"x": 1}})
    assert seen[0] == ("PUT", "/v1/a", {"b": "c"}, "k")
    assert bad.status_code == 500
    assert "the fake failed: JSONDecodeError" in bad.json()["error"]


def test_a_hypervisor_starts_and_asks_its_guests():
    with hypervisor(stubborn=[103]) as host:
        host.add(101)
        assert requests.post(f"{host.url}/guests/99/start", timeout=5).status_code == 404
        for verb in ("start", "shutdown"):
            for vmid in (101, 103):
                assert requests.post(f"{host.url}/guests/{vmid}/{verb}", timeout=5).ok
            wanted = {"start": [101, 103], "shutdown": [103]}[verb]
            running = None
            while running != wanted:
                listed = requests.get(f"{host.url}/guests", timeout=5).json()
                running = [row["id"] for row in listed if row["running"]]
        assert requests.post(f"{host.url}/guests/103/stop", timeout=5).ok
        assert not host.runs(103)


# --- the authority --------------------------------------------------------------------------------


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def order(node, name, plugin="standalone"):
    node.run("config", "set", "--acmedomain0", f"{name},plugin={plugin}")
    return node.try_("acme", "cert", "order", "--force")


def test_a_certificate_by_http(node, tmp_path):
    port = free_port()
    with acme_server(tmp_path, http_port=port) as acme:
        node.register(acme)
        node.add("challenge", "web", api="standalone", port=port, listen="127.0.0.1")
        done = order(node, "www.example.test", "web")
        assert done.returncode == 0, done.stdout + done.stderr
        leaf = x509.load_pem_x509_certificates(node.certificate.read_bytes())[0]
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(acme.root))
        assert acme.issued == [leaf]
        node.run("acme", "cert", "revoke")
        assert acme.revoked == {leaf.serial_number}


def test_an_answer_that_is_not_there_is_not_valid(node, tmp_path):
    """The plugin listens elsewhere than the authority asks."""
    with acme_server(tmp_path, http_port=free_port()) as acme:
        node.register(acme)
        node.add("challenge", "web", api="standalone", port=free_port(), listen="127.0.0.1")
        done = order(node, "www.example.test", "web")
        assert done.returncode == 1
        assert "cannot be asked" in done.stdout + done.stderr
        assert not acme.issued


def test_a_request_that_nobody_signed_is_refused(tmp_path):
    with acme_server(tmp_path) as acme:
        directory = requests.get(acme.directory, verify=acme.ca_file, timeout=5).json()
        answer = requests.post(
            directory["newAccount"], data=b'{"protected": "x"}', verify=acme.ca_file, timeout=5
        )
        assert answer.status_code == 400
        assert answer.headers["Content-Type"] == "application/problem+json"
