"""Others who have records in the zone of the DNS kit, and what became of those."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from types import TracebackType
from typing import Self

from pvefw import seam
from pvefw.api import Task, TxtRecord
from pvefw.seam import DnsSpec, PvefwError
from pvefw.testing._dns import Records, make_value
from pvefw.testing.surroundings import Row, Surroundings

_MANY = 230
"""Records that fill several pages of any API, whose pages mostly hold 20 to 100."""
_SOME = 110
"""As many as take more than one page, where each has to be added by a request."""
_BATCH = 20
_LONGEST_FILL = 10.0
"""Seconds after which a provider has got enough records; it may be a real one."""
_LONGEST_LOOK = 1.0


class Others(ABC):
    """They put records into the zone, and see later what is left of them."""

    def __init__(self, zone: str) -> None:
        self.zone = zone

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.leave()

    @abstractmethod
    def put(self, name: str, kind: str, value: str, ttl: int) -> None:
        """Put a record into the zone, where there is a way."""

    @abstractmethod
    def fill(self, folder: str) -> None:
        """Put many records below a name in the zone."""

    @abstractmethod
    def there(self) -> set[Row]:
        """What must be there when all that was asked for has been put."""

    @abstractmethod
    def everything(self) -> Collection[Row]:
        """What is there now."""

    @contextlib.contextmanager
    def watched(self, name: str) -> Iterator[None]:  # noqa: ARG002 - who sees all needs no name
        """Look meanwhile at what the API is asked for a name."""
        yield

    @abstractmethod
    def leave(self) -> None:
        """Take away what was put, where it would be in the way of other tests."""


class ThroughTheFake(Others):
    """The fake takes records of any type, and can tell what it has."""

    def __init__(
        self,
        zone: str,
        put: Callable[[str, str, str, int], None],
        everything: Callable[[], Collection[Row]],
    ) -> None:
        super().__init__(zone)
        self._put, self._everything = put, everything

    def put(self, name: str, kind: str, value: str, ttl: int) -> None:
        """Put a record into the zone."""
        self._put(name, kind, value, ttl)

    def fill(self, folder: str) -> None:
        """Put many records below a name in the zone."""
        for number in range(_MANY):
            self._put(f"{number:03}.{folder}.{self.zone}", "TXT", f"of somebody else {number}", 300)

    def there(self) -> set[Row]:
        """What the fake has."""
        return set(self._everything())

    def everything(self) -> Collection[Row]:
        """What the fake has."""
        return self._everything()

    def leave(self) -> None:
        """Nothing: each test has a fake of its own."""


class ThroughTheHooks(Others):
    """The fake knows nothing of this: others have used the same plugin, for texts of all kinds."""

    def __init__(
        self, zone: str, hooks: DnsSpec, records: Records, task: Task, around: Surroundings | None
    ) -> None:
        super().__init__(zone)
        self._hooks, self._records, self._task, self._around = hooks, records, task, around
        self._rows: set[Row] = set()
        self._filled: list[TxtRecord] = []
        self._odd: list[TxtRecord] = []
        """What the provider refuses, or shows in another form."""

    def put(self, name: str, kind: str, value: str, ttl: int) -> None:
        """Put a text into the zone; not one that the provider refuses, or shows in another form."""
        if kind != "TXT":
            return
        record = TxtRecord(name, value, ttl)
        with contextlib.suppress(PvefwError):
            self._odd.append(record)
            self._add([record])
            end = seam.monotonic() + _LONGEST_LOOK
            while value not in self._records(name) and seam.monotonic() < end:
                seam.sleep(0.05)
            if value in self._records(name):
                self._odd.remove(record)
                self._rows.add((name, kind, value, ttl))

    def fill(self, folder: str) -> None:
        """Put as many records into the zone as the provider takes in a short time."""
        end = seam.monotonic() + _LONGEST_FILL
        wanted = [
            TxtRecord(f"{number:03}.{folder}.{self.zone}", make_value(number), 300)
            for number in range(_SOME)
        ]
        with contextlib.suppress(PvefwError):
            for first in range(0, _SOME, _BATCH):
                if seam.monotonic() > end:
                    return
                self._add(wanted[first : first + _BATCH])
                self._filled += wanted[first : first + _BATCH]

    def there(self) -> set[Row]:
        """What the provider has taken."""
        return set(self._rows)

    def everything(self) -> Collection[Row]:
        """What is left of that."""
        return {row for row in self._rows if row[2] in self._records(row[0])}

    @contextlib.contextmanager
    def watched(self, name: str) -> Iterator[None]:
        """Show the TTLs of others in the API's answers, and look for them in what is sent back."""
        if self._around is None:
            yield
            return
        begun = len(self._around.requests)
        ttls = {value: ttl for at, _, value, ttl in self._rows if at == name}
        self._around.show_ttl(ttls)
        yield
        self._around.show_ttl({})
        for value, ttl in sorted(ttls.items()):
            sent = [
                other for other in self._around.ttls_sent(value, begun) if str(other) != str(ttl)
            ]
            assert not sent, (
                f"the TTL of {name} is {ttl}, and {value!r} of somebody else is sent with {sent[0]}: "
                "where others have values at the name, keep the TTL of the record set"
            )

    def leave(self) -> None:
        """Remove what was put; what is wrong with that is said by other tests."""
        theirs = [TxtRecord(name, value, ttl) for name, _, value, ttl in self._rows]
        for some in (theirs, self._filled, self._odd):
            for first in range(0, len(some), _BATCH):
                with contextlib.suppress(PvefwError):
                    part = some[first : first + _BATCH]
                    self._hooks.dns_remove(zone=self.zone, records=part, task=self._task)

    def _add(self, records: list[TxtRecord]) -> None:
        self._hooks.dns_add(zone=self.zone, records=records, task=self._task)
