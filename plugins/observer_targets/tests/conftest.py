"""Certificates of an authority, as targets get them."""

import datetime as dt

import pytest
import trustme
from cryptography import x509

from pvefw.api import CertificateEvent
from pvefw.certs import chain
from pvefw.host import tls

DAY = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)


class Issuer:
    """Makes a certificate called ``web`` and what targets are told of it, as often as it is asked."""

    def __init__(self, directory):
        self.authority = trustme.CA()
        self._certificate, self._key = directory / "web.pem", directory / "web.key"

    def __call__(self):
        issued = self.authority.issue_cert("www.example", "127.0.0.1")
        self._certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        self._key.write_bytes(issued.private_key_pem.bytes())
        print_ = chain.describe(self._certificate, self._certificate.read_bytes()).fingerprint
        names = ["www.example"]
        return CertificateEvent(
            "pve1", names, self._certificate, self._key, DAY, DAY, print_, "web"
        )


@pytest.fixture
def issue(tmp_path):
    directory = tmp_path / "node"
    directory.mkdir()
    return Issuer(directory)


@pytest.fixture
def served():
    """The fingerprint of what is served at a port of this host; nothing where nobody answers."""

    def look(port):
        try:
            der = tls.served_certificate("127.0.0.1", port, "", "www.example", 60)
        except OSError:
            return ""
        return chain.fingerprint(x509.load_der_x509_certificate(der))

    return look
