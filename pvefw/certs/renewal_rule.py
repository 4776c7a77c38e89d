"""When a certificate is due for renewal, and what is kept of earlier decisions and failures.

Whoever decides at the same moments as everybody else meets everybody else at the authority. So the
moment is spread: within the authority's window, or over the last twentieth of the lifetime before the
rule's own date. It is drawn from the certificate's fingerprint and the node's name, so that it needs no
memory and is the same in every run.
"""

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pvefw.certs.chain import CertificateInfo
from pvefw.core.model import Urgency
from pvefw.store import files
from pvefw.store.paths import Paths

_SHORT_LIVED = timedelta(days=10)
_WHOLE_DAYS = 100
"""From here on, nobody wants to read fractions."""
_SPREAD = 1 / 20
_FIRST_BACK_OFF, _LONGEST_BACK_OFF = timedelta(hours=1), timedelta(days=1)
_LONGEST_PATIENCE = timedelta(days=8)
"""Rate limits of authorities are over after a week."""


@dataclass(frozen=True)
class Window:
    """Within which the authority wants a certificate renewed (RFC 9773 section 4.2)."""

    start: datetime
    end: datetime
    explanation: str = ""
    """URL of a page for people, or empty."""


@dataclass(frozen=True)
class Decision:
    """From when on a certificate is to be renewed, and why then."""

    due: datetime
    reason: str


def decide(
    info: CertificateInfo,
    node: str,
    *,
    window: Window | None = None,
    renew_before: timedelta | None = None,
) -> Decision:
    """When a certificate is to be renewed.

    The authority's window where it gives one, else two thirds into the lifetime, half-way where that is
    under ten days; earlier where the configuration says so.

    :param window: the authority's; one that begins too late to be of use is ignored, and of none the
        last twentieth of the lifetime is used.
    :param renew_before: time before the end; one that is longer than the lifetime is ignored.
    """
    lifetime = info.not_after - info.not_before
    decision = _by_window(info, node, window) or _by_lifetime(info, node)
    if renew_before is None or renew_before >= lifetime:
        return decision
    configured = info.not_after - renew_before
    if configured >= decision.due:
        return decision
    return Decision(configured, f"renew-before is {_days(renew_before)}")


def _by_window(info: CertificateInfo, node: str, window: Window | None) -> Decision | None:
    if window is None:
        return None
    # some windows end with the certificate itself, which would leave no time for a second try
    latest = info.not_after - (info.not_after - info.not_before) * _SPREAD
    if window.start >= latest:
        return None
    # of one that begins before the certificate does, what is over already is not to be drawn
    start = max(window.start, info.not_before) if window.end > info.not_before else window.start
    due = start + (min(window.end, latest) - start) * _share(info, node)
    why = f"its authority asks for it from {window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M}"
    return Decision(due, f"{why}, see {window.explanation}" if window.explanation else why)


def _by_lifetime(info: CertificateInfo, node: str) -> Decision:
    lifetime = info.not_after - info.not_before
    share, name = (1 / 2, "half") if lifetime < _SHORT_LIVED else (2 / 3, "two thirds")
    due = info.not_before + lifetime * (share - _SPREAD * _share(info, node))
    return Decision(due, f"after {name} of its {_days(lifetime)}")


def ask_again(record: "Record", info: CertificateInfo, now: datetime) -> datetime | None:
    """When to ask for the window of a new certificate first; ``None`` for at once.

    An authority that says of each certificate that its time is over would have another one ordered at
    each look. It may mean it; once a day is enough.

    :param record: of the certificate that it replaces.
    """
    if record.window is None or record.window.end > now:
        return None
    return now + min((info.not_after - info.not_before) * _SPREAD, _LONGEST_BACK_OFF)


def _share(info: CertificateInfo, node: str) -> float:
    """From 0 to 1, evenly spread over certificates and nodes."""
    digest = hashlib.sha256(f"{info.fingerprint} {node}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def _most_patience(info: CertificateInfo, now: datetime) -> timedelta:
    """The longest wait that an authority may ask for: its clock may be wrong, or its word."""
    return min(max((info.not_after - now) / 2, _FIRST_BACK_OFF), _LONGEST_PATIENCE)


def _days(time: timedelta) -> str:
    days = time.total_seconds() / 86400
    return f"{days:.0f} days" if days >= _WHOLE_DAYS else f"{days:.3g} days"


def urgency(info: CertificateInfo, now: datetime) -> Urgency:
    """How soon somebody must act on a certificate that is not renewed."""
    left = (info.not_after - now) / (info.not_after - info.not_before)
    if left <= 0:
        return Urgency.EXPIRED
    if left <= 1 / 10:
        return Urgency.CRITICAL
    return Urgency.WARNING if left <= 1 / 5 else Urgency.NOTICE


_INTERVALS = {
    Urgency.NOTICE: timedelta(days=3),
    Urgency.WARNING: timedelta(days=1),
    Urgency.CRITICAL: timedelta(days=1),
    Urgency.EXPIRED: timedelta(days=1),
}
"""After which somebody who was told is told again: nothing twice a day, unless it gets worse."""


_WORDS = ("fingerprint", "account", "reason", "configured")
"""The fields of a record that are text, and always there."""
_TIMES = ("ask_again", "tried", "next_try", "first_due", "told")
"""The fields of a record that are times."""


# --- what is kept ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """What is known of one certificate beside what it says itself."""

    fingerprint: str = ""
    """Which one; all the rest is about that one only."""
    account: str = ""
    """URL of the ACME account it was ordered with; empty where it was not, or nobody knows.

    Records of 1.0 have the account's name."""
    profile: str | None = None
    """The profile it was ordered for, empty for none; ``None`` where nobody knows."""
    custom: bool = False
    """Set by hand: never replaced by an order that nobody asked for."""
    window: Window | None = None
    profiles: Sequence[str] | None = None
    """Those that the authority offered when it was asked last; ``None`` where it was not."""
    ask_again: datetime | None = None
    """When the authority wants to be asked for its window again."""
    failures: int = 0
    reason: str = ""
    tried: datetime | None = None
    """When it failed last."""
    next_try: datetime | None = None
    configured: str = ""
    """:func:`pvefw.certs.configured.stamp` before that try; empty where nobody knows."""
    first_due: datetime | None = None
    """When it was first found to be due; kept of the cluster's CA only."""
    told: datetime | None = None
    """When somebody was last told that it is not renewed, and how urgently."""
    told_urgency: str = ""

    def failed(
        self, reason: str, info: CertificateInfo, now: datetime, retry_after: float | None
    ) -> "Record":
        """After one more failure.

        The pause doubles from an hour to a day, and is never more than a tenth of what is left, so that
        certificates of a few days get their tries, too.

        :param retry_after: seconds that the authority asked for; not more than half of
            what is left, so that the certificate does not expire over it.
        """
        pause = min(_FIRST_BACK_OFF * 2 ** min(self.failures, 10), _LONGEST_BACK_OFF)
        pause = min(pause, max((info.not_after - now) / 10, _FIRST_BACK_OFF))
        pause = max(pause, min(timedelta(seconds=retry_after or 0), _most_patience(info, now)))
        return replace(
            self, failures=self.failures + 1, reason=reason, tried=now, next_try=now + pause
        )

    def held_back(self, now: datetime) -> bool:
        """Whether the last failure is too recent to try again. One in the future is of a wrong clock."""
        if self.next_try is None or (self.tried is not None and self.tried > now):
            return False
        return self.next_try > now

    def to_be_told(self, how: Urgency, now: datetime) -> bool:
        """Whether somebody should be told again."""
        if self.told is None or self.told > now:
            return True
        rank = list(Urgency)
        known = rank.index(Urgency(self.told_urgency)) if self.told_urgency else -1
        return rank.index(how) > known or now - self.told >= _INTERVALS[how]


def records(paths: Paths) -> dict[str, Record]:
    """What is kept, by the certificate's file name; nothing of one whose record is damaged."""
    kept = {}
    for key, values in files.read_object_if_possible(paths.renewal_state).items():
        with contextlib.suppress(*files.DAMAGED):
            kept[key] = _record(values)
    return kept


def record_of(paths: Paths, info: CertificateInfo) -> Record:
    """What is known of the certificate that is there now."""
    kept = records(paths).get(info.filename, Record())
    return kept if kept.fingerprint == info.fingerprint else Record(fingerprint=info.fingerprint)


def keep(paths: Paths, info: CertificateInfo, record: Record) -> None:
    """Keep what is known of a certificate; what was known of its predecessor goes.

    Where that cannot be done it is a warning, and found out again: no renewal waits for it.
    """
    new = replace(record, fingerprint=info.fingerprint)
    _write(paths, records(paths) | {info.filename: new})


def _write(paths: Paths, everything: Mapping[str, Record]) -> None:
    document = {key: asdict(record) for key, record in everything.items()}
    text = json.dumps(document, indent=1, default=lambda value: value.isoformat())
    files.replace_if_possible(paths.renewal_state, text.encode(), "it is found out again")


def forget(paths: Paths, certificate: Path) -> None:
    """Forget a certificate that nobody manages any more; one that is still there may be managed again."""
    kept = records(paths)
    if not certificate.exists() and certificate.name in kept:
        del kept[certificate.name]
        _write(paths, kept)


def _record(members: Mapping[str, Any]) -> Record:
    """What was kept of one certificate.

    :raises Exception: one of :data:`pvefw.store.files.DAMAGED`.
    """
    window, profiles, urgency = (members.get(key) for key in ("window", "profiles", "told_urgency"))
    return Record(
        **{
            **members,
            **{key: str(members.get(key, "")) for key in _WORDS},
            "custom": bool(members.get("custom")),
            "window": window
            and Window(_time(window["start"]), _time(window["end"]), str(window["explanation"])),
            "profiles": profiles and [str(profile) for profile in profiles],
            "failures": max(int(members.get("failures", 0)), 0),
            "told_urgency": Urgency(urgency).value if urgency else "",
            **{key: members[key] and _time(members[key]) for key in _TIMES if key in members},
        }
    )


def _time(text: str) -> datetime:
    """A time as it was kept.

    :raises ValueError: it is none, or lacks its zone.
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without its zone")
    return time
