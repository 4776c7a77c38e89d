"""What real providers do to plugins, around a fake: limits, conflicts, faults, records of others.

Wrap the fake that the plugin is tested with, serve the wrapped one, and give it to the kit::

    @pytest.fixture
    def surroundings(self, fake):
        return unfriendly(fake)

    @pytest.fixture
    def plugin(self, surroundings):
        with http_api(surroundings.answer) as base:
            yield Acmecorp(token="correct-token", url=base)

``fake.answer(request)`` is all that is needed. What else a fake has is used:

- ``zone``, a :class:`pvefw.testing.dns_zone.DnsZone`, or two functions, ``put(name, type, value, ttl)``
  and ``everything()``, all such rows: then records of others are put there, on many pages;
- ``end_session()``: what a login gave is no longer valid;
- ``recreate_zone()``: the zone was deleted and made again, with the same records and another internal id.
"""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, cast

from pvefw.testing.http_api import Reply, Request

Row = tuple[str, str, str, int]
"""Name, type, value, TTL."""

_CREDENTIALS = ("auth", "token", "session", "cookie", "key", "secret")
_SHORTEST_TOKEN = 6


@dataclass
class Surroundings:
    """A fake that can be made to misbehave."""

    fake: Any
    requests: list[Request] = field(default_factory=list)
    """What was asked, in order."""
    _fault: tuple[int, Reply] | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def answer(self, request: Request) -> Reply:
        """What the fake answers, or the fault that is due."""
        with self._lock:
            self.requests.append(request)
            if self._fault is not None:
                left, fault = self._fault
                self._fault = (left - 1, fault) if left > 1 else None
                if left == 1:
                    return fault
        reply: Reply = self.fake.answer(request)
        return reply

    def fail(self, status: int, *, at: int = 1, retry_after: int | None = None) -> None:
        """Answer one request to come with an error.

        :param at: which one: 1 is the next.
        :param retry_after: seconds, for the header of that name.
        """
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        with self._lock:
            self._fault = (at, (status, {"error": f"status {status}"}, headers))

    def recover(self) -> bool:
        """Forget a fault that was not reached; whether there was one."""
        with self._lock:
            pending, self._fault = self._fault is not None, None
        return pending

    @property
    def tokens(self) -> set[str]:
        """Credentials that came with requests, those of sessions among them."""
        words = {
            value.split()[-1]
            for request in self.requests
            for name, value in request.headers.items()
            if value.strip() and any(part in name.lower() for part in _CREDENTIALS)
        }
        return {one for one in words if len(one) >= _SHORTEST_TOKEN}

    @property
    def put(self) -> Callable[[str, str, str, int], None] | None:
        """Puts a record of somebody else into the zone."""
        return self._has("put") or getattr(self._has("zone"), "put", None)

    @property
    def everything(self) -> Callable[[], Collection[Row]] | None:
        """All records of the zone."""
        return self._has("everything") or getattr(self._has("zone"), "everything", None)

    @property
    def end_session(self) -> Callable[[], None] | None:
        """Ends what a login gave."""
        return cast("Callable[[], None] | None", self._has("end_session"))

    @property
    def recreate_zone(self) -> Callable[[], None] | None:
        """Gives the zone another internal id."""
        return cast("Callable[[], None] | None", self._has("recreate_zone"))

    def _has(self, name: str) -> Any:
        return getattr(self.fake, name, None)


def unfriendly(fake: Any) -> Surroundings:
    """Put faulty surroundings around a fake: an object with ``answer(request)``."""
    return Surroundings(fake)
