"""Tells a program of the administrator's own: the deploy hook."""

import dataclasses
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from pvefw.api import (
    BootSyncedEvent,
    CertificateEvent,
    GuestPowerEvent,
    ProviderError,
    RenewalFailedEvent,
    ServedEvent,
    Task,
    hookimpl,
    run,
    setting,
)

__all__ = ["EVENTS", "Exec"]

EVENTS = ("certificate", "renewal-failed", "renewal-recovered", "served", "boot-synced", "guest")


@dataclasses.dataclass
class Exec:
    """Calls PROGRAM EVENT with the event as JSON on standard input.

    The JSON has paths and names, never a key.
    """

    program: Path = setting(help="The program, as an absolute path.")
    events: list[str] = setting(
        help=f"Which events it is called for, of {', '.join(EVENTS)}.",
        default=list(EVENTS[:4]),
    )
    timeout: float = setting(help="Seconds that one call may take.", default=120.0)

    def __post_init__(self) -> None:
        if not self.program.is_absolute():
            raise ValueError(f"program {self.program} is not an absolute path")
        for one in self.events:
            if one not in EVENTS:
                raise ValueError(f"'{one}' is not an event; there are {', '.join(EVENTS)}")

    @hookimpl
    def on_certificate(self, event: CertificateEvent, task: Task) -> None:
        """Deploy a new certificate."""
        self._call("certificate", event, task)

    @hookimpl
    def on_renewal_failed(self, event: RenewalFailedEvent, task: Task) -> None:
        """Tell of a failure."""
        self._call("renewal-failed", event, task)

    @hookimpl
    def on_renewal_recovered(self, event: CertificateEvent, task: Task) -> None:
        """Tell that it is over."""
        self._call("renewal-recovered", event, task)

    @hookimpl
    def on_served(self, event: ServedEvent, task: Task) -> None:
        """Tell of another certificate that is served, or that it is over."""
        self._call("served", event, task)

    @hookimpl
    def on_boot_synced(self, event: BootSyncedEvent, task: Task) -> None:
        """Tell of refreshed ESPs."""
        self._call("boot-synced", event, task)

    @hookimpl
    def on_guest(self, event: GuestPowerEvent, task: Task) -> None:
        """Tell of a guest."""
        self._call("guest", event, task)

    def _call(self, name: str, event: Any, task: Task) -> None:
        if name not in self.events:
            return
        said = {"event": name, **dataclasses.asdict(event)}
        done = run(
            [str(self.program), name],
            input=json.dumps(said, default=_as_text) + "\n",
            timeout=self.timeout,
            check=False,
        )
        for line in done.stdout.splitlines():
            task.log(line)
        if done.returncode != 0:
            raise ProviderError(
                f"{self.program.name} {name} failed with status {done.returncode}: {done.last_words}"
            )


def _as_text(value: object) -> str:
    """Times in ISO 8601, paths as they are."""
    return value.isoformat() if isinstance(value, datetime) else str(value)
