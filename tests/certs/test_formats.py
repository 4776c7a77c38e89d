"""Files as other systems hand them out: named, converted, or written as OpenSSL reads them."""

import ssl
import subprocess

import pytest
from certificates import NOW, Log, own, self_signed
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12

from pvefw.certs import custom, formats, install, keys
from pvefw.core.errors import CertificateError

CERTIFICATE, KEY = self_signed("pve1.example")


@pytest.fixture
def set_pair(paths):
    """Installs a pair; the task that it ran in."""

    def do(certificate=CERTIFICATE, key=KEY):
        task = Log()
        custom.set_pair(own(paths), certificate, key, task, NOW, force=True)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            paths.proxy_certificate, paths.proxy_key
        )
        return task

    return do


def parsed():
    return x509.load_pem_x509_certificate(CERTIFICATE)


def private():
    return serialization.load_pem_private_key(KEY, None)


def encrypted(format_):
    secret = serialization.BestAvailableEncryption(b"secret")
    return private().private_bytes(serialization.Encoding.PEM, format_, secret)


PKCS8 = serialization.PrivateFormat.PKCS8
OPENSSL = serialization.PrivateFormat.TraditionalOpenSSL
DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM

CERTIFICATES = {
    "DER": (parsed().public_bytes(DER), "a certificate in DER format", "openssl x509 -inform der"),
    "UTF-16": (CERTIFICATE.decode().encode("utf-16"), "text in UTF-16", "iconv -f UTF-16"),
    "UTF-16 without a mark": (
        CERTIFICATE.decode().encode("utf-16-le"),
        "text in UTF-16",
        "iconv -f UTF-16",
    ),
    "PKCS#7": (
        pkcs7.serialize_certificates([parsed()], PEM),
        "a PKCS#7 file in PEM",
        "openssl pkcs7 -print_certs",
    ),
    "PKCS#7 in DER": (
        pkcs7.serialize_certificates([parsed()], DER),
        "a PKCS#7 file in DER",
        "openssl pkcs7 -inform der -print_certs",
    ),
    "trusted": (
        CERTIFICATE.replace(b" CERTIFICATE", b" TRUSTED CERTIFICATE"),
        "a trusted certificate of OpenSSL's",
        "openssl x509 -in",
    ),
    "PKCS#12": (
        pkcs12.serialize_key_and_certificates(
            b"x", private(), parsed(), None, serialization.NoEncryption()
        ),
        "a PKCS#12 container",
        "openssl pkcs12",
    ),
}
KEYS = {
    "DER": (
        private().private_bytes(DER, PKCS8, serialization.NoEncryption()),
        "in DER",
        "-inform der",
    ),
    "PKCS#8 with a password": (encrypted(PKCS8), "protected by a password", "openssl pkey -in"),
    "OpenSSL with a password": (encrypted(OPENSSL), "protected by a password", "openssl pkey -in"),
}


@pytest.mark.parametrize(("data", "name", "command"), CERTIFICATES.values(), ids=CERTIFICATES)
def test_a_certificate_in_another_format_is_named(set_pair, paths, data, name, command):
    with pytest.raises(CertificateError, match=name) as caught:
        set_pair(certificate=data)
    assert command in caught.value.hint
    assert not paths.proxy_certificate.exists()


@pytest.mark.parametrize(("data", "name", "command"), KEYS.values(), ids=KEYS)
def test_a_key_in_another_format_is_named(set_pair, paths, data, name, command):
    with pytest.raises(CertificateError, match=name) as caught:
        set_pair(key=data)
    assert command in caught.value.hint
    assert not paths.proxy_certificate.exists()


@pytest.mark.parametrize("name", ["DER", "UTF-16", "PKCS#7", "PKCS#7 in DER", "PKCS#12"])
def test_the_commands_that_hints_name_convert(tmp_path, name):
    data, *_ = CERTIFICATES[name]
    (tmp_path / "FILE").write_bytes(data)
    command = formats.recognize(data).convert.split()
    if "pkcs12" in command:
        command += ["-passin", "pass:"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert x509.load_pem_x509_certificates((tmp_path / "OUT").read_bytes()) == [parsed()]


@pytest.mark.parametrize(
    ("certificate", "key"),
    [
        (CERTIFICATE.replace(b"\n", b"\n    ").strip(), KEY.replace(b"\n", b"\n    ").strip()),
        (CERTIFICATE.replace(b"\n", b"\r\n"), KEY.replace(b"\n", b"\r\n")),
        (b"Bag Attributes\n" + CERTIFICATE, b"key of pve1\n" + KEY),
        (CERTIFICATE, private().private_bytes(PEM, OPENSSL, serialization.NoEncryption())),
        (CERTIFICATE, KEY.strip() + CERTIFICATE),
    ],
    ids=["indented", "DOS", "with words", "of OpenSSL", "run together"],
)
def test_what_is_installed_is_canonical(set_pair, paths, certificate, key):
    """Or it is refused: never a pair that OpenSSL cannot load."""
    try:
        set_pair(certificate, key)
    except CertificateError:
        assert not paths.proxy_certificate.exists()
        return
    assert paths.proxy_certificate.read_bytes() == parsed().public_bytes(PEM)
    assert paths.proxy_key.read_bytes() == keys.to_pem(private())


def test_a_pair_that_openssl_cannot_load_leaves_the_old_one(set_pair, paths):
    set_pair()
    before = paths.proxy_certificate.read_bytes(), paths.proxy_key.read_bytes()
    _, other = self_signed("other.example")
    with pytest.raises(CertificateError, match="OpenSSL cannot load it"):
        install.replace_pair(paths, own(paths).pair, CERTIFICATE, other, Log())
    assert (paths.proxy_certificate.read_bytes(), paths.proxy_key.read_bytes()) == before
    assert sorted(path.name for path in paths.proxy_key.parent.glob("*pvefw-new*")) == []


def test_duplicates_go_with_a_word(set_pair, paths):
    task = set_pair(certificate=CERTIFICATE * 3)
    assert paths.proxy_certificate.read_bytes() == CERTIFICATE
    assert "Left out 2 of the certificates: they occur twice" in task.lines
    assert not [line for line in task.lines if "not in order" in line]


def test_only_what_was_out_of_order_is_said_to_be(set_pair):
    task = set_pair(certificate=b"some words\n\n" + CERTIFICATE.replace(b"\n", b"\r\n"))
    assert not [line for line in task.lines if "not in order" in line]


@pytest.mark.parametrize("password", [b"", b"secret"])
def test_a_pkcs12_container_is_taken(set_pair, paths, password):
    how = (
        serialization.BestAvailableEncryption(b"secret")
        if password
        else serialization.NoEncryption()
    )
    data = pkcs12.serialize_key_and_certificates(b"x", private(), parsed(), None, how)
    assert formats.is_pkcs12(data)
    set_pair(*formats.from_pkcs12(data, password, "pair.p12"))
    assert paths.proxy_certificate.read_bytes() == CERTIFICATE
    if password:
        for wrong, how in ((b"wrong", "with this"), (b"", "without a")):
            with pytest.raises(CertificateError, match=f"cannot be opened {how} password"):
                formats.from_pkcs12(data, wrong, "pair.p12")


def test_a_pkcs12_container_without_a_key(paths):
    data = pkcs12.serialize_key_and_certificates(
        b"x", None, parsed(), None, serialization.NoEncryption()
    )
    with pytest.raises(CertificateError, match="has no private key"):
        formats.from_pkcs12(data, b"", "pair.p12")
