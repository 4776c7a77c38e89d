"""Two years of renewals on a simulated clock, as a table and a plot for docs/renewals.md.

    python tools/two_years.py          writes docs/renewals-*.svg
    python tools/two_years.py --check  says whether they are out of date

What decides is pvefw's own code (`pvefw.certs.renewal_rule`); the authority, the timer and the clock are
simulated. `FixedDays` beside it is what other tools do: renew a number of days before the end, and
ask nobody.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Protocol

from pvefw.certs import renewal_rule
from pvefw.certs.chain import CertificateInfo
from pvefw.certs.renewal_rule import Record, Window

BEGIN, END = datetime(2026, 12, 1, tzinfo=UTC), datetime(2028, 12, 1, tzinfo=UTC)
HOSTS = 20
"""Of each size; they differ in when their timer fires and when their first certificate was issued."""
SIZES = (1, 6, 50)
"""Names in a certificate."""

_DAY = timedelta(days=1)
_TICK = timedelta(hours=6)
"""The timer's interval; see pvefw.certs.timer."""
_ASK_AGAIN = timedelta(hours=6)
"""What the authority answers as Retry-After with a window."""


@dataclass(frozen=True)
class Step:
    """What the authority issues from a day on."""

    begin: datetime
    lifetime: timedelta
    reuse: timedelta
    """How long a validated name needs no new validation."""


STEPS = (
    Step(datetime(2020, 1, 1, tzinfo=UTC), 90 * _DAY, 30 * _DAY),
    Step(datetime(2027, 2, 10, tzinfo=UTC), 64 * _DAY, 10 * _DAY),
    Step(datetime(2028, 2, 16, tzinfo=UTC), 45 * _DAY, timedelta(hours=7)),
)
"""Let's Encrypt's profile `classic`, as announced."""


class Refused(Exception):
    """The authority does not issue now."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass
class Authority:
    """Issues as announced, with bad days between."""

    down: Sequence[tuple[datetime, datetime]] = (
        (datetime(2027, 5, 4, tzinfo=UTC), datetime(2027, 5, 7, tzinfo=UTC)),
        (datetime(2028, 6, 20, tzinfo=UTC), datetime(2028, 6, 23, tzinfo=UTC)),
    )
    discovered: datetime = datetime(2027, 9, 9, tzinfo=UTC)
    """A fault in all that was issued before; from now on its windows say: at once."""
    revoked: datetime = datetime(2027, 9, 14, tzinfo=UTC)
    """When what has the fault is revoked (five days: Baseline Requirements section 4.9.1.1)."""
    limited: tuple[datetime, datetime] = (
        datetime(2027, 12, 6, tzinfo=UTC),
        datetime(2027, 12, 8, tzinfo=UTC),
    )
    """Between these it answers rateLimited, with the time that is left, capped at a day."""

    def step(self, now: datetime) -> Step:
        return [step for step in STEPS if step.begin <= now][-1]

    def window(self, info: CertificateInfo, now: datetime) -> Window:
        """Two days around two thirds of the lifetime (RFC 9773), or at once where it is to be revoked.

        :raises Refused: it does not answer.
        """
        self._answer(now)
        if info.not_before < self.discovered <= now:
            return Window(self.discovered - _DAY, self.discovered)
        middle = info.not_before + (info.not_after - info.not_before) * 2 / 3
        return Window(middle - _DAY, middle + _DAY)

    def issue(self, now: datetime, name: str) -> CertificateInfo:
        """A certificate.

        :raises Refused: it is down, or too much was asked of it.
        """
        self._answer(now)
        begin, end = self.limited
        if begin <= now < end:
            raise Refused("rateLimited", min((end - now).total_seconds(), 86400.0))
        return certificate(name, now, now + self.step(now).lifetime)

    def useful_until(self, info: CertificateInfo) -> datetime:
        """When a certificate is of no more use: its end, or its revocation."""
        return (
            min(info.not_after, self.revoked)
            if info.not_before < self.discovered
            else info.not_after
        )

    def _answer(self, now: datetime) -> None:
        if any(begin <= now < end for begin, end in self.down):
            raise Refused("no answer")


def certificate(name: str, begin: datetime, end: datetime) -> CertificateInfo:
    """What decides of a certificate: its dates, and a fingerprint of its own."""
    return CertificateInfo(
        filename="pveproxy-ssl.pem",
        fingerprint=f"{name} {begin.isoformat()}",
        subject="",
        issuer="",
        not_before=begin,
        not_after=end,
        public_key_type="",
        public_key_bits=0,
        san=(name,),
        pem="",
    )


class Rule(Protocol):
    """When a host renews."""

    def due(self, host: "Host", now: datetime) -> bool:
        """Whether to order now."""

    def failed(self, host: "Host", error: Refused, now: datetime) -> None:
        """Take note of an order that failed."""


class Issuer(Protocol):
    """Who says when a certificate is to be renewed."""

    def window(self, info: CertificateInfo, now: datetime) -> Window:
        """The window that it suggests.

        :raises Refused: it does not answer.
        """


class Holder(Protocol):
    """What has one certificate."""

    name: str
    held: CertificateInfo
    record: Record

    @property
    def authority(self) -> Issuer:
        """Where its certificate comes from."""


class Pvefw:
    """As ``pvefw renew`` decides: asks for the window, holds back after a failure."""

    def due(self, host: Holder, now: datetime) -> bool:
        record = host.record
        if record.ask_again is None or record.ask_again <= now:
            with suppress(Refused):  # the last window counts
                record = replace(record, window=host.authority.window(host.held, now))
            host.record = record = replace(record, ask_again=now + _ASK_AGAIN)
        due = renewal_rule.decide(host.held, host.name, window=record.window).due
        return due <= now and (record.next_try is None or record.next_try <= now)

    def failed(self, host: Holder, error: Refused, now: datetime) -> None:
        host.record = host.record.failed(str(error), host.held, now, error.retry_after)


@dataclass(frozen=True)
class FixedDays:
    """Days before the end, looked at once a day, whatever the lifetime; no window is asked for."""

    days: float = 30.0

    def due(self, host: "Host", now: datetime) -> bool:
        daily = (now - BEGIN) % _DAY < _TICK
        return daily and host.held.not_after - now <= self.days * _DAY

    def failed(self, host: "Host", error: Refused, now: datetime) -> None:
        """Tomorrow is another day."""


@dataclass
class Host:
    """One host with one certificate."""

    name: str
    names: int
    authority: Authority
    held: CertificateInfo
    record: Record = field(default_factory=Record)
    orders: list[datetime] = field(default_factory=list)
    refused: int = 0
    validations: int = 0
    gap: timedelta = timedelta(0)
    """How long it served nothing of use."""
    least: timedelta = timedelta.max
    """The shortest time that a certificate had left when the next one came."""
    validated: datetime = BEGIN - 365 * _DAY

    def live(self, rule: Rule, watch: Callable[[datetime, "Host"], None]) -> None:
        """Until the end of the two years."""
        now = BEGIN + _TICK * Random(self.name).random()
        while now < END:
            watch(now, self)
            if rule.due(self, now):
                self._order(rule, now)
            until = self.authority.useful_until(self.held)
            self.gap += max(min(now + _TICK, END) - max(now, until), timedelta(0))
            now += _TICK

    def _order(self, rule: Rule, now: datetime) -> None:
        try:
            new = self.authority.issue(now, self.name)
        except Refused as error:
            self.refused += 1
            rule.failed(self, error, now)
            return
        self.least = min(self.least, self.authority.useful_until(self.held) - now)
        if now - self.validated > self.authority.step(now).reuse:
            self.validated, self.validations = now, self.validations + self.names
        self.orders.append(now)
        self.held, self.record = new, Record()


def hosts(names: int) -> Iterator[Host]:
    """Hosts whose first certificate is of any age within the first step's two thirds."""
    for number in range(HOSTS):
        name = f"n{number}.{names}.example"
        begin = BEGIN - 58 * _DAY * number / HOSTS
        first = certificate(name, begin, begin + STEPS[0].lifetime)
        yield Host(name, names, Authority(), first, validated=begin)


def lived(rule: Rule, names: int) -> list[Host]:
    """All hosts of a size, after two years."""
    hosts_ = list(hosts(names))
    for host in hosts_:
        host.live(rule, lambda _now, _host: None)
    return hosts_


def needed(host: Host) -> int:
    """Orders of somebody who knows all that is to come, each on the last day of its window."""
    authority = Authority()
    first = next(other for other in hosts(host.names) if other.name == host.name)
    held, count = first.held, 0
    while True:
        at = held.not_before + (held.not_after - held.not_before) * 2 / 3 + _DAY
        if held.not_before < authority.discovered and authority.revoked < at:
            at = authority.revoked
        if at >= END:
            return count
        held, count = certificate("", at, at + authority.step(at).lifetime), count + 1


# --- the page ---------------------------------------------------------------------------------------

RULES: dict[str, Rule] = {"pvefw": Pvefw(), "30 days before the end": FixedDays()}


def page() -> str:
    """The table of docs/renewals.md."""
    head = ["", "names", "orders of a host", "needed", "refused", "validations of a name"]
    head += ["least time left", "served nothing valid"]
    rows = [
        [title, str(names), *_row(lived(rule, names), names)]
        for title, rule in RULES.items()
        for names in SIZES
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n\n"


def _row(results: Sequence[Host], names: int) -> list[str]:
    orders = [len(result.orders) for result in results]
    validations = [result.validations / names for result in results]
    least, gap = min(result.least for result in results), max(result.gap for result in results)
    return [
        _span(orders),
        _span([needed(result) for result in results]),
        _span([result.refused for result in results]),
        _span(validations),
        f"{least / _DAY:.1f} days" if least > timedelta(0) else "none",
        f"up to {gap / _DAY:.1f} days" if gap else "never",
    ]


def _span(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"


# --- the plot ---------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 800, 300, 50, 20, 40
_MOST_DAYS = 90
_SHOWN = 4
"""The host in the picture."""


def plot(rule: Rule, title: str) -> str:
    """An SVG of the days that a host's certificate has left, over two years."""
    host = list(hosts(1))[_SHOWN]
    points: list[str] = []

    def watch(now: datetime, at: Host) -> None:
        left = (at.authority.useful_until(at.held) - now) / _DAY
        points.append(f"{_x(now):.1f},{_y(max(left, 0)):.1f}")

    host.live(rule, watch)
    line = (
        f'<polyline fill="none" stroke="#1565c0" stroke-width="1.5" points="{" ".join(points)}"/>'
    )
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-family="sans-serif" font-size="12"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        f"<title>{title}: days that are left, over two years</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        *_axes(),
        *_bad_days(host.authority),
        line,
        "</svg>\n",
    ]
    return "\n".join(lines)


def _x(now: datetime) -> float:
    return _LEFT + (now - BEGIN) / (END - BEGIN) * (_WIDTH - _LEFT - 10)


def _y(days: float) -> float:
    return _TOP + (1 - days / _MOST_DAYS) * (_HEIGHT - _TOP - _BOTTOM)


def _axes() -> Iterator[str]:
    for days in range(0, _MOST_DAYS + 1, 30):
        y = _y(days)
        yield f'<line x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#cccccc"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{days} d</text>'
    for year, month in ((2027, 1), (2027, 7), (2028, 1), (2028, 7)):
        at = _x(datetime(year, month, 1, tzinfo=UTC))
        yield f'<text x="{at:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{year}-{month:02}</text>'


def _bad_days(authority: Authority) -> Iterator[str]:
    spans = [*((begin, end, "down") for begin, end in authority.down)]
    spans.append((authority.discovered, authority.revoked, "revoked"))
    spans.append((*authority.limited, "rate limit"))
    spans += [(step.begin, step.begin, f"{step.lifetime.days} days") for step in STEPS[1:]]
    for begin, end, span in spans:
        x, width = _x(begin), max(_x(end) - _x(begin), 1.0)
        size = f'width="{width:.1f}" height="{_HEIGHT - _TOP - _BOTTOM}"'
        yield f'<rect x="{x:.1f}" y="{_TOP}" {size} fill="#e53935" opacity="0.35"/>'
        yield f'<text x="{x:.1f}" y="{_TOP - 6}" text-anchor="middle">{span}</text>'


def wanted() -> dict[Path, str]:
    """Every picture, and its text."""
    docs = Path(__file__).resolve().parents[1] / "docs"
    names = ("renewals-pvefw.svg", "renewals-fixed.svg")
    pairs = zip(names, RULES.items(), strict=True)
    return {docs / name: plot(rule, title) for name, (title, rule) in pairs}


def write(wanted: Mapping[Path, str], arguments: Sequence[str]) -> int:
    """Write the pictures; or, with ``--check``, say which are out of date.

    :returns: the exit status.
    """
    stale = {
        path: text for path, text in wanted.items() if not path.exists() or path.read_text() != text
    }
    for path, text in stale.items():
        if "--check" in arguments:
            print(f"{path.name} is out of date: make docs", file=sys.stderr)
        else:
            path.write_text(text)
    return int("--check" in arguments and bool(stale))


if __name__ == "__main__":
    sys.exit(write(wanted(), sys.argv[1:]))
