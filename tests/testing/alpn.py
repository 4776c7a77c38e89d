"""tls-alpn-01 as a third party wrote it with the published pages alone: a listener of its own.

Tests seed bugs into the text of this file.
"""

import contextlib
import datetime as dt
import hashlib
import ipaddress
import socket
import ssl
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pvefw.api import ProviderError, hookimpl, setting

PROTOCOL = "acme-tls/1"
EXTENSION = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")


@dataclass
class Alpn:
    """tls-alpn-01 from a port of this host."""

    port: int = setting(help="Where to listen.", default=443)
    _answers: dict = field(default_factory=dict, init=False, repr=False)
    _listening: socket.socket | None = field(default=None, init=False, repr=False)
    _thread: threading.Thread | None = field(default=None, init=False, repr=False)

    @hookimpl
    def challenge_types(self):
        return ["tls-alpn-01"]

    @hookimpl
    def challenge_present(self, challenges, task):
        for challenge in challenges:
            task.log(f"Answering for {challenge.identifier}")
            answers = self._answers.setdefault(server_name(challenge), {})
            answers[challenge.token] = context(challenge)
        if self._listening is None:
            self._open()

    @hookimpl
    def challenge_cleanup(self, challenges):
        for challenge in challenges:
            answers = self._answers.get(server_name(challenge), {})
            answers.pop(challenge.token, None)
            if not answers:
                self._answers.pop(server_name(challenge), None)
        if self._listening is not None and not self._answers:
            self._close()

    def _open(self):
        try:
            self._listening = socket.create_server(("127.0.0.1", self.port))
        except OSError as error:
            raise ProviderError(f"port {self.port}: {error.strerror}") from error
        self._thread = threading.Thread(target=self._serve, args=[self._listening], daemon=True)
        self._thread.start()

    def _close(self):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        self._listening = self._thread = None

    def _serve(self, listening):
        outer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        outer.set_alpn_protocols([PROTOCOL])
        outer.sni_callback = self._choose
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), connection:
                connection.settimeout(5)
                outer.wrap_socket(connection, server_side=True).close()

    def _choose(self, tls, name, _):
        answers = self._answers.get(name)
        if not answers:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        tls.context = list(answers.values())[-1]
        return None


def server_name(challenge):
    """What the authority sends as SNI."""
    identifier = challenge.identifier
    if identifier.type == "ip":
        return ipaddress.ip_address(identifier.value).reverse_pointer
    return identifier.value


def context(challenge):
    """TLS with the certificate that answers a challenge."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_alpn_protocols([PROTOCOL])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "answer.pem")
        file.write_bytes(certificate(challenge))
        made.load_cert_chain(file)
    return made


def certificate(challenge):
    """The certificate and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "challenge")])
    identifier = challenge.identifier
    if identifier.type == "ip":
        name = x509.IPAddress(ipaddress.ip_address(identifier.value))
    else:
        name = x509.DNSName(identifier.value)
    digest = hashlib.sha256(challenge.key_authorization.encode()).digest()
    proof = x509.UnrecognizedExtension(EXTENSION, b"\x04\x20" + digest)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(9999, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(proof, critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
