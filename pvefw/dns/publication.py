"""The way of TXT values into DNS and out again: place, journal, add, wait, remove."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from pvefw.core.binding import Bound
from pvefw.core.errors import PluginTimeout, ProviderError, PvefwError, Unavailable
from pvefw.core.hookspecs.dns import DnsSpec
from pvefw.core.model import Task, TxtRecord
from pvefw.dns import batches, names, parallel, propagation, removal, retry
from pvefw.dns.batches import Batch, Leftover
from pvefw.dns.journal import Entry, Journal
from pvefw.dns.parallel import Once
from pvefw.dns.propagation import Expected, Seen
from pvefw.dns.zones import Finder, Place, Zone
from pvefw.host.clock import Clock
from pvefw.store.paths import Paths

_Result = TypeVar("_Result")
_ZONES_SECONDS = 30.0
"""For how long a provider that is busy is asked for its zones."""
_REASONS_SAID = 5
_NAMES_SAID = 3


@dataclass(frozen=True)
class Route:
    """How a domain is validated."""

    domain: str
    """As ordered, perhaps with ``*.``."""
    provider: Bound[DnsSpec]
    """Bound under its instance's name."""
    alias: str = ""
    """The domain below which the record is instead; empty for where DNS says."""
    delay: float = 30.0
    """The instance's ``validation-delay`` in seconds; 0 not to watch or wait at all."""
    label: str = names.CHALLENGE_LABEL
    """What the record's name has before the domain."""


@dataclass(frozen=True)
class Placed:
    """The values of one domain and where they go."""

    route: Route
    values: frozenset[str]
    place: Place
    zone: str
    """As the provider has it; DNS may have cut it differently (``place.zone``)."""


class Publication:
    """The values of one order: :meth:`locate`, :meth:`add`, :meth:`wait`, then always :meth:`remove`."""

    def __init__(self, paths: Paths, finder: Finder, clock: Clock) -> None:
        self._paths = paths
        self._finder = finder
        self._clock = clock
        self._zones: Once[Sequence[str] | None] = Once()
        self._placed: list[Placed] = []
        self._batches: list[Batch] = []
        self._begun: list[Batch] = []
        self._unsure: set[Entry] = set()
        self._journal: Journal | None = None

    # --- where ---

    def locate(
        self, wanted: Sequence[tuple[Route, frozenset[str]]], task: Task
    ) -> Sequence[Placed]:
        """Find the place of every value; nothing is changed yet.

        :param wanted: routes, each with the values for its domain.
        :raises ConfigError: a domain or alias is not a name.
        :raises ProviderError: names that have no place, each with the reason.
        """
        self._placed = _results(parallel.run(lambda pair: self._locate(*pair, task), wanted, task))
        self._batches = _batches(self._placed)
        return self._placed

    def _locate(self, route: Route, values: frozenset[str], task: Task) -> Placed:
        """Find the place of one domain's values; every error names the domain as it was ordered."""
        try:
            return self._place(route, values, task)
        except PvefwError as error:
            if not error.message.startswith(f"{route.domain}:"):
                error.message = f"{route.domain}: {error.message}"
            raise

    def _place(self, route: Route, values: frozenset[str], task: Task) -> Placed:
        name = names.challenge_name(route.alias or route.domain, route.label)
        zones = self._provider_zones(route.provider, task)
        try:
            place = self._finder.place(name)
        except Unavailable as error:
            if zones is None:
                raise
            place = Place(name, Zone("", (), error.message))
        if place.aliases:
            task.log(f"{route.domain}: {' → '.join([*place.aliases, place.name])}")
        if route.alias:
            self._check_alias(route, place, task)
        if zones is None:
            return Placed(route, values, place, place.zone.name)
        zone = names.longest_zone(place.name, zones)
        if zone is not None:
            _refuse_undelegated(route, place, zone)
        if zone is None:
            raise ProviderError(
                f"{route.domain}: {route.provider.name}: none of its zones holds {place.name}",
                hint=f"Its zones: {', '.join(zones) or 'none'}. Add the zone there, "
                "or give the name another plugin or an alias.",
            )
        return Placed(route, values, place, zone)

    def _provider_zones(self, provider: Bound[DnsSpec], task: Task) -> Sequence[str] | None:
        hook = provider.hooks.dns_zones
        return self._zones.get(
            provider.name,
            lambda: retry.persistently(lambda: hook(task=task), _ZONES_SECONDS, task, self._clock),
        )

    def _check_alias(self, route: Route, place: Place, task: Task) -> None:
        """Warn where the authority would not be led to the alias: our view of DNS may be another."""
        name = names.challenge_name(route.domain, route.label)
        try:
            leads_to = self._finder.place(name).name
        except ProviderError as error:
            task.log(f"{route.domain}: its alias could not be checked: {error.message}")
            return
        if leads_to != place.name:
            task.warn(
                f"{route.domain}: {name} is not a CNAME to {place.name}; "
                "the authority will not find the record there"
            )

    # --- in ---

    def add(self, task: Task) -> None:
        """Write the journal, then add everything: one call for each instance and zone.

        :raises StoreError: the journal cannot be written; nothing was added.
        :raises ProviderError: instances failed, each with its reason; others may have added theirs.
        """
        entries = [entry for batch in self._batches for entry in batch.entries]
        self._journal = Journal.begin(self._paths, entries, self._clock)
        chains = batches.by_provider(self._batches)
        _results(parallel.run(lambda chain: self._add(chain, task), chains, task))

    def _add(self, chain: Sequence[Batch], task: Task) -> None:
        for batch in chain:
            self._begun.append(batch)
            try:
                batch.add(task, self._clock)
            except PvefwError as error:
                if isinstance(error, PluginTimeout):  # it may still add, after we have removed
                    self._unsure.update(batch.entries)
                if isinstance(error, ProviderError) and error.unchanged:
                    self._begun.remove(batch)  # nothing was added, so there is nothing to remove
                    self._close(batch.entries)
                error.message = f"{self._domains(batch)}: {error.message}"
                raise

    def _domains(self, batch: Batch) -> str:
        """Whom a failure of a batch is about."""
        domains = sorted(
            {
                placed.route.domain
                for placed in self._placed
                if placed.zone == batch.zone and placed.route.provider.name == batch.provider.name
            }
        )
        more = len(domains) - _NAMES_SAID
        return ", ".join(domains[:_NAMES_SAID]) + (f" and {more} more" if more > 0 else "")

    def wait(self, task: Task, seen: Seen | None = None) -> None:
        """Wait until all servers of all zones show everything: :func:`pvefw.dns.propagation.wait`."""
        expected = _expected(self._placed)
        propagation.wait(expected, self._finder.resolver, task, self._clock, seen)

    def keep(self) -> None:
        """Let what was added stay for good: the journal forgets it."""
        self._close([entry for batch in self._batches for entry in batch.entries])

    def adopt(self) -> None:
        """Take over what an earlier run added and kept, so that :meth:`remove` takes it down.

        :raises StoreError: the journal cannot be written.
        """
        entries = [entry for batch in self._batches for entry in batch.entries]
        self._journal = Journal.begin(self._paths, entries, self._clock)
        self._begun = list(self._batches)

    # --- out ---

    def remove(self, task: Task) -> list[Leftover]:
        """Remove what was added, or may have been; it goes on although the task is cancelled.

        :returns: what is still there; the journal keeps it.
        :raises StoreError: the journal cannot be written.
        """
        if self._journal is None:
            return []
        open_ = set(self._journal.entries)
        begun = [batch for batch in self._begun if not open_.isdisjoint(batch.entries)]
        untouched = [batch for batch in self._batches if batch not in self._begun]
        self._close([entry for batch in untouched for entry in batch.entries])
        return batches.remove_all(begun, self._look, self._close, task, self._clock)

    def _look(self, entries: Sequence[Entry], task: Task, seconds: float) -> Mapping[Entry, str]:
        """What servers still show; those of instances that are not to be watched are not asked."""
        zones = {
            placed.place.name: placed.place.zone for placed in self._placed if placed.route.delay
        }
        removed = {entry: zones[entry.name] for entry in entries if entry.name in zones}
        return removal.still_shown(removed, self._finder.resolver, task, self._clock, seconds)

    def _close(self, entries: Sequence[Entry]) -> None:
        if self._journal is not None:
            self._journal.close([entry for entry in entries if entry not in self._unsure])


def _refuse_undelegated(route: Route, place: Place, zone: str) -> None:
    """Stop where the record would be put above a zone cut: nobody would ask the provider for it."""
    cut = place.zone.name
    if not place.zone.servers or cut == zone or not names.is_within(cut, zone):
        return
    servers = ", ".join(sorted({str(server) for server in place.zone.servers}))
    raise ProviderError(
        f"{route.domain}: {route.provider.name}: {place.name} is in {cut}, "
        f"a zone of its own on {servers}; the provider has {zone} only",
        hint=f"Add the zone {cut} there, or give the name its provider's plugin, or an alias.",
    )


def _batches(placed: Sequence[Placed]) -> list[Batch]:
    providers = {record.route.provider.name: record.route.provider for record in placed}
    records: dict[tuple[str, str], set[TxtRecord]] = {}
    for record in placed:
        key = (record.route.provider.name, record.zone)
        records.setdefault(key, set()).update(
            TxtRecord(record.place.name, value) for value in record.values
        )
    return [
        Batch(providers[instance], zone, tuple(sorted(values)))
        for (instance, zone), values in sorted(records.items())
    ]


def _expected(placed: Sequence[Placed]) -> list[Expected]:
    """What to watch: all values of one name together, for as long as the most patient instance says."""
    by_name: dict[str, list[Placed]] = {}
    for record in placed:
        by_name.setdefault(record.place.name, []).append(record)
    return [
        Expected(
            name,
            frozenset[str]().union(*(record.values for record in mine)),
            mine[0].place.zone,
            max(record.route.delay for record in mine),
        )
        for name, mine in by_name.items()
    ]


def _results(futures: Sequence[Future[_Result]]) -> list[_Result]:
    """What calls returned.

    :raises PvefwError: the one that was raised, or of several one that has all their reasons.
    """
    errors = [future.exception() for future in futures]
    known = [error for error in errors if isinstance(error, PvefwError)]
    if len(known) < len([error for error in errors if error is not None]) or len(known) <= 1:
        return [future.result() for future in futures]
    reasons = list(dict.fromkeys(error.message for error in known))
    more = len(reasons) - _REASONS_SAID
    rest = f"; and {more} more" if more > 0 else ""
    raise ProviderError("; ".join(reasons[:_REASONS_SAID]) + rest, hint=known[0].hint)
