"""Whether a matcher of Proxmox VE's notifications matches: severities, fields, and times of the week."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Protocol

from pvefw.api import ProviderError, Severity

__all__ = ["matches"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIMES = re.compile(r"(\d{1,2})(?::(\d{2}))?-(\d{1,2})(?::(\d{2}))?")
_FIELD = re.compile(r"(?:(exact|regex):)?([^=]+)=(.*)")


class Rules(Protocol):
    """A section of the configuration."""

    id: str

    def all(self, key: str) -> list[str]:
        """The values of a key."""

    def get(self, key: str, default: str = "") -> str:
        """The last value of a key."""

    def is_on(self, key: str) -> bool:
        """Whether a switch is on."""


def matches(matcher: Rules, fields: Mapping[str, str], severity: Severity, now: datetime) -> bool:
    """Whether all rules of a matcher hold, or any where its mode says so; without rules, always.

    :param now: in the time of the host.
    :raises ProviderError: a rule of it cannot be read.
    """
    rules = list(_each(matcher, fields, severity, now))
    together = any if matcher.get("mode", "all") == "any" else all
    fits = together(rules) if rules else True
    return fits != matcher.is_on("invert-match")


def _each(
    matcher: Rules, fields: Mapping[str, str], severity: Severity, now: datetime
) -> Iterator[bool]:
    for severities in matcher.all("match-severity"):
        yield severity.value in re.split(r"[,\s]+", severities)
    for field_ in matcher.all("match-field"):
        yield _field(matcher.id, field_, fields)
    for calendar in matcher.all("match-calendar"):
        yield _calendar(matcher.id, calendar, now)


def _field(id_: str, rule: str, fields: Mapping[str, str]) -> bool:
    match = _FIELD.fullmatch(rule)
    if match is None:
        raise ProviderError(f"matcher {id_}: match-field {rule} is not KIND:FIELD=VALUE")
    value = fields.get(match[2])
    if value is None:
        return False
    if match[1] != "regex":
        return value in [part.strip() for part in match[3].split(",")]
    try:
        return re.search(match[3], value) is not None
    except re.error as error:
        raise ProviderError(f"matcher {id_}: match-field {rule}: {error}") from error


def _calendar(id_: str, rule: str, now: datetime) -> bool:
    """A time of the week: ``mon..fri 9-17:30``, ``sat,sun 8-12`` or ``8-17``."""
    *days, times = rule.lower().split() or [""]
    match = _TIMES.fullmatch(times)
    allowed = {day for part in ",".join(days).split(",") if part for day in _days(part)}
    if match is None or not allowed <= set(_DAYS) or "" in allowed:
        raise ProviderError(f"matcher {id_}: match-calendar {rule} is not DAYS TIME-TIME")
    begin = int(match[1]) * 60 + int(match[2] or 0)
    end = int(match[3]) * 60 + int(match[4] or 0)
    today = not days or _DAYS[now.weekday()] in allowed
    return today and begin <= now.hour * 60 + now.minute <= end


def _days(text: str) -> Iterator[str]:
    first, _, last = text.partition("..")
    begin, end = first[:3], (last or first)[:3]
    if begin not in _DAYS or end not in _DAYS:
        yield ""
        return
    number = _DAYS.index(begin)
    while True:
        yield _DAYS[number]
        if _DAYS[number] == end:
            return
        number = (number + 1) % len(_DAYS)
