"""Times as people type them: ``yesterday``, ``2h``, ``2026-11-25 14:00``, or a number of seconds."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGO = re.compile(r"(\d{1,6})\s*(s|m|h|d|w)[a-z]*(\s+ago)?")
_MONTHS = re.compile(r"\d+\s*mon")
_DAYS = {"today": 0, "yesterday": 1}


class Moment(click.types.IntParamType):
    """A point in time, in seconds since the epoch. Days and times are UTC, as lists show them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Seconds since the epoch, from any of the forms."""
        if isinstance(value, int):
            return value
        from pvefw.host.clock import SystemClock

        seconds = parse(value, SystemClock().now())
        if seconds is None:
            self.fail(
                f"'{value}' is not a time: give yesterday, 2h, 2026-11-25 or 2026-11-25T14:00",
                param,
                ctx,
            )
        return seconds


def parse(text: str, now: datetime) -> int | None:
    """Seconds since the epoch; ``None`` where it is not a time.

    :param text: ``now``, ``today``, ``yesterday``; a time ago as ``30 min``, ``2h``, ``3 days ago``; a
        date or a time in ISO 8601, UTC where it does not say; or the seconds themselves.
    """
    words = " ".join(text.lower().split())
    if words == "now":
        return int(now.timestamp())
    if re.fullmatch(r"-?\d{1,12}", words):
        return int(words)
    if words in _DAYS:
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return int((midnight - timedelta(days=_DAYS[words])).timestamp())
    ago = _AGO.fullmatch(words)
    if ago and not _MONTHS.match(words):
        return int(now.timestamp()) - int(ago[1]) * _UNITS[ago[2]]
    try:
        moment = datetime.fromisoformat(words.upper())
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
