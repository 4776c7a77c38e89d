"""Certificates that an administrator brings: every flaw has a message of its own, and changes nothing."""

import datetime as dt
import os
from dataclasses import dataclass

import pytest
from certificates import NOW, Log, own, self_signed
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    NameOID,
)

from pvefw.certs import chain, custom, keys
from pvefw.core.errors import CertificateError, UsageError

DAY = dt.timedelta(days=1)


@dataclass
class Made:
    """A certificate with its key; it can sign others."""

    certificate: x509.Certificate
    key: object

    @property
    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self):
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def make(name, issuer=None, *, ca=False, key=None, begin=-1, days=90, extra=(), san=True):
    key = key or keys.generate("ec256")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + begin * DAY)
        .not_valid_after(NOW + (begin + days) * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if san and not ca:
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        builder = builder.add_extension(names, critical=False)
    for extension in extra:
        builder = builder.add_extension(extension, critical=False)
    return Made(builder.sign((issuer or Made(None, key)).key, hashes.SHA256()), key)


@pytest.fixture(scope="module")
def root():
    return make("Root", ca=True)


@pytest.fixture(scope="module")
def first(root):
    return make("Intermediate 1", root, ca=True)


@pytest.fixture(scope="module")
def second(first):
    return make("Intermediate 2", first, ca=True)


@pytest.fixture(scope="module")
def good(second):
    return make("own.example", second)


def bring(paths, certificate, key, **options):
    task = Log()
    custom.set_pair(own(paths), certificate, key, task, NOW, **options)
    return task


def refused(paths, certificate, key, message):
    before = self_signed("before.example")
    if not paths.proxy_certificate.exists():
        bring(paths, *before)
    there = paths.proxy_certificate.read_bytes(), paths.proxy_key.read_bytes()
    with pytest.raises(CertificateError, match=message) as caught:
        bring(paths, certificate, key, force=True)
    assert (paths.proxy_certificate.read_bytes(), paths.proxy_key.read_bytes()) == there
    assert caught.value.message.startswith("cert set: ")
    return caught.value


def test_a_chain_is_put_in_order(paths, good, first, second):
    task = bring(paths, first.pem + good.pem + second.pem, good.key_pem)
    found = chain.parse(paths.proxy_certificate.read_bytes(), "found")
    assert found == [good.certificate, second.certificate, first.certificate]
    assert any("were not in order" in line for line in task.lines)


def test_a_root_in_the_file_is_kept_at_its_end(paths, good, first, second, root):
    task = bring(paths, good.pem + root.pem + second.pem + first.pem, good.key_pem)
    found = chain.parse(paths.proxy_certificate.read_bytes(), "found")
    assert found[-1] == root.certificate
    assert not task.warnings


def test_a_gap_in_the_chain(paths, good, first):
    error = refused(
        paths, good.pem + first.pem, good.key_pem, "Intermediate 1 is not part of the chain"
    )
    assert "missing in between" in error.hint


def test_a_leaf_of_a_public_authority_without_its_intermediate(paths, second):
    where = x509.AccessDescription(
        AuthorityInformationAccessOID.CA_ISSUERS,
        x509.UniformResourceIdentifier("http://ca.example/i2.der"),
    )
    leaf = make("own.example", second, extra=[x509.AuthorityInformationAccess([where])])
    error = refused(paths, leaf.pem, leaf.key_pem, "certificate of CN=Intermediate 2 is missing")
    assert "http://ca.example/i2.der" in error.hint


def test_a_leaf_of_a_private_root_is_a_warning(paths, root):
    leaf = make("own.example", root)
    task = bring(paths, leaf.pem, leaf.key_pem)
    [warning] = task.warnings
    assert "CN=Root" in warning


def test_the_key_of_another(paths, good, second, first):
    other = keys.to_pem(keys.generate("ec256"))
    refused(paths, good.pem + second.pem + first.pem, other, "does not belong to the certificate")


def test_a_key_with_a_password(paths, good):
    locked = good.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    error = refused(paths, good.pem, locked, "protected by a password")
    assert "openssl pkey" in error.hint


def test_a_key_of_a_kind_that_servers_do_not_take(paths, good):
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    refused(paths, good.pem, key, "type Ed25519 is not usable")


def test_dates(paths, root):
    expired = make("own.example", root, begin=-100)
    refused(paths, expired.pem, expired.key_pem, f"expired on {NOW - 10 * DAY:%Y-%m-%d}")
    future = make("own.example", root, begin=5)
    error = refused(paths, future.pem, future.key_pem, f"not valid before {NOW + 5 * DAY:%Y-%m-%d}")
    assert "clock" in error.hint


def test_a_weak_key(paths, root):
    weak = make("own.example", root, key=rsa.generate_private_key(65537, 1024))
    refused(paths, weak.pem, weak.key_pem, "1024 bits is too weak")


def test_a_certificate_that_is_not_for_servers(paths, root):
    use = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    client = make("own.example", root, extra=[use])
    refused(paths, client.pem, client.key_pem, "not for servers: .*clientAuth")


def test_a_certificate_without_names(paths, root):
    nameless = make("own.example", root, san=False)
    refused(paths, nameless.pem, nameless.key_pem, "names no server in subjectAltName")


@pytest.mark.parametrize("rubbish", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAA\n"])
def test_what_is_no_certificate(paths, good, rubbish):
    refused(paths, rubbish, good.key_pem, "not a PEM certificate")


def test_certificate_and_key_exchanged(paths, good):
    error = refused(paths, good.key_pem, good.pem, "not a PEM certificate")
    assert "swapped" in error.hint


def test_der_instead_of_pem(paths, good):
    der = good.certificate.public_bytes(serialization.Encoding.DER)
    error = refused(paths, der, good.key_pem, "not a PEM certificate")
    assert "openssl x509 -inform der" in error.hint


def test_no_key_and_none_there(paths, root):
    leaf = make("own.example", root)
    with pytest.raises(UsageError, match="private key is missing"):
        bring(paths, leaf.pem, None)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"begin": -400, "days": 399}, "the intermediate certificate Between expired on"),
        ({"begin": 3}, "the intermediate certificate Between is not valid before"),
        ({"ca": False}, "Between has signed the next certificate of the chain and is no CA"),
    ],
)
def test_a_chain_is_as_good_as_its_intermediates(more, said):
    root = make("Root", ca=True)
    between = make("Between", root, **{"ca": True, **more})
    leaf = make("a.example", between)
    with pytest.raises(CertificateError, match=said):
        chain.check_pair(leaf.pem + between.pem, leaf.key_pem, "pair", NOW)


def test_of_two_intermediates_for_one_key_the_one_that_is_valid_is_taken(paths):
    root = make("Root", ca=True)
    between = make("Between", root, ca=True)
    ended = make("Between", root, ca=True, key=between.key, begin=-400, days=399)
    leaf = make("a.example", between)
    for given in (leaf.pem + ended.pem + between.pem, between.pem + ended.pem + leaf.pem):
        assert chain.check_pair(given, leaf.key_pem, "pair", NOW) == leaf.pem + between.pem
    lines = bring(paths, leaf.pem + ended.pem + between.pem, leaf.key_pem).lines
    assert f"Left out CN=Between: it expired on {NOW - 1 * DAY:%Y-%m-%d}" in lines
    assert not any("in order" in line for line in lines)


def test_a_root_that_has_ended_costs_no_chain():
    root = make("Root", ca=True, begin=-400, days=399)
    leaf = make("a.example", root)
    assert chain.check_pair(leaf.pem + root.pem, leaf.key_pem, "pair", NOW) == leaf.pem + root.pem


def test_a_certificate_that_breaks_off_is_not_left_out():
    root = make("Root", ca=True)
    leaf = make("a.example", root)
    with pytest.raises(CertificateError, match="incomplete: of 2 certificates, 1 can be read"):
        chain.check_pair(leaf.pem + root.pem[:300], leaf.key_pem, "pair", NOW)


def test_pipes_are_read_as_files_are(paths, pvefw, root):
    leaf = make("pve1.example", root)
    given = []
    for data in (leaf.pem + root.pem, leaf.key_pem):
        reading, writing = os.pipe()
        os.write(writing, data)
        os.close(writing)
        given.append(reading)
    status, said = pvefw("cert", "set", *(f"/dev/fd/{number}" for number in given))
    assert status == 0, said
    assert paths.proxy_certificate.read_bytes() == leaf.pem + root.pem
    for number in given:
        os.close(number)


def test_a_signing_request_instead_of_a_certificate(paths, good):
    request = b"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n"
    error = refused(paths, request, good.key_pem, "this is not a PEM certificate")
    assert "It is a signing request; the authority answers it with a certificate." in error.hint


def test_of_a_key_of_another_kind_the_kind_is_shown(paths):
    own_key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.example")])
    pem = (
        x509.CertificateBuilder(name, name, own_key.public_key(), 7, NOW - DAY, NOW + DAY)
        .sign(own_key, None)
        .public_bytes(serialization.Encoding.PEM)
    )
    info = chain.describe(paths.proxy_certificate, pem)
    assert (info.public_key_type, info.public_key_bits) == ("Ed25519", 0)
    assert keys.type_of(own_key.public_key()) == ""


@pytest.mark.parametrize(("is_root", "good"), [(True, True), (False, False)])
def test_an_issuer_that_does_not_say_whether_it_is_a_ca_is_one_where_it_is_a_root(is_root, good):
    key = keys.generate("ec256")
    top = make("Top", ca=True)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Old CA")])
    above = name if is_root else top.certificate.subject
    builder = x509.CertificateBuilder(above, name, key.public_key(), 7, NOW - DAY, NOW + DAY)
    issuer = Made(builder.sign(key if is_root else top.key, hashes.SHA256()), key)
    leaf = make("own.example", issuer)
    if good:
        assert chain.check_pair(leaf.pem + issuer.pem, leaf.key_pem, "it", NOW)
        return
    with pytest.raises(CertificateError, match="Old CA has signed the next certificate"):
        chain.check_pair(leaf.pem + issuer.pem, leaf.key_pem, "it", NOW)
