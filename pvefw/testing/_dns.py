"""What both parts of the DNS kit are built on: hooks that are repeated as in core, and values."""

from collections.abc import Callable, Sequence
from typing import Any

from pvefw import seam
from pvefw.api import Task, TxtRecord
from pvefw.seam import DnsSpec
from pvefw.testing.surroundings import served

Records = Callable[[str], set[str]]
"""The TXT values at an absolute name, as the server shows them; empty where there are none."""

REPEAT_SECONDS = 20.0
"""For how long the kit repeats a call without progress, as core does for longer."""
_POLL = 0.05
_LONGEST_CALL = 300.0
"""Seconds that core gives to a call."""
_REALLY_WAITED = 10.0
"""Seconds of them that really pass."""
_HASTE = 100.0
"""How much faster than the plugin's a fake's time passes at first: it shows a job's end after some
requests, and a kit makes hundreds of calls; with each wait less, for a fake that needs a moment."""


class InTime:
    """A plugin's hooks, each call with no more time to wait than core gives it."""

    def __init__(self, hooks: DnsSpec) -> None:
        self._hooks = hooks

    def __getattr__(self, name: str) -> Any:
        hook = getattr(self._hooks, name)

        def call(*, task: Task, **arguments: Any) -> Any:
            return hook(**arguments, task=_LimitedTask(name, task))

        return call if name in ("dns_add", "dns_remove", "dns_zones") else hook


class _LimitedTask:
    """The task of one call; where much was waited for already, the rest takes no time."""

    def __init__(self, hook: str, task: Task) -> None:
        self._hook, self._task, self._waited, self._slept = hook, task, 0.0, 0.0

    def wait(self, seconds: float) -> None:
        """Wait, or fail where the call has had its time."""
        self._waited += seconds
        assert self._waited <= _LONGEST_CALL, (
            f"{self._hook} has waited for {_LONGEST_CALL:g} s, and a call may take no longer: end such a "
            "loop after some time with Unavailable, and look in each answer for a failure"
        )
        real = seconds if served() is None else min(seconds, self._waited / _HASTE)
        real = min(real, max(0.0, _REALLY_WAITED - self._slept))
        self._slept += real
        self._task.wait(real)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)


class AsCore:
    """A plugin's hooks, repeated as core repeats them while the provider is busy or out of order."""

    def __init__(self, hooks: DnsSpec) -> None:
        self._hooks = hooks
        self.added: set[TxtRecord] = set()
        """What the server may hold, for it was asked to add it, and not to remove it."""

    def dns_add(self, zone: str, records: Sequence[TxtRecord], task: Task) -> None:
        """Add, in smaller parts where the provider limits its requests."""
        self.added |= set(records)
        self._by_parts(self._hooks.dns_add, zone, records, task)

    def dns_remove(self, zone: str, records: Sequence[TxtRecord], task: Task) -> None:
        """Remove, likewise."""
        self._by_parts(self._hooks.dns_remove, zone, records, task)
        self.added -= set(records)

    def dns_zones(self, task: Task) -> Sequence[str] | None:
        """The zones."""
        return seam.repeat(lambda: self._hooks.dns_zones(task=task), REPEAT_SECONDS, task)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hooks, name)

    @staticmethod
    def _by_parts(
        hook: Callable[..., None], zone: str, records: Sequence[TxtRecord], task: Task
    ) -> None:
        def call(part: Sequence[TxtRecord]) -> None:
            hook(zone=zone, records=part, task=task)

        seam.repeat_by_parts(call, records, REPEAT_SECONDS, task)


def make_value(number: int) -> str:
    """A value like that of a dns-01 challenge: 43 characters, upper and lower case, ``-`` and ``_``."""
    return f"LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjE-_{number % 10}"


def values(name: str, count: int, start: int = 0) -> list[TxtRecord]:
    """Some values for one name."""
    return [TxtRecord(name, make_value(number)) for number in range(start, start + count)]


def shown(records: Records, name: str, expected: Sequence[TxtRecord], patience: float) -> set[str]:
    """What the server shows once it shows what is expected, or when patience is at its end."""
    until = seam.monotonic() + patience
    wanted = {record.value for record in expected}
    while (strings := records(name)) != wanted and seam.monotonic() < until:
        seam.sleep(_POLL)
    return strings
