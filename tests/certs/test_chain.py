"""Chains and keys: what fits is put in order, each flaw has a message of its own."""

import datetime as dt
import shutil
import subprocess

import pytest
import trustme
from certificates import NOW, self_signed
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from pvefw.certs import chain, keys
from pvefw.core.errors import CertificateError, UsageError
from pvefw.core.model import Identifier
from pvefw.host.clock import SystemClock

DAY = dt.timedelta(days=1)


def check(certificate, key, now=NOW):
    return chain.check_pair(certificate, key, "pair", now)


def test_a_chain_out_of_order_is_put_in_order():
    root = trustme.CA()
    middle = root.create_child_ca()
    leaf = middle.issue_cert("a.example")
    issued = leaf.cert_chain_pems[0].bytes()
    between, top = middle.cert_pem.bytes(), root.cert_pem.bytes()
    key = leaf.private_key_pem.bytes()
    now = SystemClock().now()
    fingerprints = [
        chain.fingerprint(certificate)
        for certificate in chain.parse(issued + between + top, "expected")
    ]
    for mixed in (issued + top + between, top + between + issued, between + issued + top):
        ordered = chain.parse(check(mixed, key, now), "ordered")
        assert [chain.fingerprint(certificate) for certificate in ordered] == fingerprints


@pytest.mark.parametrize(
    ("flaw", "said"),
    [
        (lambda c, k: (b"rubbish", k), "this is not a PEM certificate"),
        (lambda c, k: (k, c), "this is not a PEM certificate"),
        (lambda c, k: (c, b"rubbish"), "this is not a private key"),
        (
            lambda c, k: (c, keys.to_pem(keys.generate("ec256"))),
            "does not belong to the certificate",
        ),
        (
            lambda c, k: (c + self_signed("other.example")[0], k),
            "other.example is not part of the chain",
        ),
        (lambda c, k: self_signed(days=30, begin=-60), f"expired on {NOW - 30 * DAY:%Y-%m-%d}"),
        (lambda c, k: self_signed(begin=5), f"not valid before {NOW + 5 * DAY:%Y-%m-%d}"),
    ],
)
def test_each_flaw_has_its_own_message(flaw, said):
    with pytest.raises(CertificateError, match=said):
        check(*flaw(*self_signed()))


def test_certificate_and_key_exchanged_is_suspected():
    certificate, key = self_signed()
    with pytest.raises(CertificateError) as caught:
        check(key, certificate)
    assert "swapped" in caught.value.hint


def test_a_protected_key_says_how_to_unprotect_it():
    certificate, key = self_signed()
    plain = keys.from_pem(key, "key")
    protected = plain.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    with pytest.raises(CertificateError, match="protected by a password") as caught:
        check(certificate, protected)
    assert "openssl pkey" in caught.value.hint


def test_a_key_type_that_servers_do_not_take():
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(CertificateError, match="type Ed25519"):
        keys.from_pem(pem, "key")


@pytest.mark.parametrize("curve", [ec.SECP256K1(), ec.BrainpoolP256R1()])
def test_a_curve_that_browsers_do_not_take(curve):
    pair = self_signed(key=ec.generate_private_key(curve))
    with pytest.raises(CertificateError, match=f"the curve {curve.name} is not usable"):
        check(*pair)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n", "It is the public key"),
        ("-----BEGIN PRIVATE KEY-----\nMIGH\n", "damaged or incomplete"),
        ("-----BEGIN CERTIFICATE-----\nMIGH\n", "swapped"),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n",
            "ssh-keygen -p -m PKCS8",
        ),
    ],
)
def test_what_is_no_private_key_is_named(key, hint):
    with pytest.raises(CertificateError) as caught:
        keys.from_pem(key.encode(), "key")
    assert hint in caught.value.hint


@pytest.mark.parametrize("key_type", keys.KEY_TYPES)
def test_requests_are_what_openssl_reads(key_type, tmp_path):
    key = keys.generate(key_type)
    wanted = [Identifier("dns", "*.example.com"), Identifier("ip", "192.0.2.7")]
    request = tmp_path / "csr"
    request.write_bytes(keys.signing_request(key, wanted, must_staple=True))
    openssl = shutil.which("openssl")
    said = subprocess.run(
        [openssl, "req", "-inform", "DER", "-in", request, "-noout", "-text", "-verify"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "DNS:*.example.com, IP Address:192.0.2.7" in said.stdout
    assert "status_request" in said.stdout
    assert "verify OK" in said.stdout + said.stderr


def test_an_unknown_key_type_lists_those_that_are_known():
    with pytest.raises(UsageError, match="dsa") as caught:
        keys.generate("dsa")
    assert "ec256" in caught.value.hint
