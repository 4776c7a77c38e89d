"""Up to a thousand nodes on a simulated clock, as a table and a plot for docs/many-nodes.md.

    python tools/many_nodes.py          writes docs/many-nodes-*.svg
    python tools/many_nodes.py --check  says whether they are out of date

When a node asks for its window, orders, or holds back is decided by pvefw's own code
(`pvefw.certs.renewal_rule`), as in `two_years`. The authority, the timers and the clock are simulated,
and so is that a node with a shared certificate takes over a newer one at its next look
(`pvefw.certs.sharing`).
"""

import heapq
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from two_years import BEGIN, STEPS, Pvefw, Refused, certificate, write

from pvefw.certs.chain import CertificateInfo
from pvefw.certs.renewal_rule import Record, Window

SIZES = (10, 100, 1000)
LIMIT, PERIOD = 300, timedelta(hours=3)
"""Orders of one account, as Let's Encrypt limits them; each is free again after the period."""
_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_TICK = timedelta(hours=6)
"""The timer's interval; each node has its own moment in it (FixedRandomDelay): pvefw.certs.timer."""
_RULE = Pvefw()
_LOOK = 57 * _DAY
"""When the simulation begins where nothing is revoked: nothing is due in the first 59 of 90 days."""


@dataclass
class Authority:
    """Gives windows, and issues within its limit."""

    revoked: datetime | None = None
    """When it found a fault in all that was issued before: its windows say at once."""
    limit: int = LIMIT
    orders: list[datetime] = field(default_factory=list)
    windows: list[datetime] = field(default_factory=list)
    """When somebody asked for one."""
    refused: int = 0

    def window(self, info: CertificateInfo, now: datetime) -> Window:
        """Two days around two thirds of the lifetime (RFC 9773), or at once."""
        self.windows.append(now)
        if self.revoked and info.not_before < self.revoked <= now:
            return Window(self.revoked - _DAY, self.revoked)
        middle = info.not_before + (info.not_after - info.not_before) * 2 / 3
        return Window(middle - _DAY, middle + _DAY)

    def issue(self, now: datetime) -> None:
        """Issue a certificate.

        :raises Refused: the account has had its orders for now.
        """
        recent = [order for order in self.orders[-self.limit :] if now - order < PERIOD]
        if len(recent) >= self.limit:
            self.refused += 1
            raise Refused("rateLimited", (recent[0] + PERIOD - now).total_seconds())
        self.orders.append(now)


@dataclass
class Node:
    """What :class:`two_years.Pvefw` decides about."""

    name: str
    authority: Authority
    held: CertificateInfo
    record: Record = field(default_factory=Record)


@dataclass
class Fleet:
    """Nodes whose certificates were all issued in one moment."""

    nodes: list[Node]
    authority: Authority
    shared: bool
    done: list[datetime] = field(default_factory=list)
    """When each node had its new certificate."""

    @classmethod
    def made(cls, count: int, *, shared: bool, revoked: datetime | None = None) -> "Fleet":
        """A fleet that was set up at once: the worst case for its authority."""
        authority = Authority(revoked)
        first = [
            certificate("all" if shared else f"n{at}.example", BEGIN, BEGIN + STEPS[0].lifetime)
            for at in range(count)
        ]
        nodes = [Node(f"n{at}", authority, info) for at, info in enumerate(first)]
        return cls(nodes, authority, shared)

    def live(self) -> None:
        """Until every node has a new certificate."""
        random = Random(len(self.nodes))
        begin = self.authority.revoked - _DAY if self.authority.revoked else BEGIN + _LOOK
        turns = [(begin + _TICK * random.random(), at) for at in range(len(self.nodes))]
        heapq.heapify(turns)
        while turns:
            now, at = turns[0]
            if self._look(self.nodes[at], now):
                heapq.heappop(turns)
                self.done.append(now)
            else:
                heapq.heapreplace(turns, (now + _TICK, at))

    def _look(self, node: Node, now: datetime) -> bool:
        """One run of the timer; whether the node has a new certificate then."""
        if self.shared and self.authority.orders:
            return True
        if not _RULE.due(node, now):
            return False
        try:
            self.authority.issue(now)
        except Refused as error:
            _RULE.failed(node, error, now)
            return False
        return True

    @property
    def began(self) -> datetime:
        """When the first node could order."""
        return self.authority.revoked or min(self.authority.orders)

    def most(self) -> int:
        """The most orders within the period of the limit."""
        orders, first, most = self.authority.orders, 0, 0
        for at, now in enumerate(orders):
            while now - orders[first] >= PERIOD:
                first += 1
            most = max(most, at - first + 1)
        return most

    def asked(self) -> float:
        """How often a day they asked for windows."""
        windows = self.authority.windows
        return len(windows) / max((windows[-1] - windows[0]) / _DAY, 1.0)


REVOKED = BEGIN + 10 * _DAY
CASES = {
    "one shared, by its window": (True, None),
    "one each, by their windows": (False, None),
    "one shared, revoked": (True, REVOKED),
    "one each, revoked": (False, REVOKED),
}


def lived(count: int, case: str) -> Fleet:
    """A fleet after its renewal."""
    shared, revoked = CASES[case]
    fleet = Fleet.made(count, shared=shared, revoked=revoked)
    fleet.live()
    return fleet


def page() -> str:
    """The table of docs/many-nodes.md."""
    head = ["", "nodes", "orders", "most in 3 hours", "refused", "windows asked for, a day"]
    rows = [[*head, "until all have the new pair"], ["---"] * (len(head) + 1)]
    for case in CASES:
        for count in SIZES:
            fleet = lived(count, case)
            took = (max(fleet.done) - fleet.began) / _HOUR
            numbers = [len(fleet.authority.orders), fleet.most(), fleet.authority.refused]
            cells = [
                case,
                *map(str, [count, *numbers]),
                f"{fleet.asked():.0f}",
                f"{took:.0f} hours",
            ]
            rows.append(cells)
    return "\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n\n"


# --- the plots --------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 800, 300, 50, 20, 40
_PLOTS = {"window": 60, "revoked": 12}
"""The cases in a picture by a word of their names, and its hours."""
_COLOURS = ("#1565c0", "#ad1457")


def plot(what: str, hours: int) -> str:
    """An SVG of how many of the most nodes have the new pair, over the hours."""
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-family="sans-serif" font-size="12"'
    cases = [case for case in CASES if what in case]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        f"<title>How many of {SIZES[-1]} nodes have the new pair, over the hours</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        *_axes(hours),
        *(line for at, case in enumerate(cases) for line in _curve(at, case, hours)),
        "</svg>\n",
    ]
    return "\n".join(lines)


def _x(share: float) -> float:
    return _LEFT + min(share, 1) * (_WIDTH - _LEFT - 10)


def _y(share: float) -> float:
    return _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)


def _axes(most: int) -> Iterator[str]:
    for percent in range(0, 101, 25):
        y = _y(percent / 100)
        yield f'<line x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#cccccc"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{percent} %</text>'
    for hours in range(0, most, most // 6):
        x = _x(hours / most)
        yield f'<text x="{x:.1f}" y="{_HEIGHT - 22}" text-anchor="middle">{hours} h</text>'


def _curve(at: int, case: str, most: int) -> Iterator[str]:
    fleet = lived(SIZES[-1], case)
    done = sorted((second - fleet.began) / _HOUR for second in fleet.done)
    points = [(hours, (number + 1) / len(done)) for number, hours in enumerate(done)]
    shown = " ".join(f"{_x(x / most):.1f},{_y(y):.1f}" for x, y in [*points[::10], points[-1]])
    yield f'<polyline fill="none" stroke="{_COLOURS[at]}" stroke-width="2" points="{shown}"/>'
    x, y = _LEFT + at * 200, _HEIGHT - 5
    yield f'<text x="{x}" y="{y}" fill="{_COLOURS[at]}">{case}</text>'


def wanted() -> dict[Path, str]:
    """Every picture, and its text."""
    docs = Path(__file__).resolve().parents[1] / "docs"
    return {docs / f"many-nodes-{title}.svg": plot(title, hours) for title, hours in _PLOTS.items()}


if __name__ == "__main__":
    sys.exit(write(wanted(), sys.argv[1:]))
