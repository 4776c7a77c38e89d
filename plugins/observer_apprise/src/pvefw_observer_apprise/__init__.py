"""Sends notifications through Apprise: chats, push services, SMS, more than a hundred of them."""

import logging
from dataclasses import dataclass

import apprise

from pvefw.api import NOTICES, NoticeEvent, ProviderError, Severity, hookimpl, setting

__all__ = ["Apprise"]

_TYPES = {
    Severity.INFO: apprise.NotifyType.INFO,
    Severity.NOTICE: apprise.NotifyType.INFO,
    Severity.WARNING: apprise.NotifyType.WARNING,
    Severity.ERROR: apprise.NotifyType.FAILURE,
}


@dataclass
class Apprise:
    """Sends each event to a service of Apprise; its URLs: https://github.com/caronc/apprise/wiki."""

    url: str = setting(
        help="The service, as Apprise writes it: tgram://…, matrix://…, ntfy://…", secret=True
    )
    events: list[str] = setting(
        help=f"What to send: {', '.join(NOTICES)} (default: all but certificate).",
        default=[notice for notice in NOTICES if notice != "certificate"],
    )

    def __post_init__(self) -> None:
        for event in self.events:
            if event not in NOTICES:
                raise ValueError(f"'{event}' is not an event; there are {', '.join(NOTICES)}")
        self._service = apprise.Apprise()
        if not self._service.add(self.url):
            raise ValueError("url is not that of a service that Apprise knows")

    @hookimpl
    def on_notice(self, event: NoticeEvent) -> None:
        """Send it, where it is one of the events to send."""
        if event.kind not in self.events:
            return
        with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as log:  # type: ignore[no-untyped-call]  # Apprise has no types there
            sent = self._service.notify(
                body="\n".join(event.lines),
                title=event.subject,
                notify_type=_TYPES[event.severity],
                body_format=apprise.NotifyFormat.TEXT,
            )
            output = " ".join(log.getvalue().split())
        if not sent:
            raise ProviderError(f"Apprise could not send it: {output or 'it does not say why'}")
