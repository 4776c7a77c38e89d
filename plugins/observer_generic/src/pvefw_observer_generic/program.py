"""Tells a program of the administrator's own: the deploy hook."""

import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pvefw.api import (
    NOTICES,
    BootSyncedEvent,
    CertificateEvent,
    GuestPowerEvent,
    NoticeEvent,
    ProviderError,
    Task,
    hookimpl,
    run,
    setting,
)

__all__ = ["EVENTS", "Exec"]

EVENTS = (*NOTICES, "guest")


@dataclasses.dataclass
class Exec:
    """Calls PROGRAM EVENT with the event as JSON on standard input.

    The JSON has paths and names, never a key.
    """

    program: Path = setting(help="The program, as an absolute path.")
    events: list[str] = setting(
        help=f"Which events it is called for: {', '.join(EVENTS)} (default: all but guest).",
        default=list(NOTICES),
    )
    timeout: float = setting(help="Seconds that one call may take.", default=120.0)

    def __post_init__(self) -> None:
        if not self.program.is_absolute():
            raise ValueError(f"program {self.program} is not an absolute path")
        for event in self.events:
            if event not in EVENTS:
                raise ValueError(f"'{event}' is not an event; there are {', '.join(EVENTS)}")

    @hookimpl
    def on_certificate(self, event: CertificateEvent, task: Task) -> None:
        """Deploy a new certificate."""
        self._call("certificate", dataclasses.asdict(event), task)

    @hookimpl
    def on_notice(self, event: NoticeEvent, task: Task) -> None:
        """Tell of all that people are told of, but a certificate, which has a hook of its own."""
        if event.kind != "certificate":
            head = {"severity": event.severity, "subject": event.subject}
            self._call(event.kind, {"node": event.node, **head, **event.facts}, task)

    @hookimpl
    def on_boot_synced(self, event: BootSyncedEvent, task: Task) -> None:
        """Tell about ESPs that are up to date; of the others, people are notified."""
        if not event.failed:
            self._call("boot-synced", dataclasses.asdict(event), task)

    @hookimpl
    def on_guest(self, event: GuestPowerEvent, task: Task) -> None:
        """Tell of a guest."""
        self._call("guest", dataclasses.asdict(event), task)

    def _call(self, name: str, arguments: Mapping[str, Any], task: Task) -> None:
        if name not in self.events:
            return
        done = run(
            [str(self.program), name],
            input=json.dumps({"event": name, **arguments}, default=_as_text) + "\n",
            timeout=self.timeout,
            check=False,
        )
        for line in done.stdout.splitlines():
            task.log(line)
        if done.returncode != 0:
            raise ProviderError(f"{self.program.name} {name} {done.failure}")


def _as_text(value: object) -> str:
    """Times in ISO 8601, paths as they are."""
    return value.isoformat() if isinstance(value, datetime) else str(value)
