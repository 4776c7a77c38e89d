"""The parts that the kits are made of: what they read on the way, and what their servers refuse."""

import base64
import json
import socket
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from pvefw.api import Challenge, Identifier
from pvefw.store.section_config import SectionConfig
from pvefw.testing import _bodies, _validation, _wire
from pvefw.testing.acme_server import AcmeServer, _Refused
from pvefw.testing.challenge import asked_in_dns, asked_over_http, make_challenge
from pvefw.testing.dns_zone import DnsZone, dns_zone
from pvefw.testing.http_api import Request, http_api
from pvefw.testing.hypervisor import Hypervisor
from pvefw.testing.node import Node

TOKEN = "t0ken-of-the-session"

# --- bodies and credentials -----------------------------------------------------------------------

XML = b'<zone id="7"><name>a.test</name><rr ttl="60">one</rr><rr>two<k>v</k></rr></zone>'


def request(body=b"", headers=(), query=()):
    return Request("POST", "/zones", dict(query), dict(headers), body)


def test_xml_is_read_as_json_would_be_and_written_again():
    data, write = _bodies.opened(XML)
    assert data == {
        "zone": [
            {"@id": "7", "name": ["a.test"], "rr": [{"@ttl": "60", "#text": "one"},
                                                    {"k": ["v"], "#text": "two"}]}
        ]
    }  # fmt: skip
    assert dict(_wire.scalars(data))["id"] == "7"
    other = _wire.changed(data, lambda key, value: "b.test" if key == "name" else value)
    written = write(other)
    assert b"<name>b.test</name>" in written
    assert _bodies.opened(written)[0] == other
    assert _wire.with_said(XML, lambda seen: seen) != XML, "in its form, if not in its words"
    assert _wire.data_of(_wire.with_said(XML, lambda _seen: other)) == other


def test_what_is_neither_json_nor_xml_is_left_alone():
    assert _bodies.opened(b"<zone") is None
    assert _bodies.opened_form(b"") is None
    assert _wire.with_said(b"plain words", lambda _seen: 1 / 0) == b"plain words"
    assert _wire.data_of(b"plain words") is None
    assert _wire.data_of({"a": 1}) == {"a": 1}
    assert _wire.with_said({"a": 1}, lambda seen: seen | {"b": 2}) == {"a": 1, "b": 2}
    form = request(b"name=a.test&value=x%20y")
    assert _wire.body_of(form) == {"name": "a.test", "value": "x y"}
    assert _wire.with_body(form, {"name": "b c"}).body == b"name=b+c"


BASIC = base64.b64encode(f"user:{TOKEN}".encode()).decode()


@pytest.mark.parametrize(
    "given",
    [
        {"headers": {"Authorization": f"Bearer {TOKEN}"}},
        {"headers": {"Authorization": f"Basic {BASIC}"}},
        {"headers": {"Authorization": f"x-token {TOKEN}"}},
        {"headers": {"X-Api-Key": TOKEN}},
        {"query": {"api_key": TOKEN}},
        {"body": f"<call><token>{TOKEN}</token></call>".encode()},
        {"body": f"password={TOKEN}".encode()},
        {"body": json.dumps({"auth": {"secret": TOKEN}}).encode()},
    ],
)
def test_credentials_are_known_wherever_they_are_and_taken_out(given):
    asked = request(**given)
    assert TOKEN in _wire.credentials(asked)
    without = _wire.without(asked, {TOKEN, BASIC})
    assert TOKEN not in _wire.credentials(without)
    assert TOKEN.encode() not in without.body


def test_what_a_reply_gives_may_come_back():
    headers = {"Set-Cookie": f"sid={TOKEN}; Path=/", "X-Session": "another-token"}
    assert {TOKEN, "another-token", "in-the-body"} <= _wire.granted({"a": "in-the-body"}, headers)
    assert _wire.granted({}, {"Set-Cookie": "\x00=; ,"}) == set()


# --- the authority --------------------------------------------------------------------------------


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Client:
    """Signs as RFC 8555 wants it, or otherwise."""

    def __init__(self, acme, key=None):
        self.acme, self.kid = acme, ""
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        numbers = self.key.public_key().public_numbers()
        if isinstance(numbers, rsa.RSAPublicNumbers):
            self.jwk = {"kty": "RSA", "e": b64(b"\1\0\1"), "n": b64(numbers.n.to_bytes(256))}
        else:
            x, y = (b64(part.to_bytes(32)) for part in (numbers.x, numbers.y))
            self.jwk = {"kty": "EC", "crv": "P-256", "x": x, "y": y}

    def sign(self, data):
        if self.jwk["kty"] == "RSA":
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        parts = decode_dss_signature(self.key.sign(data, ec.ECDSA(hashes.SHA256())))
        return b"".join(part.to_bytes(32) for part in parts)

    def post(self, path, payload=None, *, signature=None, **header):
        who = {"kid": self.kid} if self.kid else {"jwk": self.jwk}
        header = {"nonce": self.acme.nonce(), "url": f"https://ca.test{path}", **who, **header}
        protected = b64(json.dumps(header).encode())
        body = b64(json.dumps(payload).encode()) if payload is not None else ""
        made = b64(self.sign(f"{protected}.{body}".encode())) if signature is None else signature
        jws = {"protected": protected, "payload": body, "signature": made}
        return self.acme.post(path, json.dumps(jws).encode())

    def register(self):
        _, _, headers = self.post("/new-account", {})
        self.kid = headers["Location"]
        return self

    def order(self, *names):
        identifiers = [{"type": "dns", "value": name} for name in names]
        _, shown, headers = self.post("/new-order", {"identifiers": identifiers})
        return headers["Location"].rpartition("/")[2], shown

    def refused(self, *arguments, **more):
        with pytest.raises(_Refused) as refusal:
            self.post(*arguments, **more)
        kind = refusal.value.problem["type"].rpartition(":")[2]
        return refusal.value.status, kind, refusal.value.problem["detail"]


@pytest.fixture
def acme():
    return AcmeServer("https://ca.test/directory", Path("ca.pem"), 1, "")


def test_whoever_signs_wrongly_is_refused_as_an_authority_does(acme):
    client = Client(acme)
    unknown = client.refused("/new-account", {"onlyReturnExisting": True})
    assert unknown == (400, "accountDoesNotExist", "no account has this key")
    client.register()
    for problem, more in (
        ((400, "badNonce", "that nonce is not one of mine"), {"nonce": "x"}),
        ((401, "unauthorized", "the signed URL is another one"), {"url": "https://ca.test/other"}),
        ((400, "malformed", "the signature is wrong"), {"signature": b64(b"x" * 64)}),
    ):
        assert client.refused("/new-order", {"identifiers": []}, **more) == problem
    _, kind, _ = client.refused("/new-order", {}, kid="https://ca.test/account/x")
    assert kind == "accountDoesNotExist"
    assert client.refused("/nothing") == (404, "malformed", "there is no /nothing")
    assert client.refused("/order/x") == (404, "malformed", "there is no such order")


def test_an_account_is_found_again_and_has_a_key_of_either_kind(acme):
    key = rsa.generate_private_key(65537, 2048)
    client = Client(acme, key).register()
    assert Client(acme, key).post("/new-account", {"onlyReturnExisting": True})[0] == 200
    status, shown, _ = client.post(
        client.kid.removeprefix("https://ca.test"), {"status": "deactivated"}
    )
    assert (status, shown["status"]) == (200, "deactivated")
    assert client.refused("/order/x", signature=b64(b"x"))[2] == "the signature is wrong"


def csr(*names):
    key = ec.generate_private_key(ec.SECP256R1())
    san = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    made = made.add_extension(san, critical=False).sign(key, hashes.SHA256())
    return {"csr": b64(made.public_bytes(serialization.Encoding.DER))}


def test_a_certificate_is_for_what_was_shown_and_revoked_once(acme):
    client = Client(acme).register()
    key, shown = client.order("a.test")
    assert shown["status"] == "pending"
    early = client.refused(f"/finalize/{key}", csr("a.test"))
    assert early == (403, "orderNotReady", "not every name is validated")
    assert client.refused(f"/certificate/{key}")[2] == "there is no certificate yet"
    [authorization] = acme._orders[key].authorizations
    acme._authorizations[authorization].status = "valid"
    others = client.refused(f"/finalize/{key}", csr("b.test"))
    assert others == (400, "badCSR", "the request is not for the names of the order")
    client.post(f"/finalize/{key}", csr("a.test"))
    leaf = x509.load_pem_x509_certificates(client.post(f"/certificate/{key}")[1])[0]
    given = {"certificate": b64(leaf.public_bytes(serialization.Encoding.DER))}
    client.post("/revoke", given)
    assert client.refused("/revoke", given) == (400, "alreadyRevoked", "it is revoked already")
    theirs = x509.load_pem_x509_certificate(acme.root).public_bytes(serialization.Encoding.DER)
    assert client.refused("/revoke", {"certificate": b64(theirs)}) == (
        404,
        "malformed",
        "that certificate is not one of mine",
    )


# --- how it looks at answers ----------------------------------------------------------------------


def answering(status, said):
    return lambda _request: (status, said)


@pytest.mark.parametrize(
    ("status", "said", "fetched", "problem"),
    [
        (200, "right", True, ""),
        (200, "wrong", False, "says"),
        (404, "right", False, "answers 404"),
    ],
)
def test_an_answer_over_http(status, said, fetched, problem):
    challenge = make_challenge(1)
    body = (challenge.key_authorization if said == "right" else said).encode()
    with http_api(answering(status, body)) as base:
        port = int(base.rpartition(":")[2])
        found = asked_over_http(port)(challenge)
        why = _validation.over_http(challenge, port)
    assert (found == challenge.key_authorization) is fetched
    assert problem in why and bool(why) is bool(problem)


def test_nobody_answers_over_http():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # it does not listen
        port = bound.getsockname()[1]
        assert asked_over_http(port)(make_challenge(1)) is None
        assert "cannot be asked" in _validation.over_http(make_challenge(1), port)


def test_an_answer_in_dns(monkeypatch):
    with dns_zone("example.com.") as zone:
        challenge = make_challenge(1, "dns-01")
        fetch, name = asked_in_dns(zone.txt), f"_acme-challenge.{challenge.identifier.value}."
        assert fetch(challenge) is None
        assert "no TXT record" in _validation.in_dns(challenge, zone.server)
        zone.add(name, "another")
        assert "['another'] instead of" in _validation.in_dns(challenge, zone.server)
        zone.add(name, challenge.dns_value)
        assert fetch(challenge) == challenge.dns_value
        assert _validation.in_dns(challenge, zone.server) == ""
        standing = f"_validation-persist.{challenge.identifier.value}."
        zone.add(standing, "no record of ours")
        terms = _validation.persist.Terms(["ca.test"], "https://ca.test/1", "x", "")
        why = _validation.standing(challenge.identifier.value, terms, zone.server, wildcard=False)
        assert why.startswith(f"{challenge.identifier.value}: ")
    none = "this server was started without a resolver"
    assert _validation.in_dns(challenge, "") == none
    assert _validation.standing("a.test", terms, "", wildcard=False) == none
    monkeypatch.setattr(_validation, "_SECONDS", 0.01)
    gone = _validation.in_dns(challenge, "127.0.0.1:1")
    assert "cannot be looked up at 127.0.0.1:1" in gone


def test_a_challenge_of_an_account_has_a_label_of_its_own():
    url = "https://ca.test/1"
    challenge = Challenge("dns-account-01", Identifier("dns", "a.test"), "t", "t.m", url, "m")
    digest = base64.b32encode(sha256(url.encode()).digest()[:10]).decode().lower()
    assert challenge.dns_label.startswith(f"_{digest}.")


# --- zones, hypervisors, nodes --------------------------------------------------------------------


def test_records_of_others_are_kept_beside_ours():
    zone = DnsZone("example.test.")
    zone.put("a.example.test.", "TXT", "text", 300)
    zone.put("a.example.test.", "A", "192.0.2.1", 60)
    zone.add("A.example.test.", "more", 20)
    assert zone.everything() == {
        ("a.example.test.", "TXT", "text", 300),
        ("a.example.test.", "TXT", "more", 20),
        ("a.example.test.", "A", "192.0.2.1", 60),
    }
    with pytest.raises(ValueError, match="is not an absolute name in the zone"):
        zone.add("a.example.test", "x")


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("POST", "/guests/9/start", 404, "there is no guest 9"),
        ("POST", "/guests/x/save", 404, "there is no guest x"),
        ("POST", "/guests/101/save", 409, "guest 101 does not run"),
        ("GET", "/nothing", 404, "there is no GET /nothing"),
    ],
)
def test_what_the_hypervisor_refuses(method, path, status, said):
    made = Hypervisor()
    made.add(101)
    assert made.answer(Request(method, path, {}, {}, b"")) == (status, {"error": said})


def test_guests_are_configured_beside_what_is_there(tmp_path):
    node = Node(tmp_path)
    node.add("guest", "one", api="farm", url="http://127.0.0.1:1")
    node.add("guest", "two", api="farm")
    text = (node.root / "etc/pve/pvefw.cfg").read_bytes()
    sections = SectionConfig.parse(text, "pvefw.cfg")
    assert [section.id for section in sections.sections] == ["one", "two"]
    assert b"\turl http://127.0.0.1:1\n" in text


def test_a_command_that_fails_shows_what_it_said(tmp_path, monkeypatch):
    node = Node(tmp_path, python="/bin/false")
    with pytest.raises(AssertionError, match="pvefw config show:"):
        node.run("config", "show")
