"""Looking at the authoritative servers after a removal: what is accepted may not be published."""

import threading
from collections.abc import Iterable, Mapping, Sequence

import dns.flags

from pvefw.core.model import Task
from pvefw.dns import parallel
from pvefw.dns.journal import Entry
from pvefw.dns.propagation import MAX_SERVERS, longer, texts
from pvefw.dns.resolver import NoAnswer, Resolver, Server, question
from pvefw.dns.zones import Zone
from pvefw.host.clock import Clock

_FIRST_PAUSE = 0.02
_SERVERS_SAID = 3


def still_shown(
    zones: Mapping[Entry, Zone], resolver: Resolver, task: Task, clock: Clock, seconds: float
) -> dict[Entry, str]:
    """Ask every server until none shows any of the values.

    Only the zone's own servers are asked, and only what they say with authority counts: what others
    remember ends by itself. A server that does not answer shows nothing.

    :param zones: what was removed, and from which zone.
    :param seconds: how long to wait for servers that lag; with 0 each is asked once.
    :returns: what is still shown when the time is over, and by whom.
    """
    until = clock.monotonic() + seconds
    asked = list(_by_server(zones).items())
    watched = parallel.run(
        lambda pair: _watch(*pair, resolver, clock, until), asked, task, limit=MAX_SERVERS
    )
    showing: dict[Entry, list[Server]] = {}
    for (server, _), future in zip(asked, watched, strict=True):
        for entry in future.result():
            showing.setdefault(entry, []).append(server)
    return {entry: _said(servers) for entry, servers in showing.items()}


def _by_server(zones: Mapping[Entry, Zone]) -> dict[Server, list[Entry]]:
    entries: dict[Server, list[Entry]] = {}
    for entry, zone in zones.items():
        for server in zone.servers:
            entries.setdefault(server, []).append(entry)
    return entries


def _watch(
    server: Server, entries: Sequence[Entry], resolver: Resolver, clock: Clock, until: float
) -> list[Entry]:
    """What a server shows at the end."""
    pause = _FIRST_PAUSE
    while True:
        showing = _showing(server, entries, resolver)
        left = until - clock.monotonic()
        if not showing or left <= 0:
            return showing
        clock.wait(threading.Event(), min(pause, left))
        entries, pause = showing, longer(pause)


def _showing(server: Server, entries: Iterable[Entry], resolver: Resolver) -> list[Entry]:
    names = sorted({entry.name for entry in entries})
    replies = resolver.exchange(server, [question(name, "TXT") for name in names])
    values = {
        name: texts(reply, name)
        for name, reply in zip(names, replies, strict=True)
        if not isinstance(reply, NoAnswer) and reply.flags & dns.flags.AA
    }
    return [entry for entry in entries if entry.value in values.get(entry.name, ())]


def _said(servers: Sequence[Server]) -> str:
    more = len(servers) - _SERVERS_SAID
    rest = f" and {more} more" if more > 0 else ""
    shown = ", ".join(map(str, servers[:_SERVERS_SAID]))
    return f"removed at the provider, but still shown by {shown}{rest}"
