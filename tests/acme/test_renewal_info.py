"""Renewal information (RFC 9773): what authorities call a certificate, and what they say of it."""

import contextlib
import datetime as dt
import json

import pytest
from certificates import NOW
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from ordering import Patient
from servers.faulty_acme import Answer, faulty_acme

from pvefw.acme import renewal_info
from pvefw.acme.client import Client
from pvefw.acme.transport import Transport
from pvefw.core.errors import AcmeProblem, AcmeProtocolError, CertificateError

KEY = ec.generate_private_key(ec.SECP256R1())
ISSUER = bytes.fromhex("69885b6b87464041e1b37b847ba0ae2cde01c8d4")
GOOD = {
    "suggestedWindow": {"start": "2025-01-02T04:00:00Z", "end": "2025-01-03T04:00:00Z"},
    "explanationURL": "https://acme.example.com/docs/ari",
}


def certificate(serial=0x87654321, *extensions):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.example")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(serial)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=90))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(KEY, hashes.SHA256())


BY_RFC = certificate(0x87654321, x509.AuthorityKeyIdentifier(ISSUER, None, None))


def test_the_example_of_section_4_1():
    assert renewal_info.certificate_id(BY_RFC) == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"


@pytest.mark.parametrize(
    ("serial", "last"), [(1, "AQ"), (0x7F, "fw"), (0x80, "AIA"), (0xFFFF, "AP__")]
)
def test_a_serial_number_is_written_as_in_der(serial, last):
    made = certificate(serial, x509.AuthorityKeyIdentifier(b"x", None, None))
    assert renewal_info.certificate_id(made) == f"eA.{last}"


@pytest.mark.parametrize(
    "extensions",
    [
        [],
        [x509.AuthorityKeyIdentifier(None, [x509.DNSName("ca.example")], 1)],
    ],
    ids=["none", "without a key"],
)
def test_a_certificate_that_does_not_name_its_issuers_key(extensions):
    with pytest.raises(CertificateError, match="does not name the key"):
        renewal_info.certificate_id(certificate(1, *extensions))


def test_a_window():
    found = renewal_info.parse(GOOD, "url", 21600.0)
    assert found.start == dt.datetime(2025, 1, 2, 4, tzinfo=dt.UTC)
    assert found.end - found.start == dt.timedelta(days=1)
    assert found.explanation == GOOD["explanationURL"]
    assert found.retry_after == 21600


@pytest.mark.parametrize(
    "window",
    [
        None,
        [],
        "now",
        {},
        {"start": "2025-01-02T04:00:00Z"},
        {"start": "2025-01-02T04:00:00Z", "end": 5},
        {"start": "2025-01-02T04:00:00Z", "end": "soon"},
        {"start": "2025-01-03T04:00:00Z", "end": "2025-01-02T04:00:00Z"},
        {"start": "2025-01-03T04:00:00Z", "end": "2025-01-03T04:00:00Z"},
        {"start": "2025-01-02T04:00:00", "end": "2025-01-03T04:00:00Z"},
        {"start": "2025-01-02T04:00:00", "end": "2025-01-03T04:00:00"},
    ],
)
def test_a_window_that_is_none(window):
    with pytest.raises(AcmeProtocolError, match=r"^url: "):
        renewal_info.parse({"suggestedWindow": window}, "url", None)


@given(st.dictionaries(st.sampled_from(["start", "end"]), st.text(max_size=30) | st.integers()))
def test_whatever_is_said_is_a_window_or_an_error(window):
    with contextlib.suppress(AcmeProtocolError):
        found = renewal_info.parse({"suggestedWindow": window}, "url", None)
        assert found.start < found.end


# --- asked for ------------------------------------------------------------------------------------


@pytest.fixture
def proxy(pebble, tmp_path):
    """Pebble does not have this part: the proxy adds it."""
    with faulty_acme(pebble, tmp_path) as started:

        def offering(_proxy, _handler, answer):
            said = json.loads(answer.body)
            said["renewalInfo"] = started.directory.replace("/dir", "/renewal-info")
            return Answer(200, answer.headers, json.dumps(said).encode())

        started.fail("GET /dir", offering)
        yield started


@pytest.fixture
def client(proxy):
    transport = Transport(ca_file=str(proxy.ca_file), task=Patient())
    yield Client(transport, proxy.directory)
    transport.close()


def test_the_server_is_asked_without_an_account(proxy, client):
    headers = {"Content-Type": "application/json", "Retry-After": "21600"}
    proxy.fail(
        "GET /renewal-info/", lambda *_: Answer(200, headers, json.dumps(GOOD).encode()), times=1
    )
    found = client.renewal_info(BY_RFC)
    assert found == renewal_info.parse(GOOD, "url", 21600.0)
    assert proxy.requests[-1] == "GET /renewal-info/aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"


def test_a_certificate_that_the_server_does_not_know(client):
    with pytest.raises(AcmeProblem, match="404"):
        client.renewal_info(BY_RFC)


def test_a_server_that_does_not_say(pebble):
    transport = Transport(ca_file=str(pebble.ca_file), task=Patient())
    client = Client(transport, pebble.directory)
    if "renewalInfo" in client.directory.urls:
        pytest.skip("this Pebble says when to renew")
    assert client.renewal_info(BY_RFC) is None
    transport.close()
