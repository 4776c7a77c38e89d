"""Time. Nothing else in pvefw reads a clock, so tests can stand in for it."""

import threading
from datetime import UTC, datetime
from math import isnan
from time import monotonic
from typing import Protocol

_LONGEST = 366 * 86400.0


class Clock(Protocol):
    """Time, as code that waits sees it."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Sleep until the event is set or the seconds are over; whether it is set."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        # others say how long: what is no number, or is endless, must not come out as a fault of ours
        return event.wait(min(max(seconds, 0.0), _LONGEST) if not isnan(seconds) else 0.0)
