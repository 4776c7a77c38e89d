"""Removing what dead processes left in DNS: exactly what their journals name."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from pvefw.core.binding import Bound
from pvefw.core.errors import ConfigError, ProviderError, PvefwError, StoreError
from pvefw.core.hookspecs.dns import DnsSpec
from pvefw.core.model import Task
from pvefw.dns import batches, journal, removal
from pvefw.dns.batches import Batch, Leftover
from pvefw.dns.journal import Entry, Journal
from pvefw.dns.resolver import Resolver
from pvefw.dns.zones import Finder, Zone
from pvefw.host import concurrency
from pvefw.host.clock import Clock, SystemClock
from pvefw.store import certificates, locks
from pvefw.store.node import Node
from pvefw.store.paths import Paths

_LOCK = "dns-cleanup"
_LOCK_SECONDS = 120.0
_FIRST_SECONDS = 3.0
"""For how long other work waits for records of earlier orders to be removed."""
_GONE_SECONDS = 1.0
"""For how long, of these, it is looked whether other name servers still show them: most need less."""

BindInstance = Callable[[str], Bound[DnsSpec]]
"""Binds a plugin instance by its name; raises a ``PvefwError`` where it is gone."""


def cleanup(
    paths: Paths,
    bind_instance: BindInstance,
    task: Task,
    *,
    resolver: Resolver | None = None,
    clock: Clock | None = None,
    seconds: float = batches.REMOVE_SECONDS,
    concerned: Callable[[str], bool] = lambda _instance: True,
) -> list[Leftover]:
    """Remove the records of every journal whose process is dead.

    A journal that is damaged or cannot be read is a warning, and stays.

    :param bind_instance: called once for each instance that has something to remove.
    :param resolver: finds the servers that are looked at afterwards; the node's, unless given.
    :param seconds: for how long a provider that is busy or out of order is asked again.
    :param concerned: whether to remove the records of a plugin instance.
    :returns: what is still there; each was reported as a warning, with what to do by hand.
    :raises Locked: another process has been cleaning up for two minutes.
    """
    clock = clock or SystemClock()
    if not any(
        not journal_.owned and any(concerned(entry.instance) for entry in journal_.entries)
        for journal_ in _all(paths, task)
    ):
        return []
    with locks.local_lock(paths, _LOCK, timeout=_LOCK_SECONDS):
        look = _look_with(resolver or _configured(paths), clock)
        journals = _all(paths, task)
        abandoned = _abandoned(journals, concerned)
        left = _remove(journals, abandoned, bind_instance, look, _Limits(task, clock, seconds))
    for leftover in left:
        task.warn(f"{leftover.entry} is left: {leftover.reason}")
    if left:
        task.log(
            "The next command tries again. If you have deleted them by hand, run: "
            + _forgetting(left)
        )
    return left


def cleanup_first(node: Node, task: Task) -> None:
    """:func:`cleanup` with the configured instances, before other work that must not fail for it.

    What the node's own names use is removed before they use it again. The work has not to wait for other
    instances: a provider that does not answer within moments is left to a thread, which ends with the
    process.
    """
    if not journal.files_of(node.paths):
        return
    from pvefw.dns import instances  # it brings dnspython

    used = certificates.used_instances(node)

    def clean(concerned: Callable[[str], bool], seconds: float) -> None:
        bind = partial(instances.bind, node)
        try:
            cleanup(node.paths, bind, task, seconds=seconds, concerned=concerned)
        except PvefwError as error:
            task.warn(f"DNS records of interrupted orders could not be removed: {error.message}")

    clean(used.__contains__, batches.REMOVE_SECONDS)
    others = partial(clean, lambda id_: id_ not in used, _GONE_SECONDS)
    try:
        concurrency.call_within(others, _FIRST_SECONDS, "dns-cleanup", lambda: task.cancelled)
    except concurrency.DidNotReturn:
        task.log("Records of earlier orders are still being removed; continuing meanwhile")


def forget(paths: Paths, instance: str) -> list[Entry]:
    """Strike an instance's entries without removing anything: somebody has done it by hand.

    Entries of processes that still run are kept: they remove their records themselves.

    :returns: what was struck.
    :raises ConfigError: a journal is damaged.
    """
    struck: set[Entry] = set()
    with locks.local_lock(paths, _LOCK, timeout=_LOCK_SECONDS):
        for journal_ in journal.load_all(paths):
            mine = [entry for entry in journal_.entries if entry.instance == instance]
            if not journal_.owned:
                journal_.close(mine)
                struck.update(mine)
    return sorted(struck)


def _all(paths: Paths, task: Task) -> list[Journal]:
    """Every journal that can be read; of the others the task is told."""
    journals: list[Journal | None] = []
    for path in journal.files_of(paths):
        try:
            journals.append(Journal.load(path))
        except (ConfigError, StoreError) as error:
            task.warn(f"{error.message}. {error.hint}".removesuffix(". "))
    return [journal_ for journal_ in journals if journal_]


def _configured(paths: Paths) -> Resolver | None:
    """The node's resolver; without one the provider's word must do."""
    try:
        return Resolver.configured(Node.open(paths))
    except (ConfigError, StoreError):
        return None


def _look_with(resolver: Resolver | None, clock: Clock) -> batches.Look:
    """Looks at the servers that DNS names now; where they cannot be found, nothing is shown."""

    def look(entries: Sequence[Entry], task: Task, seconds: float) -> Mapping[Entry, str]:
        if resolver is None:
            return {}
        finder, zones = Finder(resolver), dict[Entry, Zone]()
        for entry in entries:
            with contextlib.suppress(ProviderError):
                zones[entry] = finder.place(entry.name).zone
        return removal.still_shown(zones, resolver, task, clock, seconds)

    return look


def _abandoned(
    journals: Iterable[Journal], concerned: Callable[[str], bool]
) -> dict[str, set[Entry]]:
    """What dead processes left, by plugin instance."""
    entries: dict[str, set[Entry]] = {}
    for entry in (
        entry for journal_ in journals if not journal_.owned for entry in journal_.entries
    ):
        if concerned(entry.instance):
            entries.setdefault(entry.instance, set()).add(entry)
    return entries


@dataclass(frozen=True)
class _Limits:
    """For how long providers are asked again, in whose name."""

    task: Task
    clock: Clock
    seconds: float


def _remove(
    journals: Sequence[Journal],
    abandoned: Mapping[str, set[Entry]],
    bind_instance: BindInstance,
    look: batches.Look,
    limits: _Limits,
) -> list[Leftover]:
    """Remove abandoned entries, by instance, and strike them from the journals of dead processes."""

    def close(entries: Iterable[Entry]) -> None:
        gone = set(entries)
        for journal_ in journals:
            if not journal_.owned:
                journal_.close(gone)

    in_use = {entry for journal_ in journals if journal_.owned for entry in journal_.entries}
    close(in_use)  # an order that was resumed has the same values: they are its own now
    by_instance = {id_: mine - in_use for id_, mine in abandoned.items() if mine - in_use}
    left: list[Leftover] = []
    to_remove: list[Batch] = []
    for instance, entries in by_instance.items():
        try:
            to_remove += batches.of_entries(bind_instance(instance), entries)
        except PvefwError as error:
            left += [Leftover(entry, error.message) for entry in entries]
    removed = batches.remove_all(to_remove, look, close, limits.task, limits.clock, limits.seconds)
    return sorted(left + removed)


def _forgetting(left: Iterable[Leftover]) -> str:
    instances = sorted({leftover.entry.instance for leftover in left})
    return ", ".join(f"pvefw dns cleanup --forget {instance}" for instance in instances)
