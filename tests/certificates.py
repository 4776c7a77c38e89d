"""Certificates made for tests, and the moment that all their dates are relative to.

That moment is the machine's own, because the commands under test read the machine's clock; a simulated
clock begins at it, too. So no date of the calendar is right on some days only.
"""

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from pvefw.certs import keys
from pvefw.certs.certificate import Certificate
from pvefw.host.clock import SystemClock
from pvefw.store.node import Node

NOW = SystemClock().now().replace(microsecond=0)
"""When the tests began, in whole seconds, as certificates have them."""


class Log:
    """A task that keeps what it is told."""

    cancelled = False

    def __init__(self):
        self.lines = []
        self.warnings = []

    def log(self, message):
        self.lines.append(message)

    def warn(self, message):
        self.warnings.append(message)

    def wait(self, seconds):
        raise AssertionError(f"nobody should wait {seconds} seconds here")


def own(paths):
    """The certificate of Proxmox VE's services."""
    return Certificate.own(Node.open(paths))


class Calendar:
    """A clock that stands still until it is set."""

    def __init__(self, now=NOW):
        self.time = now

    def now(self):
        return self.time

    def monotonic(self):
        return self.time.timestamp()

    def wait(self, event, seconds):
        self.time += dt.timedelta(seconds=seconds)
        return event.is_set()


def self_signed(name="pve1.example", key_type="ec256", *, begin=-1, days=90, key=None):
    """A certificate and its key, both PEM.

    :param begin: days from now to its first moment.
    :param days: from its first moment to its last.
    """
    key = key or keys.generate(key_type)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = NOW + dt.timedelta(days=begin)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), keys.to_pem(key)
