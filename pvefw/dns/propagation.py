"""Waiting until every authoritative server of a zone shows what was added to it."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from pvefw.core.errors import AnswersDisplaced, ProviderError
from pvefw.core.model import Task
from pvefw.dns import parallel
from pvefw.dns.resolver import NoAnswer, NoRoute, Resolver, Server, question
from pvefw.dns.zones import Zone, referral
from pvefw.host.clock import Clock

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.02, 0.75, 1.5
_QUESTION_SECONDS = 2.0
_SHORTEST_QUESTION = 0.1
_OTHER_PORT = "if it listens on another port: pvefw config set --authority-port PORT"
_NAMES_SAID = 5
"""How many lagging names an error lists."""
MAX_SERVERS = 256
"""Watched at once; each needs a thread, which mostly sleeps."""


@dataclass(frozen=True)
class Expected:
    """Values that all servers of a zone are to show at one name."""

    name: str
    values: frozenset[str]
    zone: Zone
    delay: float
    """Seconds from now on: how long to wait for servers that lag or cannot be reached."""


Seen = Callable[[Server, Expected], None]
"""Told as soon as a server shows what is expected of it; from any thread."""


class State(StrEnum):
    """What a server makes of a question."""

    SEEN = "seen"
    LAGS = "lags"
    """It answers with authority, but without (all of) the values."""
    FAILS = "fails"
    """It answers with an error: SERVFAIL, REFUSED …"""
    SILENT = "silent"
    """It does not answer, or something on the way answers in its place."""
    NO_ROUTE = "no route"


@dataclass(frozen=True)
class Verdict:
    """What one server last said about one name."""

    server: Server
    expected: Expected
    state: State
    remark: str = ""
    texts: frozenset[str] = frozenset()
    """The values that it shows at the name."""
    ttl: float = 0.0
    """Seconds for which they may be remembered."""


def wait(
    expected: Sequence[Expected],
    resolver: Resolver,
    task: Task,
    clock: Clock,
    seen: Seen | None = None,
) -> None:
    """Ask every server, often at first, until all show everything.

    A server that cannot be asked is waited for until the delay is over, and then ignored: the delay is
    the fallback. It is the upper bound, too, for a server that answers, but not with the values: that
    is an error, because the authority would see the same.

    :param seen: called for every server and name as soon as it shows.
    :raises ProviderError: servers still lag when the delay is over; it names them and their answers.
    :raises AnswersDisplaced: so they do, and each of them shows another one of the values instead.
    :raises Cancelled: the task was cancelled.
    """
    start = clock.monotonic()
    servers = _by_server(expected) if resolver.watch else {}
    watches = [_Watch(key, of, resolver, task, clock, start, seen) for key, of in servers.items()]
    if watches:
        addresses = "1 address" if len(watches) == 1 else f"{len(watches)} addresses"
        task.log(f"Watching {addresses} of name servers for {_count(expected)}")
    stop = threading.Event()
    try:
        done = parallel.run(lambda watch: watch.run(stop), watches, task, limit=MAX_SERVERS)
    finally:
        stop.set()
    verdicts = [verdict for future in done for verdict in future.result()]
    _tell_of_missing_routes(verdicts, task)
    judged = [_judge(record, verdicts, task) for record in expected]
    problems = [problem for problem in judged if problem is not None]
    if problems:
        raise _lagging(problems, verdicts)
    blind = max((record.delay for record in expected if not _asked(record, verdicts)), default=0.0)
    if blind and not resolver.watch:
        task.log(f"Waiting for {blind:g} seconds; name servers are not watched (dns-watch is 0)")
    task.wait(max(start + blind - clock.monotonic(), 0.0))


def _count(expected: Sequence[Expected]) -> str:
    return expected[0].name if len(expected) == 1 else f"{len(expected)} names"


def _by_server(expected: Iterable[Expected]) -> dict[Server, list[Expected]]:
    records: dict[Server, list[Expected]] = {}
    for record in expected:
        for server in record.zone.servers if record.delay else ():
            records.setdefault(server, []).append(record)
    return records


def _asked(record: Expected, verdicts: Iterable[Verdict]) -> bool:
    return any(
        verdict.expected is record and verdict.state != State.NO_ROUTE for verdict in verdicts
    )


@dataclass(frozen=True)
class _Watch:
    """Watches one server, in a thread of its own."""

    server: Server
    expected: Sequence[Expected]
    resolver: Resolver
    task: Task
    clock: Clock
    start: float
    seen: Seen | None

    def run(self, stop: threading.Event) -> list[Verdict]:
        """Ask until everything is seen or its time is up."""
        final: list[Verdict] = []
        pending, pause = list(self.expected), _FIRST_PAUSE
        while pending and not self.task.cancelled:
            verdicts = self._ask(pending)
            late = [verdict for verdict in verdicts if self._is_final(verdict)]
            final += late
            pending = [verdict.expected for verdict in verdicts if verdict not in late]
            if not pending or self.clock.wait(stop, min(pause, self._left(pending))):
                break
            pause = longer(pause)
        return final

    def _left(self, pending: Iterable[Expected]) -> float:
        """Seconds until the first of them is overdue."""
        return max(
            self.start + min(record.delay for record in pending) - self.clock.monotonic(), 0.0
        )

    def _is_final(self, verdict: Verdict) -> bool:
        return verdict.state in (State.SEEN, State.NO_ROUTE) or self._left([verdict.expected]) == 0

    def _ask(self, pending: Sequence[Expected]) -> list[Verdict]:
        seconds = min(_QUESTION_SECONDS, max(self._left(pending), _SHORTEST_QUESTION))
        questions = [question(record.name, "TXT") for record in pending]
        replies = self.resolver.exchange(self.server, questions, seconds)
        verdicts = [
            Verdict(
                self.server, record, *_read(reply, record), texts(reply, record.name), _ttl(reply)
            )
            for record, reply in zip(pending, replies, strict=True)
        ]
        for verdict in verdicts:
            if verdict.state == State.SEEN and self.seen:
                self.seen(self.server, verdict.expected)
        return verdicts


def longer(pause: float) -> float:
    """The pause after this one, in seconds: servers are asked often at first."""
    return min(pause * _GROWTH, _LONGEST_PAUSE)


# --- what an answer means ---------------------------------------------------------------------------


def _read(reply: dns.message.Message | NoAnswer, record: Expected) -> tuple[State, str]:
    """A state and, in words, what the server said."""
    if isinstance(reply, NoAnswer):
        return (State.NO_ROUTE if isinstance(reply, NoRoute) else State.SILENT), str(reply)
    code = dns.rcode.to_text(reply.rcode())
    if reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return State.FAILS, f"answers {code}"
    if not reply.flags & dns.flags.AA:
        below = referral(reply, record.name, record.zone.name)
        if below:
            return State.LAGS, f"says that {below} is a zone of its own, on other servers"
        return State.SILENT, "answers without authority"
    missing = record.values - texts(reply, record.name)
    if not missing:
        return State.SEEN, ""
    if len(missing) < len(record.values):
        finding = f"shows {len(record.values) - len(missing)} of {len(record.values)} values"
    elif texts(reply, record.name):
        finding = "shows only other values"
    elif reply.answer:
        finding = "has a CNAME there"
    else:
        finding = "answers NXDOMAIN" if code == "NXDOMAIN" else "has no TXT record there"
    return State.LAGS, finding + _serial(reply)


def texts(reply: dns.message.Message | NoAnswer, name: str) -> frozenset[str]:
    """The TXT values at a name that an answer carries."""
    return frozenset(
        b"".join(rdata.strings).decode(errors="replace")
        for rrset in ([] if isinstance(reply, NoAnswer) else reply.answer)
        if rrset.rdtype == dns.rdatatype.TXT and rrset.name.to_text().lower() == name
        for rdata in rrset
    )


def _ttl(reply: dns.message.Message | NoAnswer) -> float:
    ttls = [] if isinstance(reply, NoAnswer) else [rrset.ttl for rrset in reply.answer]
    return float(max(ttls, default=0))


def _serial(reply: dns.message.Message) -> str:
    for rrset in reply.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return f" (zone {rrset.name.to_text().lower()} serial {rrset[0].serial})"
    return ""


def _judge(record: Expected, verdicts: Iterable[Verdict], task: Task) -> str | None:
    """Why not to go on with one name: the authority could not see the values either."""
    mine = [verdict for verdict in verdicts if verdict.expected is record]
    lagging = [verdict for verdict in mine if verdict.state == State.LAGS]
    failing = [verdict for verdict in mine if verdict.state == State.FAILS]
    silent = [verdict for verdict in mine if verdict.state == State.SILENT]
    seen = any(verdict.state == State.SEEN for verdict in mine)
    if lagging or (failing and not silent and not seen):
        lags = ", ".join(f"{verdict.server} {verdict.remark}" for verdict in lagging or failing)
        return f"{record.name} does not show after {record.delay:g} seconds: {lags}"
    for verdict in [*failing, *silent]:
        task.log(
            f"{record.name}: {verdict.server} could not be watched: {verdict.remark}; "
            f"going on after {record.delay:g} seconds"
            + (f"; {_OTHER_PORT}" if "refused" in verdict.remark else "")
        )
    if record.zone.problem and record.delay:
        task.log(
            f"{record.name} cannot be watched; waiting {record.delay:g} s instead: {record.zone.problem}"
        )
    return None


def _displaced(verdicts: Sequence[Verdict]) -> bool:
    """Whether all that lag show some of the values: a provider that has room for one (DuckDNS)."""
    ours = frozenset[str]().union(*(verdict.expected.values for verdict in verdicts))
    lagging = [verdict for verdict in verdicts if verdict.state == State.LAGS]
    return bool(lagging) and all(verdict.texts & ours for verdict in lagging)


def _lagging(problems: Sequence[str], verdicts: Sequence[Verdict]) -> ProviderError:
    more = len(problems) - _NAMES_SAID
    rest = f"; and {more} more names" if more > 0 else ""
    message = "; ".join(problems[:_NAMES_SAID]) + rest
    if _displaced(verdicts):
        return AnswersDisplaced(
            message, hint=_LAGGING, seconds=max(verdict.ttl for verdict in verdicts)
        )
    return ProviderError(message, hint=_LAGGING)


_LAGGING = (
    "Check whether the provider lists the records, and ask the servers: dig @SERVER NAME TXT. "
    "If they only need more time, raise --validation-delay. If this host sees another view of the "
    "zone than the authority does, name public resolvers (pvefw config set --resolvers IP,IP), or "
    "only wait (pvefw config set --dns-watch 0)."
)


def _tell_of_missing_routes(verdicts: Iterable[Verdict], task: Task) -> None:
    servers = sorted({verdict.server for verdict in verdicts if verdict.state == State.NO_ROUTE})
    if servers:
        task.log(f"Not watched, there is no route to them: {', '.join(map(str, servers))}")
