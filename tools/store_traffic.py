"""What nodes ask of their store, counted while pvefw's own code asks it, for docs/many-nodes.md.

Two nodes of one process share a directory, which answers like any other store; what is asked of it is
counted. For more nodes the counts are multiplied: how much one node asks depends on nothing but how often
something happens to it.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from certificates import Log, own, self_signed  # type: ignore[import-not-found]  # of the tests

from pvefw.certs import following, install, renew
from pvefw.host.clock import SystemClock
from pvefw.store import node_settings, shared
from pvefw.store.paths import Paths

SIZES = (10, 100, 1000)
_KINDS = {
    "store_list": "lists",
    "store_read": "reads",
    "store_swap": "changes",
    "store_lock": "locks",
    "store_renew": "locks",
    "store_unlock": "locks",
    "store_watch": "watches",
}
_TIMERS = timedelta(days=1) / timedelta(hours=6)
_WATCHES = timedelta(days=1) / timedelta(seconds=following._WATCHED)  # noqa: SLF001 - it is the figure
_RENEWALS = 1 / 60
"""A day, of each certificate: those of 90 days are renewed after two thirds of them."""


class _EndOfTurnError(Exception):
    """Follows would go on for ever."""


class _OneTurn(SystemClock):
    def wait(self, event: Event, seconds: float) -> bool:  # noqa: ARG002 - as the clock has it
        raise _EndOfTurnError


class _Counting:
    """The hooks of a store."""

    def __init__(self, hooks: object, counts: Counter[str]) -> None:
        self._hooks, self._counts = hooks, counts

    def __getattr__(self, name: str) -> object:
        self._counts[_KINDS[name]] += 1
        return getattr(self._hooks, name)


@contextmanager
def _asked(paths: Paths) -> Iterator[Counter[str]]:
    """What a process of a node asks for in the block."""
    shared._OPEN.clear()  # noqa: SLF001 - another process would have nothing open
    counts: Counter[str] = Counter()
    there = shared.of(paths.etc_pve)
    assert there is not None
    there.hooks = _Counting(there.hooks, counts)
    yield counts


def _quiet(_line: str) -> None:
    """Nobody reads it."""


def _timer(paths: Paths) -> Counter[str]:
    with _asked(paths) as counts:
        assert renew.run(paths, _quiet, _quiet, SystemClock())
    return counts


def _turn(paths: Paths) -> Counter[str]:
    """A watch is begun, which sees nothing."""
    with (
        _asked(paths) as counts,
        mock.patch.object(following, "_WATCHED", 0.0),
        suppress(_EndOfTurnError),
    ):
        following.follow(paths, _quiet, _quiet, _OneTurn())
    return counts


def _installed(paths: Paths, name: str, begin: int) -> Counter[str]:
    with _asked(paths) as counts:
        certificate, key = self_signed(name, begin=begin)
        install.install_pair(own(paths), certificate, key, Log(), datetime.now(UTC))
    return counts


def counted() -> dict[str, Counter[str]]:
    """What one node asks, by the occasion."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(shared, "_FRESH", 3600.0):
        store = Path(folder, "store")
        store.mkdir()
        first, second = (Paths(Path(folder, name), name) for name in ("pve1", "pve2"))
        for paths in (first, second):
            paths.store_cfg.parent.mkdir(parents=True)
            paths.store_cfg.write_text(f"store: directory\npath: {store}\n")
            node_settings.change(paths, {"acmedomain0": "gui.example", "reload-command": "-"})
        _installed(first, "gui.example", -3)
        _installed(second, "gui.example", -2)
        for paths in (first, second):
            _turn(paths)
        occasions = {
            "its timer fires, and nothing is due": _timer(second),
            "its watch begins again": _turn(second),
            "it installs a pair": _installed(first, "gui.example", -1),
        }
        before = second.proxy_certificate.read_bytes()
        occasions["another has installed a pair that it wants, too"] = _turn(second)
        assert second.proxy_certificate.read_bytes() != before, "it was not taken over"
        _installed(first, "other.example", -1)
        occasions["another has installed a pair of its own"] = _turn(second)
    return occasions


def page() -> str:
    """The two tables of docs/many-nodes.md."""
    occasions = counted()
    kinds = list(dict.fromkeys(_KINDS.values()))
    rows = [["of one node, when", *kinds], ["---"] * (len(kinds) + 1)]
    rows += [
        [occasion, *(str(counts[kind]) for kind in kinds)] for occasion, counts in occasions.items()
    ]
    return f"\n{_table(rows)}\n{_table(_days(occasions))}\n"


def _days(occasions: dict[str, Counter[str]]) -> Iterator[list[str]]:
    yield ["all nodes together, a day", "nodes", "requests", "a second"]
    yield ["---"] * 4
    timer, watch, installs, wanted, others = (sum(value.values()) for value in occasions.values())
    for case, pairs, taken in (("one shared", 1, wanted), ("one each", None, others)):
        for count in SIZES:
            renewals = (pairs or count) * _RENEWALS
            each = timer * _TIMERS + watch * _WATCHES
            total = count * each + renewals * (installs + (count - 1) * taken)
            yield [case, str(count), f"{total:,.0f}", f"{total / 86_400:.1f}"]


def _table(rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
