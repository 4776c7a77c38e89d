"""What people are told of an event: how bad it is, a subject, and some lines."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pvefw.core import text
from pvefw.core.model import (
    BootSyncedEvent,
    CertificateEvent,
    NoticeEvent,
    RenewalFailedEvent,
    ServedEvent,
    Severity,
    Urgency,
)

_WHOLE_DAYS = 30
"""From when on tenths of a day say nothing."""
_HOW_BAD = {Urgency.NOTICE: Severity.NOTICE, Urgency.WARNING: Severity.WARNING}


def of(hook: str, event: Any) -> NoticeEvent | None:
    """What people are told of an event that has a hook of its own; nothing of some.

    :param hook: ``on_served`` and so on.
    """
    match hook:
        case "on_renewal_failed":
            return renewal_failed(event)
        case "on_renewal_recovered":
            return _recovered(event)
        case "on_served":
            return _served(event)
        case "on_boot_synced":
            return _synced(event) if event.failed else None
    return None


def renewal_failed(event: RenewalFailedEvent) -> NoticeEvent:
    """A certificate is not being renewed: an order failed, or none can be placed."""
    expired = event.urgency is Urgency.EXPIRED
    days = round(event.days_left, 1 if event.days_left < _WHOLE_DAYS else None)
    left = "it has EXPIRED" if expired else f"{text.counted(days, 'day')} left"
    name = event.names[0] if event.names else event.certificate.name
    mark = "" if event.urgency is Urgency.NOTICE else f"{event.urgency.value.upper()}: "
    what = "could not be renewed" if event.failures else "is not being renewed"
    return NoticeEvent(
        event.node,
        "renewal-failed" if event.failures else "renewal-overdue",
        _HOW_BAD.get(event.urgency, Severity.ERROR),
        f"{mark}{event.node}: the certificate of {name} {what}, {left}",
        [
            f"Node:        {event.node}",
            f"Certificate: {event.certificate}",
            f"Names:       {', '.join(event.names)}",
            f"Valid until: {event.not_after:%Y-%m-%d %H:%M} UTC ({left})",
            f"Failures:    {event.failures}",
            "",
            event.reason,
            "",
            "See what pvefw would do:  pvefw renew --dry-run",
            f"Try again now:            {_renewing(event.certificate)}",
        ],
        _facts(event),
    )


def _renewing(certificate: Path) -> str:
    """The command that renews it at once; ``pvefw renew`` waits for the time of its next try."""
    if certificate.name == "pve-ssl.pem":
        return "pvefw cert node refresh"
    if certificate.name == "pve-root-ca.pem":
        return "pvefw cert ca rollover"
    own = certificate.name == "pveproxy-ssl.pem"
    return "pvefw acme cert renew" if own else f"pvefw acme cert renew {certificate.stem}"


def _recovered(event: CertificateEvent) -> NoticeEvent:
    return NoticeEvent(
        event.node,
        "renewal-recovered",
        Severity.INFO,
        f"{event.node}: the certificate of {_name(event)} is renewed",
        [
            f"The certificate {event.certificate} is renewed, after earlier failures.",
            f"It is valid until {event.not_after:%Y-%m-%d %H:%M} UTC.",
        ],
        _facts(event),
    )


def installed(event: CertificateEvent) -> NoticeEvent:
    """A new certificate is in place."""
    return NoticeEvent(
        event.node,
        "certificate",
        Severity.INFO,
        f"{event.node}: a new certificate of {_name(event)} is installed",
        [f"{event.certificate} is valid until {event.not_after:%Y-%m-%d %H:%M} UTC."],
        _facts(event),
    )


def _served(event: ServedEvent) -> NoticeEvent:
    if not event.reason:
        subject = f"{event.node}: {event.address} serves the certificate {event.name} again"
        lines = [f"{event.address} serves {event.certificate} again."]
        return NoticeEvent(event.node, "served", Severity.INFO, subject, lines, _facts(event))
    return NoticeEvent(
        event.node,
        "served",
        Severity.ERROR,
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
        _facts(event),
    )


def _synced(event: BootSyncedEvent) -> NoticeEvent:
    lines = [f"{uuid}: {reason}" for uuid, reason in event.failed.items()]
    subject = f"{event.node}: {len(event.failed)} ESP(s) could not be refreshed"
    return NoticeEvent(
        event.node,
        "boot-synced",
        Severity.ERROR,
        subject,
        [*lines, "", "See: pvefw boot status"],
        _facts(event),
    )


def esps_out_of_step(node: str, problems: Sequence[str]) -> NoticeEvent:
    """ESPs were found missing or half refreshed, though no refresh is under way."""
    return NoticeEvent(
        node,
        "boot-synced",
        Severity.ERROR,
        f"{node}: {len(problems)} ESP(s) are missing or out of date",
        [
            *problems,
            "",
            "See:                    pvefw boot status",
            "Bring them up to date:  pvefw boot refresh",
        ],
        {"problems": list(problems)},
    )


def boot_unexpected(node: str, wanted: str, running: str) -> NoticeEvent:
    """Another kernel runs than the one that was asked for."""
    return NoticeEvent(
        node,
        "boot-unexpected",
        Severity.WARNING,
        f"{node}: kernel {running} is running instead of {wanted}",
        [
            f"Kernel {wanted} was requested, but the host has started {running}.",
            "",
            "See: pvefw boot status",
        ],
        {"wanted": wanted, "running": running},
    )


def bulk_failed(node: str, command: str, problems: Sequence[str]) -> NoticeEvent:
    """Guests are not as a bulk action wanted them."""
    return NoticeEvent(
        node,
        "bulk-failed",
        Severity.ERROR,
        f"{node}: {command}: {len(problems)} failed",
        [*problems, "", "See: pvefw task list --errors"],
        {"command": command, "problems": list(problems)},
    )


def not_delivered(node: str, late: str, why: str) -> NoticeEvent:
    """A new certificate is installed, and something goes on with the old one.

    :param late: a target, an observer or ``reload-command``, as ``pvefw status`` calls it.
    """
    return NoticeEvent(
        node,
        "not-delivered",
        Severity.ERROR,
        f"{node}: a new certificate was not delivered: {late}",
        [why, "", "Try again: pvefw renew"],
        {"late": late, "reason": why},
    )


def timer_missing(node: str) -> NoticeEvent:
    """Certificates are there that have to be renewed, and nothing does so by itself."""
    return NoticeEvent(
        node,
        "timer-missing",
        Severity.WARNING,
        f"{node}: nothing renews the certificates by itself",
        [
            "Neither a timer nor a cron job runs pvefw renew.",
            "",
            "Install it: pvefw renew install-timer",
        ],
    )


def _facts(event: Any) -> dict[str, Any]:
    # not asdict(), which copies every value: some of them are not ours
    return {
        field_.name: getattr(event, field_.name)
        for field_ in fields(event)
        if field_.name != "node"
    }


def _name(event: CertificateEvent) -> str:
    return event.names[0] if event.names else event.certificate.name
