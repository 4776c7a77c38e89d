"""Tells people by mail: what failed, for how long it is still good, and when all is well again."""

import smtplib
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from urllib.parse import urlsplit

from pvefw.api import (
    NOTICES,
    CredentialsRejected,
    NoticeEvent,
    ProviderError,
    Unavailable,
    cause_of,
    hookimpl,
    run,
    setting,
)
from pvefw_observer_generic import trust

__all__ = ["Mail"]

_SENDMAIL = "/usr/sbin/sendmail"
_NO_SENDMAIL = (
    "Install a mail program: apt-get install msmtp-mta\n"
    "Or set `server` of it: pvefw observer set {instance} --data FILE"
)
_PORTS = {"none": 25, "starttls": 587, "tls": 465}
_SECONDS = 60.0


@dataclass
class Mail:
    """Sends mail through the host's own sendmail(1), or through an SMTP server (RFC 5321)."""

    to: list[str] = setting(help="The addresses to write to.")
    sender: str | None = setting(
        help="The address to write from (default: root at this host's name).", default=None
    )
    server: str | None = setting(
        help="The SMTP server: HOST, HOST:PORT or [IPV6]:PORT; without it, the host's own sendmail.",
        default=None,
    )
    security: str = setting(
        help="How the connection to the server is encrypted.",
        default="starttls",
        choices=tuple(_PORTS),
    )
    port: int | None = setting(
        help="The server's port (default: 25, 587 or 465, by security).", default=None
    )
    username: str | None = setting(help="The user name for the server.", default=None)
    password: str | None = setting(help="The password.", default=None, secret=True)
    ca_file: Path | None = setting(
        help="Certificates to trust instead of the system's.", default=None
    )

    events: list[str] = setting(
        help=f"What to write about: {', '.join(NOTICES)} (default: all but certificate).",
        default=[notice for notice in NOTICES if notice != "certificate"],
    )

    def __post_init__(self) -> None:
        for event in self.events:
            if event not in NOTICES:
                raise ValueError(f"'{event}' is not an event; there are {', '.join(NOTICES)}")
        senders = [self.sender] if self.sender is not None else []
        for address in [*(self.to or [""]), *senders]:
            if not _is_address(address):
                raise ValueError(f"'{address}' is not a mail address")
        if self.server is not None:
            host, port = _split(self.server)
            if port and self.port and port != self.port:
                raise ValueError(f"server says port {port}, and port says {self.port}")
            self.server, self.port = host, port or self.port
        if self.password and self.security == "none":
            raise ValueError("a password is not sent without encryption; set security")

    @hookimpl
    def on_notice(self, event: NoticeEvent) -> None:
        """Write, where it is one of the events to write of."""
        if event.kind in self.events:
            self.send(event)

    def send(self, event: NoticeEvent) -> None:
        """Write, whatever the event."""
        message = EmailMessage()
        message["Subject"] = f"[pvefw] {' '.join(event.subject.split())}"
        message["From"] = self.sender or f"root@{socket.getfqdn()}"
        message["To"] = ", ".join(self.to)
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain="pvefw.invalid")
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers from vacation programs
        message.set_content("\n".join(event.lines) + "\n")
        if self.server is None and not Path(_SENDMAIL).exists():
            raise ProviderError(f"{_SENDMAIL} is missing, and no server is set", hint=_NO_SENDMAIL)
        if self.server is None:
            run([_SENDMAIL, "-i", "-t"], input=message.as_string(), timeout=_SECONDS)
        else:
            self._through(self.server, message)

    def _through(self, server: str, message: EmailMessage) -> None:
        port = self.port or _PORTS[self.security]
        trusted = trust.context(self.ca_file)
        try:
            with (
                smtplib.SMTP_SSL(server, port, timeout=_SECONDS, context=trusted)
                if self.security == "tls"
                else smtplib.SMTP(server, port, timeout=_SECONDS)
            ) as connection:
                if self.security == "starttls":
                    connection.starttls(context=trusted)
                if self.username:
                    connection.login(self.username, self.password or "")
                refused = connection.send_message(message)
        except smtplib.SMTPAuthenticationError as error:
            raise CredentialsRejected(f"{server}:{port}: {_words(error.smtp_error)}") from error
        except smtplib.SMTPResponseException as error:
            raise ProviderError(f"{server}:{port}: {_words(error.smtp_error)}") from error
        except smtplib.SMTPRecipientsRefused as error:
            raise ProviderError(f"{server}:{port}: {_refusals(error.recipients)}") from error
        except smtplib.SMTPNotSupportedError as error:
            raise ProviderError(f"{server}:{port}: {error}") from error
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable(f"{server}:{port}: {cause_of(error)}") from error
        if refused:
            raise ProviderError(f"{server}:{port}: sent to the others only: {_refusals(refused)}")


def _split(server: str) -> tuple[str, int | None]:
    """Host and port of ``mail.example.com:587``, ``[2001:db8::1]:25`` or a host alone.

    :raises ValueError: it is neither.
    """
    if server.count(":") > 1 and not server.startswith("["):
        return server, None  # an IPv6 address
    try:
        parts = urlsplit(f"//{server}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.netloc != server or parts.username or server.endswith(":"):
        raise ValueError(f"server: '{server}' is not HOST, HOST:PORT or [IPV6]:PORT")
    return host, port


def _is_address(text: str) -> bool:
    """Whether it is one address, perhaps with a name before it (RFC 5322 section 3.4)."""
    if any(char in text for char in "\r\n\0"):
        return False
    try:
        addresses = policy.SMTP.header_factory("To", text).addresses
    except (IndexError, ValueError):  # the library's own parser
        return False
    return len(addresses) == 1 and bool(addresses[0].username and addresses[0].domain)


def _refusals(recipients: Mapping[str, tuple[int, bytes | str]]) -> str:
    return "; ".join(f"{who}: {_words(why)}" for who, (_, why) in recipients.items())


def _words(reply: bytes | str) -> str:
    return reply.decode(errors="replace") if isinstance(reply, bytes) else reply
