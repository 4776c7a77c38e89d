"""What people are told of an event: a subject, and some lines."""

from dataclasses import dataclass

from pvefw.api import BootSyncedEvent, CertificateEvent, RenewalFailedEvent, ServedEvent, Urgency

__all__ = ["Message", "installed", "recovered", "renewal_failed", "served", "synced"]


@dataclass(frozen=True)
class Message:
    """For people; the texts of an event in it may be of any kind."""

    subject: str
    lines: list[str]


def renewal_failed(event: RenewalFailedEvent) -> Message:
    """A certificate is not being renewed."""
    expired = event.urgency is Urgency.EXPIRED
    left = "it has EXPIRED" if expired else f"{event.days_left:.1f} days left"
    name = event.names[0] if event.names else event.certificate.name
    mark = "" if event.urgency is Urgency.NOTICE else f"{event.urgency.value.upper()}: "
    return Message(
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


def recovered(event: CertificateEvent) -> Message:
    """All is well again."""
    return Message(
        f"{event.node}: the certificate of {_name(event)} is renewed",
        [
            f"The certificate {event.certificate} is renewed, after earlier failures.",
            f"It is good until {event.not_after:%Y-%m-%d %H:%M} UTC.",
        ],
    )


def installed(event: CertificateEvent) -> Message:
    """A new certificate is in place."""
    return Message(
        f"{event.node}: a new certificate of {_name(event)} is installed",
        [f"{event.certificate} is good until {event.not_after:%Y-%m-%d %H:%M} UTC."],
    )


def served(event: ServedEvent) -> Message:
    """Something else is served than what is installed, or that is over."""
    if not event.reason:
        return Message(
            f"{event.node}: {event.address} serves the certificate {event.name} again",
            [f"{event.address} serves {event.certificate} again."],
        )
    return Message(
        f"{event.node}: {event.address} does not serve the certificate {event.name}",
        [
            f"Node:        {event.node}",
            f"Certificate: {event.certificate}",
            f"Address:     {event.address}",
            "",
            event.reason,
            "",
            f"Look again:        pvefw cert check {event.name}",
            f"Deliver it again:  pvefw cert deploy {event.name}",
        ],
    )


def synced(event: BootSyncedEvent) -> Message | None:
    """ESPs could not be refreshed; nothing where all could."""
    if not event.failed:
        return None
    return Message(
        f"{event.node}: {len(event.failed)} ESP(s) could not be refreshed",
        [f"{uuid}: {reason}" for uuid, reason in event.failed.items()]
        + ["", "See: pvefw boot status"],
    )


def _name(event: CertificateEvent) -> str:
    return event.names[0] if event.names else event.certificate.name
