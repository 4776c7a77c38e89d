"""Mail, as a real SMTP server gets it."""

import ssl
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from servers.processes import free_port

from pvefw.api import (
    BootSyncedEvent,
    CertificateEvent,
    CredentialsRejected,
    ProviderError,
    RenewalFailedEvent,
    Unavailable,
    Urgency,
)
from pvefw.core import notices
from pvefw.testing.observer import ObserverConformance
from pvefw_observer_generic import mail
from pvefw_observer_generic.mail import Mail

END = datetime(2026, 12, 1, 8, tzinfo=UTC)
FAILED = RenewalFailedEvent(
    "pve1", ["www.example.com", "b.example"], Path("/c.pem"), END, 6.5, 4, "refused by policy"
)
NOTICE = notices.of("on_renewal_failed", FAILED)


class Postbox:
    """Keeps what it gets; refuses one address."""

    def __init__(self):
        self.letters = []

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's
        if address.startswith("nobody"):
            return "550 5.1.1 no such mailbox here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's
        self.letters.append(
            (envelope.rcpt_tos, message_from_bytes(envelope.content, policy=policy.default))
        )
        return "250 OK"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    made = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    made.cert_pem.write_to_path(str(path))
    return made, path


@pytest.fixture
def server(authority, request):
    """A server that asks for STARTTLS and a password."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("127.0.0.1").configure_cert(context)

    def who(_server, _session, _envelope, _mechanism, data):
        return AuthResult(success=data.password == b"right", handled=False)

    postbox = Postbox()
    controller = Controller(
        postbox,
        hostname="127.0.0.1",
        port=free_port(),
        tls_context=context,
        require_starttls=True,
        authenticator=who,
        auth_required=True,
    )
    controller.start()
    controller.postbox = postbox
    yield controller
    controller.stop()


def to(server, authority, **settings):
    return Mail(
        **{
            "to": ["admin@example.com", "night@example.com"],
            "sender": "pve1@example.com",
            "server": "127.0.0.1",
            "port": server.port,
            "username": "pve1",
            "password": "right",
            "ca_file": authority[1],
            **settings,
        }
    )


class TestMail(ObserverConformance):
    @pytest.fixture
    def plugin(self, server, authority):
        return to(server, authority)

    @pytest.fixture
    def heard(self, server):
        return lambda: len(server.postbox.letters)

    @pytest.fixture
    def broken_plugin(self):
        return Mail(to=["admin@example.com"], server="127.0.0.1", port=free_port())


def test_a_failure_says_what_and_how_soon(server, authority):
    to(server, authority).on_notice(NOTICE)
    [(recipients, letter)] = server.postbox.letters
    assert recipients == ["admin@example.com", "night@example.com"]
    assert letter["Subject"] == (
        "[pvefw] pve1: the certificate of www.example.com could not be renewed, 6.5 days left"
    )
    assert letter["Auto-Submitted"] == "auto-generated"
    text = letter.get_content()
    for part in ("refused by policy", "www.example.com, b.example", "Failures:    4", "--dry-run"):
        assert part in text


@pytest.mark.parametrize(
    ("urgency", "expected"),
    [(Urgency.WARNING, "WARNING: pve1"), (Urgency.EXPIRED, "it has EXPIRED")],
)
def test_the_subject_grows_louder(server, authority, urgency, expected):
    event = RenewalFailedEvent("pve1", ["a.example"], Path("/c"), END, -1.0, 9, "no", urgency)
    to(server, authority).on_notice(notices.of("on_renewal_failed", event))
    assert expected in server.postbox.letters[0][1]["Subject"]


def test_all_is_well_again_and_boot(server, authority):
    observer = to(server, authority)
    begin = END - timedelta(days=90)
    new = CertificateEvent("pve1", ["a.example"], Path("/c"), Path("/k"), begin, END, "AB")
    failed = BootSyncedEvent("pve1", [], [], {"ABCD-1234": "it is full"})
    assert notices.of("on_boot_synced", BootSyncedEvent("pve1", [], [], {})) is None
    observer.on_notice(notices.of("on_renewal_recovered", new))
    observer.on_notice(notices.installed(new))
    observer.on_notice(notices.of("on_boot_synced", failed))
    subjects = [letter["Subject"] for _, letter in server.postbox.letters]
    assert subjects == [
        "[pvefw] pve1: the certificate of a.example is renewed",
        "[pvefw] pve1: 1 ESP(s) could not be refreshed",
    ]


def test_a_wrong_password(server, authority):
    with pytest.raises(CredentialsRejected, match=rf"127.0.0.1:{server.port}: .*credentials"):
        to(server, authority, password="wrong").on_notice(NOTICE)


def test_an_address_that_is_refused(server, authority):
    with pytest.raises(ProviderError, match=r"nobody@example\.com: .*no such mailbox"):
        to(server, authority, to=["nobody@example.com"]).on_notice(
            notices.of("on_renewal_failed", FAILED)
        )


def test_one_of_three_that_is_refused_is_said_and_the_others_have_it(server, authority):
    three = ["admin@example.com", "nobody@example.com", "night@example.com"]
    with pytest.raises(ProviderError, match=r"the others only: nobody@example\.com: .*no such"):
        to(server, authority, to=three).on_notice(NOTICE)
    assert server.postbox.letters[0][0] == ["admin@example.com", "night@example.com"]


def test_certificates_to_trust_that_are_none(server, authority, tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    with pytest.raises(ProviderError, match=r"empty\.pem: the file holds no certificates"):
        to(server, authority, ca_file=empty).on_notice(NOTICE)
    with pytest.raises(ProviderError, match=r"gone\.pem: No such file"):
        to(server, authority, ca_file=tmp_path / "gone.pem").on_notice(NOTICE)


def test_a_server_that_takes_no_such_address_says_so():
    """Here the exception's context has a codec's words."""
    controller = Controller(
        Postbox(), hostname="127.0.0.1", port=free_port(), enable_SMTPUTF8=False
    )
    controller.start()
    try:
        observer = Mail(
            to=["müller@example.com"], server="127.0.0.1", port=controller.port, security="none"
        )
        with pytest.raises(ProviderError, match="does not advertise the required SMTPUTF8"):
            observer.on_notice(NOTICE)
    finally:
        controller.stop()


def test_a_certificate_that_nobody_vouches_for(server, authority):
    with pytest.raises(Unavailable, match="an authority that is not trusted"):
        to(server, authority, ca_file=None).on_notice(NOTICE)
    assert not server.postbox.letters


def test_no_server_there(authority):
    gone = Mail(to=["a@example.com"], server="127.0.0.1", port=free_port(), security="none")
    with pytest.raises(Unavailable, match="refused"):
        gone.on_notice(NOTICE)


def test_the_hosts_own_sendmail(tmp_path, monkeypatch):
    program, letter = tmp_path / "sendmail", tmp_path / "letter"
    program.write_text(f'#!/bin/sh\ntest "$*" = "-i -t" && cat > {letter}\n')
    program.chmod(0o755)
    monkeypatch.setattr(mail, "_SENDMAIL", str(program))
    Mail(to=["admin@example.com"]).on_notice(NOTICE)
    found = message_from_bytes(letter.read_bytes(), policy=policy.default)
    assert found["To"] == "admin@example.com"
    assert found["From"].startswith("root@")


def test_without_a_mail_program_and_without_a_server_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(mail, "_SENDMAIL", str(tmp_path / "sendmail"))
    with pytest.raises(ProviderError, match="no server is set") as caught:
        Mail(to=["admin@example.com"]).on_notice(notices.of("on_renewal_failed", FAILED))
    assert "pvefw observer set {instance} --data FILE" in caught.value.hint


@pytest.mark.parametrize(
    "settings",
    [
        {"to": ["nobody"]},
        {"to": []},
        {"to": ["a@"]},
        {"to": ["@b"]},
        {"to": ["a@b\nBcc: c@d"]},
        {"to": ["a@b, c@d"]},
        {"to": ["a@b"], "sender": "pve1"},
        {"to": ["a@b"], "sender": "a@b\r\nX: y"},
        {"to": ["a@b"], "password": "x", "security": "none"},
        {"to": ["a@b"], "server": "mail.example:x"},
        {"to": ["a@b"], "server": "smtp://mail.example"},
        {"to": ["a@b"], "server": "mail.example:"},
        {"to": ["a@b"], "server": "mail.example:25", "port": 587},
    ],
)
def test_settings_that_cannot_be(settings):
    with pytest.raises(ValueError, match=r"mail address|without encryption|is not HOST|says port"):
        Mail(**settings)


@pytest.mark.parametrize(
    ("server", "host", "port"),
    [
        ("mail.example", "mail.example", None),
        ("mail.example:2525", "mail.example", 2525),
        ("192.0.2.1:25", "192.0.2.1", 25),
        ("[2001:db8::1]:25", "2001:db8::1", 25),
        ("2001:db8::1", "2001:db8::1", None),
    ],
)
def test_a_server_and_its_port_are_one_word_or_two(server, host, port):
    made = Mail(to=["a@example.com"], server=server)
    assert (made.server, made.port) == (host, port)


def test_a_line_break_in_a_reason_makes_no_header(server, authority):
    event = RenewalFailedEvent("pve1", ["a\nBcc: x@evil.example"], Path("/c"), END, 1.0, 1, "no")
    to(server, authority).on_notice(notices.of("on_renewal_failed", event))
    [(recipients, letter)] = server.postbox.letters
    assert "Bcc" not in letter
    assert "x@evil.example" not in recipients
