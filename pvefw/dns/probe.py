"""``pvefw dns test``: one record in and out again, and how long each step took."""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pvefw.core.errors import ProviderError, PvefwError
from pvefw.core.model import Task
from pvefw.dns.batches import Leftover
from pvefw.dns.propagation import Expected
from pvefw.dns.publication import Placed, Publication, Route
from pvefw.dns.resolver import Resolver, Server
from pvefw.dns.zones import Finder
from pvefw.host.clock import Clock, SystemClock
from pvefw.store.paths import Paths


@dataclass(frozen=True)
class ProbeStep:
    """One line of the time line."""

    seconds: float
    """Since the start."""
    line: str


_AGAIN = "The next command tries again, and so does: pvefw dns cleanup"

Tell = Callable[[ProbeStep], None]
"""Gets every step as it happens; from any thread."""


def probe(
    paths: Paths,
    route: Route,
    resolver: Resolver,
    task: Task,
    tell: Tell,
    *,
    clock: Clock | None = None,
) -> None:
    """Add a random value where a challenge of this domain would be, watch it, remove it.

    :raises ProviderError: a step failed; what was added is removed all the same, or named.
    """
    _Probe(paths, route, resolver, task, tell, clock or SystemClock()).run()


class _Probe:
    def __init__(
        self, paths: Paths, route: Route, resolver: Resolver, task: Task, tell: Tell, clock: Clock
    ) -> None:
        self._route = route
        self._task = task
        self._tell = tell
        self._clock = clock
        self._start = clock.monotonic()
        self._added = False
        self._publication = Publication(paths, Finder(resolver), clock)

    def run(self) -> None:
        value = secrets.token_urlsafe(32)
        placed = self._publication.locate([(self._route, frozenset([value]))], self._task)
        self._say_place(placed[0])
        try:
            self._publication.add(self._task)
            self._added = True
            self._say(f'added by {self._route.provider.name}: "{value}"')
            self._publication.wait(self._task, self._saw)
            self._say("every name server shows it")
        except PvefwError as error:
            left = self._remove()
            if left:
                error.message = f"{error.message}; {_named(left)}"
            raise
        except BaseException:
            self._remove()  # what is left has its line, and the journal keeps it
            raise
        left = self._remove()
        if left:
            raise ProviderError(_named(left), hint=_AGAIN)

    def _remove(self) -> list[Leftover]:
        left = self._publication.remove(self._task)
        for leftover in left:
            self._say(f"left: {leftover.entry}: {leftover.reason}")
        if not left and self._added:
            self._say("removed")
        return left

    def _say(self, line: str) -> None:
        self._tell(ProbeStep(self._clock.monotonic() - self._start, line))

    def _say_place(self, placed: Placed) -> None:
        for alias in placed.place.aliases:
            self._say(f"{alias} is an alias")
        self._say(f"the record is {placed.place.name}, in zone {placed.zone}")
        servers = placed.place.zone.servers
        names = ", ".join(map(str, servers)) or placed.place.zone.problem
        self._say(f"name servers: {names}")

    def _saw(self, server: Server, _expected: Expected) -> None:
        self._say(f"seen at {server}")


def _named(left: Iterable[Leftover]) -> str:
    """Every record that is left, with the reason."""
    return "the test record is left behind: " + "; ".join(
        f"{leftover.entry}: {leftover.reason}" for leftover in left
    )
