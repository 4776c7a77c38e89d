"""Pings a check at Healthchecks.io, or a server of one's own, with each run of ``pvefw renew``."""

from dataclasses import dataclass
from pathlib import Path

from pvefw.api import RenewalsEvent, hookimpl, setting
from pvefw_observer_generic import http

__all__ = ["Healthchecks"]

_MOST_BYTES = 100_000
"""As much of a log as the service keeps."""


@dataclass
class Healthchecks:
    """Tells a check that a run began, succeeded, or failed, with what it said.

    So somebody is alerted, too, when nothing runs any longer: the service misses the ping.
    """

    url: str = setting(
        help="The check's ping URL, without /start and /fail. Anybody who knows it can ping.",
        secret=True,
    )
    ca_file: Path | None = setting(
        help="Certificates to trust instead of the system's.", default=None
    )

    def __post_init__(self) -> None:
        if not self.url.startswith(("https://", "http://")):
            raise ValueError("url is not a URL that begins with https://")

    @hookimpl
    def on_renewals(self, event: RenewalsEvent) -> None:
        """Ping."""
        end = "/start" if event.phase == "started" else "" if event.good else "/fail"
        log = "\n".join(event.lines).encode()[-_MOST_BYTES:]
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        http.send("POST", f"{self.url.rstrip('/')}{end}", log, headers, self.ca_file)
