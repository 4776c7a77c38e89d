"""Adding and removing records: per plugin instance and zone one call with all of them."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pvefw.core.binding import Bound
from pvefw.core.errors import PvefwError
from pvefw.core.hookspecs.dns import DnsSpec
from pvefw.core.model import Task, TxtRecord
from pvefw.dns import parallel, retry
from pvefw.dns.journal import Entry
from pvefw.host.clock import Clock

ADD_SECONDS, REMOVE_SECONDS, HASTY_SECONDS = 120.0, 60.0, 5.0
"""For how long a provider that is busy or out of order is asked again."""
LOOK_SECONDS = 15.0
"""For how long servers may go on showing what was removed."""


@dataclass(frozen=True)
class Batch:
    """The records of one zone that go through one plugin instance."""

    provider: Bound[DnsSpec]
    zone: str
    records: tuple[TxtRecord, ...]
    """Sorted, each (name, value) once."""

    @property
    def entries(self) -> list[Entry]:
        """As the journal has them."""
        return [
            Entry(self.provider.name, self.zone, record.name, record.value)
            for record in self.records
        ]

    def add(self, task: Task, clock: Clock) -> None:
        """Add the records.

        :raises ProviderError: as the plugin's ``dns_add``.
        """
        task.log(f"{self.provider.name}: adding {_count(self.records)} to zone {self.zone}")
        hook = self.provider.hooks.dns_add
        self._by_parts(hook, ADD_SECONDS, task, clock)

    def remove(self, task: Task, clock: Clock, seconds: float) -> None:
        """Remove the records.

        :param seconds: how long to go on trying without any progress.
        :raises ProviderError: as the plugin's ``dns_remove``.
        """
        task.log(f"{self.provider.name}: removing {_count(self.records)} from zone {self.zone}")
        hook = self.provider.hooks.dns_remove
        self._by_parts(hook, seconds, task, clock)

    def _by_parts(
        self, hook: Callable[..., None], seconds: float, task: Task, clock: Clock
    ) -> None:
        def call(records: Sequence[TxtRecord]) -> None:
            hook(zone=self.zone, records=records, task=task)

        retry.by_parts(call, self.records, seconds, task, clock)


def _count(records: Sequence[TxtRecord]) -> str:
    return "1 TXT record" if len(records) == 1 else f"{len(records)} TXT records"


def of_entries(provider: Bound[DnsSpec], entries: Iterable[Entry]) -> list[Batch]:
    """The batches that a journal's entries of one instance make."""
    by_zone: dict[str, set[TxtRecord]] = {}
    for entry in entries:
        by_zone.setdefault(entry.zone, set()).add(TxtRecord(entry.name, entry.value))
    return [Batch(provider, zone, tuple(sorted(records))) for zone, records in by_zone.items()]


def by_provider(batches: Iterable[Batch]) -> list[list[Batch]]:
    """Batches that must follow each other, because one instance is never called twice at once."""
    grouped: dict[str, list[Batch]] = {}
    for batch in batches:
        grouped.setdefault(batch.provider.name, []).append(batch)
    return list(grouped.values())


# --- clean-up --------------------------------------------------------------------------------------


class Uncancelled:
    """A task for clean-up: it goes on although the task is cancelled."""

    cancelled = False

    def __init__(self, task: Task, clock: Clock) -> None:
        self._task = task
        self._clock = clock
        self.log = task.log
        self.warn = task.warn

    def secret(self, value: str) -> None:
        """The guard of the plugin masks it."""

    def wait(self, seconds: float) -> None:
        """Sleep, whatever happens."""
        self._clock.wait(threading.Event(), seconds)


@dataclass(frozen=True, order=True)
class Leftover:
    """A record that could not be removed."""

    entry: Entry
    reason: str


Look = Callable[[Sequence[Entry], Task, float], Mapping[Entry, str]]
"""What authoritative servers still show of these entries after so many seconds, and who: from
:func:`pvefw.dns.removal.still_shown`."""


def remove_all(
    batches: Iterable[Batch],
    look: Look,
    close: Callable[[Sequence[Entry]], None],
    task: Task,
    clock: Clock,
    seconds: float = REMOVE_SECONDS,
) -> list[Leftover]:
    """Remove every batch, plugin instances in parallel; a failure does not stop the others.

    :param look: asks the servers before anything is closed: a plugin may be wrong about what it removed.
    :param close: strikes entries from the journal, when their records are gone.
    :param seconds: for how long a provider that is busy or out of order is asked again.
    :returns: what is still there.
    """
    shielded = Uncancelled(task, clock)
    patience = min(seconds, LOOK_SECONDS)
    if task.cancelled:  # who pressed Ctrl-C is waiting; what is left then stays in the journal
        seconds, patience = min(seconds, HASTY_SECONDS), 0.0

    def remove(chain: Sequence[Batch]) -> list[Leftover]:
        left: list[Leftover] = []
        for batch in chain:
            try:
                batch.remove(shielded, clock, seconds)
            except PvefwError as error:
                left += [Leftover(entry, error.message) for entry in batch.entries]
        return left

    chains = by_provider(batches)
    done = parallel.run(remove, chains, shielded)
    left = [leftover for future in done for leftover in future.result()]
    failed = {leftover.entry for leftover in left}
    removed = [entry for chain in chains for batch in chain for entry in batch.entries]
    removed = [entry for entry in removed if entry not in failed]
    shown = look(removed, shielded, patience)
    close([entry for entry in removed if entry not in shown])
    return sorted([*left, *(Leftover(entry, reason) for entry, reason in shown.items())])
