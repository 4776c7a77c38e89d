"""Tells people by mail: what failed, for how long it is still good, and when all is well again."""

import smtplib
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

from pvefw.api import (
    BootSyncedEvent,
    CertificateEvent,
    CredentialsRejected,
    ProviderError,
    RenewalFailedEvent,
    Unavailable,
    Urgency,
    cause_of,
    hookimpl,
    run,
    setting,
)

__all__ = ["Mail"]

_SENDMAIL = "/usr/sbin/sendmail"
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
        help="The SMTP server; without it, the host's own sendmail is used.", default=None
    )
    security: str = setting(
        help="How the connection to the server is encrypted.",
        default="starttls",
        choices=tuple(_PORTS),
    )
    port: int | None = setting(
        help="The server's port (default: 25, 587 or 465, by security).", default=None
    )
    username: str | None = setting(help="Who we are to the server.", default=None)
    password: str | None = setting(help="The password.", default=None, secret=True)
    ca_file: Path | None = setting(
        help="Certificates to trust instead of the system's.", default=None
    )

    def __post_init__(self) -> None:
        wrong = next((one for one in self.to if "@" not in one), None)
        if wrong or not self.to:
            raise ValueError(f"'{wrong or ''}' is not a mail address")
        if self.password and self.security == "none":
            raise ValueError("a password is not sent without encryption; set security")

    @hookimpl
    def on_renewal_failed(self, event: RenewalFailedEvent) -> None:
        """Tell that a certificate is not being renewed."""
        expired = event.urgency is Urgency.EXPIRED
        left = "it has EXPIRED" if expired else f"{event.days_left:.1f} days left"
        name = event.names[0] if event.names else event.certificate.name
        mark = "" if event.urgency is Urgency.NOTICE else f"{event.urgency.value.upper()}: "
        self._send(
            f"{mark}{event.node}: the certificate of {name} could not be renewed, {left}",
            [
                f"Node:        {event.node}",
                f"Certificate: {event.certificate}",
                f"Names:       {', '.join(event.names)}",
                f"Good until:  {event.not_after:%Y-%m-%d %H:%M} UTC ({left})",
                f"Failures:    {event.failures}",
                "",
                event.reason,
                "",
                "See what pvefw would do:  pvefw renew --dry-run",
                "Try again now:            pvefw renew",
            ],
        )

    @hookimpl
    def on_renewal_recovered(self, event: CertificateEvent) -> None:
        """Tell that all is well again."""
        name = event.names[0] if event.names else event.certificate.name
        self._send(
            f"{event.node}: the certificate of {name} is renewed",
            [
                f"The certificate {event.certificate} is renewed, after earlier failures.",
                f"It is good until {event.not_after:%Y-%m-%d %H:%M} UTC.",
            ],
        )

    @hookimpl
    def on_boot_synced(self, event: BootSyncedEvent) -> None:
        """Tell of ESPs that could not be refreshed."""
        if event.failed:
            self._send(
                f"{event.node}: {len(event.failed)} ESP(s) could not be refreshed",
                [f"{uuid}: {reason}" for uuid, reason in event.failed.items()]
                + ["", "See: pvefw boot status"],
            )

    def _send(self, subject: str, lines: Sequence[str]) -> None:
        message = EmailMessage()
        message["Subject"] = f"[pvefw] {' '.join(subject.split())}"
        message["From"] = self.sender or f"root@{socket.getfqdn()}"
        message["To"] = ", ".join(self.to)
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain="pvefw.invalid")
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers from vacation programs
        message.set_content("\n".join(lines) + "\n")
        if self.server is None:
            run([_SENDMAIL, "-i", "-t"], input=message.as_string(), timeout=_SECONDS)
        else:
            self._through(self.server, message)

    def _through(self, server: str, message: EmailMessage) -> None:
        port = self.port or _PORTS[self.security]
        trusted = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
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
                connection.send_message(message)
        except smtplib.SMTPAuthenticationError as error:
            raise CredentialsRejected(f"{server}:{port}: {_words(error.smtp_error)}") from error
        except smtplib.SMTPResponseException as error:
            raise ProviderError(f"{server}:{port}: {_words(error.smtp_error)}") from error
        except smtplib.SMTPRecipientsRefused as error:
            said = "; ".join(f"{who}: {_words(why)}" for who, (_, why) in error.recipients.items())
            raise ProviderError(f"{server}:{port}: {said}") from error
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable(f"{server}:{port}: {cause_of(error)}") from error


def _words(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said
