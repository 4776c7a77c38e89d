"""Accounts and revocation, against Pebble."""

import contextlib
import json
import ssl
import urllib.request

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from ordering import Listening, Ordering, Patient
from servers.pebble import pebble as run_pebble

from pvefw.acme.client import Client
from pvefw.acme.jws import AccountKey
from pvefw.acme.transport import Transport
from pvefw.certs import keys
from pvefw.core.errors import AcmeError, AcmeProblem, AcmeProtocolError

KEY_TYPES = ["ec256", "ec384", "rsa2048"]
CONTACTS = ["mailto:a@example.com"]


@pytest.fixture
def client(pebble):
    """Makes clients for Pebble."""
    with contextlib.ExitStack() as last:

        def make(key_type="ec256", key=None, kid=None):
            transport = Transport(ca_file=str(pebble.ca_file), task=Patient())
            last.callback(transport.close)
            return Client(transport, pebble.directory, key or AccountKey.generate(key_type), kid)

        yield make


def test_the_directory_says_what_the_server_wants(client, pebble):
    found = client().directory
    assert found.urls["newOrder"].startswith(pebble.directory.removesuffix("/dir"))
    assert found.terms
    assert not found.binding_required


def test_something_that_is_no_directory(pebble):
    transport = Transport(ca_file=str(pebble.ca_file), task=Patient())
    url = pebble.directory.replace("/dir", "/root")
    with pytest.raises(AcmeError, match="/root"):
        _ = Client(transport, url).directory
    transport.close()


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_every_type_of_account_key(client, key_type):
    made = client(key_type)
    registered = made.register(CONTACTS, agree=True)
    assert registered.account["status"] == "valid"
    assert made.account()["contact"] == CONTACTS
    assert made.update(["mailto:b@example.com"])["contact"] == ["mailto:b@example.com"]
    assert client(key=made.key, kid=registered.location).account()["status"] == "valid"


def test_a_key_that_has_an_account_finds_it(client):
    first = client()
    location = first.register(CONTACTS, agree=True).location
    assert client(key=first.key).register([], agree=True).location == location


def test_finding_does_not_make_an_account(client):
    made = client()
    assert made.find() is None
    location = made.register(CONTACTS, agree=True).location
    assert made.find().location == location
    assert client(key=made.key).find().location == location


def test_terms_that_are_not_agreed_to(client):
    with pytest.raises(AcmeProblem, match="agree") as caught:
        client().register(CONTACTS, agree=False)
    assert caught.value.type == "agreementRequired"


def test_after_deactivation_the_account_can_do_nothing(client):
    made = client()
    made.register(CONTACTS, agree=True)
    assert made.deactivate()["status"] == "deactivated"
    with pytest.raises(AcmeProblem) as caught:
        made.new_order([])
    assert caught.value.type == "unauthorized"
    assert caught.value.status in (401, 403)


@pytest.mark.parametrize("new", KEY_TYPES)
@pytest.mark.parametrize("old", KEY_TYPES)
def test_a_key_is_replaced_by_one_of_any_type(client, old, new):
    made = client(old)
    location = made.register(CONTACTS, agree=True).location
    old_key, new_key = made.key, AccountKey.generate(new)
    made.roll_over(new_key)
    assert made.account()["status"] == "valid"
    assert client(key=new_key, kid=location).account()["status"] == "valid"
    with pytest.raises(AcmeProblem):
        client(key=old_key, kid=location).account()


def test_a_key_of_another_account_is_refused(client):
    made, other = client(), client()
    made.register(CONTACTS, agree=True)
    other.register(CONTACTS, agree=True)
    try:
        made.roll_over(other.key)
    except AcmeProblem:
        pass
    else:
        pytest.skip("this Pebble lets two accounts have one key")
    assert made.account()["status"] == "valid"


def test_an_account_that_is_not_there(client, pebble):
    made = client(kid=pebble.directory.replace("/dir", "/my-account/nobody"))
    with pytest.raises(AcmeProblem) as caught:
        made.account()
    assert caught.value.type == "accountDoesNotExist"


def test_external_account_binding(tmp_path):
    known = {"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}
    with run_pebble(tmp_path, binding_keys=known) as server:
        transport = Transport(ca_file=str(server.ca_file), task=Patient())
        made = Client(transport, server.directory, AccountKey.generate())
        assert made.directory.binding_required
        with pytest.raises(AcmeProblem) as caught:
            made.register(CONTACTS, agree=True)
        assert caught.value.type == "externalAccountRequired"
        assert "--eab-kid" in caught.value.hint
        with pytest.raises(AcmeProblem):
            made.register(CONTACTS, agree=True, binding=("kid-2", known["kid-1"]))
        assert made.register(CONTACTS, agree=True, binding=("kid-1", known["kid-1"])).location
        transport.close()


# --- revocation (section 7.6) ------------------------------------------------------------------------


@pytest.fixture
def issued(pebble):
    """An account that has a certificate; gives both."""
    solver = Listening(pebble.http_port)
    with Ordering(pebble.directory, pebble.ca_file, {"revoked.example": solver}) as ordering:
        chain = ordering.finish(ordering.place())
        yield ordering.client, x509.load_pem_x509_certificates(chain)[0]


def status(pebble, certificate):
    url = (
        f"https://127.0.0.1:{pebble.management}/cert-status-by-serial/{certificate.serial_number:x}"
    )
    context = ssl.create_default_context(cafile=str(pebble.ca_file))
    with urllib.request.urlopen(url, timeout=5, context=context) as answer:
        return json.load(answer)


def test_a_certificate_is_revoked_and_again(pebble, issued):
    client, certificate = issued
    der = certificate.public_bytes(serialization.Encoding.DER)
    assert status(pebble, certificate)["Status"] == "Valid"
    client.revoke(der, reason=4)
    said = status(pebble, certificate)
    assert (said["Status"], said["Reason"]) == ("Revoked", 4)
    client.revoke(der)


def test_others_cannot_revoke_it(pebble, issued, client):
    _, certificate = issued
    other = client()
    other.register(CONTACTS, agree=True)
    with pytest.raises(AcmeProblem):
        other.revoke(certificate.public_bytes(serialization.Encoding.DER))
    assert status(pebble, certificate)["Status"] == "Valid"


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_its_own_key_may_revoke_it(pebble, client, key_type):
    solvers = {"revoked.example": Listening(pebble.http_port)}
    with Ordering(pebble.directory, pebble.ca_file, solvers) as ordering:
        ordering.key = keys.generate(key_type)
        chain = ordering.finish(ordering.place())
    certificate = x509.load_pem_x509_certificates(chain)[0]
    der = certificate.public_bytes(serialization.Encoding.DER)
    own = AccountKey.from_pem(keys.to_pem(ordering.key).decode(), "certificate")
    with pytest.raises(AcmeProblem):
        client().revoke(der, key=AccountKey.generate())
    client().revoke(der, key=own)
    assert status(pebble, certificate)["Status"] == "Revoked"


def test_a_server_that_cannot_do_it(pebble):
    transport = Transport(ca_file=str(pebble.ca_file), task=Patient())
    client = Client(transport, pebble.directory, AccountKey.generate())
    with pytest.raises(AcmeProtocolError, match="does not offer newAuthz"):
        client._url("newAuthz")
    transport.close()
