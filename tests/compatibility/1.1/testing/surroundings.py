"""What real providers do to plugins, around a fake: limits, conflicts, faults, records of others.

Nothing has to be said: what :func:`pvefw.testing.http_api.http_api` serves is put into such surroundings,
and the DNS kit finds them. Where several are served, say which one is meant::

    @pytest.fixture
    def surroundings(self, fake):
        return unfriendly(fake)  # serve surroundings.answer

``fake.answer(request)``, or the function alone, is all that is needed: sessions that end, ids that
change, values and records of others are played on the way between plugin and fake. What a fake can do
better is used:

- ``zone``, a :class:`pvefw.testing.dns_zone.DnsZone`, or two functions, ``put(name, type, value, ttl)``
  and ``everything()``, all such rows: then records of others are put there, of all types, and also
  between two requests of a hook. Texts are as they are, not as a zone file quotes them. Where a fake has
  both, its own functions are used. ``DnsZone.remove`` takes TXT away and nothing else: a fake that lets
  a plugin delete or replace other types keeps rows of its own, and has the functions;
- ``end_session()``: what a login gave is no longer valid;
- ``limit(seconds)``: the next request is refused as one that comes too early, in the API's own words,
  which say that another may come in so many seconds; where that is not status 429 with ``Retry-After``;
- ``recreate_zone()``: the zone was deleted and made again, with the same records and another internal id.

``zone``, ``put`` and the others are looked for at the object whose method ``answer`` is.
"""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from pvefw.testing import _wire
from pvefw.testing._requests import Answer, ConnectionLost, Reply, Request

Row = tuple[str, str, str, int]
"""Name, type, value, TTL."""
LOST = 0
"""Instead of a status: the connection is closed without an answer."""
_FIRST_ERROR = 400
_FIRST_FAULT = 500
UNKNOWN = -1
"""Instead of a status: the fake gets ids that it does not have, and says what it says then. Since 1.1."""
BAD_GATEWAY = 502
"""What a proxy before the API says, in HTML."""


class Between(Protocol):
    """What is between plugin and fake, and shows each of them something else. Since 1.1."""

    def among(self, request: Request, data: Any) -> Any:
        """What the plugin sees of a reply's data."""

    def without(self, request: Request) -> Request:
        """What the fake sees of a request."""


@dataclass
class Surroundings:
    """A fake that can be made to misbehave."""

    fake: Any
    requests: list[Request] = field(default_factory=list)
    """What was asked, in order."""
    _fault: tuple[int, int, Mapping[str, str], int] | None = field(default=None, init=False)
    """After how many requests, which status, with which headers, and how often."""
    _granted: set[str] = field(default_factory=set, init=False, repr=False)
    _ended: set[str] = field(default_factory=set, init=False, repr=False)
    _ids: set[str] = field(default_factory=set, init=False, repr=False)
    _renamed: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    _ttls: dict[str, int] = field(default_factory=dict, init=False, repr=False)
    _meanwhile: tuple[int, Callable[[], None]] | None = field(default=None, init=False)
    _leaks: set[str] = field(default_factory=set, init=False, repr=False)
    versioned: bool = field(default=False, init=False)
    """Whether a reply gave an ETag, in a header or in what it says. Since 1.1."""
    noticed: bool = field(default=False, init=False)
    """Whether the fake has refused to write what was stale; to be set back. Since 1.1."""
    faults: list[Request] = field(default_factory=list, init=False, repr=False)
    """What the fake itself has answered with status 500 and above. Since 1.1."""
    _between: Between | None = field(default=None, init=False, repr=False)
    _refusals: list[str] = field(default_factory=list, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def answer(self, request: Request) -> Reply:
        """What the fake answers, or the fault that is due."""
        with self._lock:
            self.requests.append(request)
            fault = self._due()
            asked = self._as_the_fake_knows_it(request)
            unknown = {id_: _wire.another(id_, 7) for id_ in self._ids}
            meanwhile = self._what_happens_now()
        meanwhile()
        if fault is not None and fault[0] != UNKNOWN:
            return _failure(*fault)
        if fault is not None:
            asked = _wire.redirected(asked, unknown)
        ask: Answer = getattr(self.fake, "answer", self.fake)
        status, content, *more = ask(asked)
        with self._lock:
            headers = more[0] if more else {}
            data = _wire.data_of(content)
            self._granted |= _wire.granted(data, headers)
            self._ids |= _wire.ids_in(data)
            self.versioned |= _wire.has_version(data, headers)
            self.noticed |= _wire.says_stale(status, content)
            self._refusals += [] if status < _FIRST_ERROR else [str(content)]
            self.faults += [] if status < _FIRST_FAULT else [request]
            return status, self._as_the_plugin_sees_it(request, content), headers

    def _as_the_plugin_sees_it(self, request: Request, content: Any) -> Any:
        if self._between:
            near = self._between
            content = _wire.with_said(content, lambda data: near.among(request, data))
        if self._ttls:
            content = _wire.with_said(content, lambda data: _wire.with_ttl(data, self._ttls))
        if self._renamed:
            content = _wire.with_said(content, lambda data: _wire.renamed(data, self._renamed))
            self._leaks |= set(self._renamed) & _wire.words_of(_wire.data_of(content))
        return content

    def _due(self) -> tuple[int, Mapping[str, str]] | None:
        if self._fault is None:
            return None
        left, status, headers, times = self._fault
        if left > 1:
            self._fault = (left - 1, status, headers, times)
            return None
        self._fault = (1, status, headers, times - 1) if times > 1 else None
        return status, headers

    def _what_happens_now(self) -> Callable[[], None]:
        if self._meanwhile is None:
            return lambda: None
        left, what = self._meanwhile
        self._meanwhile = (left - 1, what) if left > 1 else None
        return what if left == 1 else lambda: None

    def _as_the_fake_knows_it(self, request: Request) -> Request:
        if self._ended and not self._ended & _wire.credentials(request):
            self._ended = set()  # somebody logs in
        if self._ended:
            request = _wire.without(request, self._ended)
        if self._renamed:
            old = {new: old for old, new in self._renamed.items()}
            gone = {id_: _wire.another(id_, 7) for id_ in self._renamed}
            request = _wire.redirected(request, gone | old)
        return self._between.without(request) if self._between else request

    def fail(
        self, status: int, *, at: int = 1, retry_after: int | str | None = None, times: int = 1
    ) -> None:
        """Answer one request to come with an error.

        :param status: :data:`LOST` for a connection that is closed without an answer, :data:`UNKNOWN` for
            what the fake itself says to ids that it does not have, be it with status 200.
        :param at: which one: 1 is the next.
        :param retry_after: seconds, or an HTTP date, for the header of that name.
        :param times: how many requests, from that one on. Since 1.1.
        """
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        with self._lock:
            self._fault = (at, status, headers, times)

    def meanwhile(self, what: Callable[[], None], at: int) -> None:
        """Let somebody else do something just before a request to come reaches the fake. Since 1.1.

        :param at: which one: 1 is the next.
        """
        with self._lock:
            self._meanwhile = (at, what)

    def happened(self) -> bool:
        """Whether what was to happen meanwhile has; it is forgotten where it has not. Since 1.1."""
        with self._lock:
            pending, self._meanwhile = self._meanwhile is not None, None
        return not pending

    def recover(self) -> bool:
        """Forget a fault that was not reached; whether there was one."""
        with self._lock:
            pending, self._fault = self._fault is not None, None
        return pending

    @property
    def tokens(self) -> set[str]:
        """Credentials that came with requests, those of sessions among them."""
        return {
            credential for request in self.requests for credential in _wire.credentials(request)
        }

    @property
    def refusals(self) -> str:
        """What the fake itself has said with errors: a plugin may pass that on. Since 1.1."""
        return " ".join(self._refusals)

    @contextlib.contextmanager
    def neighbours(self, near: Between) -> Iterator[None]:
        """Show the plugin what the fake does not have, such as records of other types. Since 1.1."""
        self._between = near
        try:
            yield
        finally:
            self._between = None

    def expire(self, configured: Collection[str] = ()) -> bool:
        """Let the sessions end that logins have given; whether there were any. Since 1.1.

        The fake is asked with another token from now on, until a request comes without the old one.

        :param configured: the plugin's settings, which are no sessions.
        """
        with self._lock:
            self._ended = (self.tokens & self._granted) - set(configured)
        return bool(self._ended)

    def rename(self, zone: str) -> bool:
        """Give everything that a reply called by an id another id; whether there was any. Since 1.1.

        Only ids that came back in requests; the parts of the first request's path are none of them, nor
        are names in the zone, which a plugin knows without asking.
        """
        with self._lock:
            fixed = set(self.requests[0].path.split("/")) if self.requests else set()
            names = {id_ for id_ in self._ids if zone.rstrip(".") in id_.lower() or id_ in zone}
            known = self._ids - fixed - names
            used = {id_ for request in self.requests for id_ in _wire.ids_used(request, known)}
            self._renamed = {id_: _wire.another(id_, 3) for id_ in used}
        return bool(used)

    @property
    def shows_old_ids(self) -> bool:
        """Whether a reply has an id that was renamed, where ids are not looked for. Since 1.1."""
        return bool(self._leaks)

    def restore_ids(self) -> None:
        """Give everything the id that the fake knows. Since 1.1."""
        with self._lock:
            self._renamed = {}

    def show_ttl(self, ttls: Mapping[str, int]) -> None:
        """Let these values have these TTLs in replies that give them one. Since 1.1."""
        with self._lock:
            self._ttls = dict(ttls)

    def ttls_sent(self, value: str, since: int) -> list[Any]:
        """The TTLs that requests gave to a value. Since 1.1.

        :param since: how many requests to pass over.
        """
        bodies = [_wire.body_of(request) for request in self.requests[since:]]
        return [ttl for body in bodies for ttl in _wire.ttls_of(body, value)]

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
    def limit(self) -> Callable[[float], None] | None:
        """Lets the fake refuse the next request as one that comes too early. Since 1.1."""
        return cast("Callable[[float], None] | None", self._has("limit"))

    @property
    def recreate_zone(self) -> Callable[[], None] | None:
        """Gives the zone another internal id."""
        return cast("Callable[[], None] | None", self._has("recreate_zone"))

    def _has(self, name: str) -> Any:
        return getattr(self.fake, name, None)


def _failure(status: int, headers: Mapping[str, str]) -> Reply:
    if status == LOST:
        raise ConnectionLost
    if status == BAD_GATEWAY:
        return status, b"<html><h1>502 Bad Gateway</h1></html>", {"Content-Type": "text/html"}
    return status, {"error": f"status {status}"}, headers


_served: list[Surroundings] = []
"""Those that :func:`pvefw.testing.http_api.http_api` serves now, the newest last."""


@contextlib.contextmanager
def around(answer: Answer) -> Iterator[Surroundings]:
    """The surroundings of what is served now; :func:`served` finds them for the time of the block."""
    owner = getattr(answer, "__self__", None)
    if isinstance(owner, Surroundings):
        made = owner
    else:
        made = Surroundings(owner if getattr(owner, "answer", None) == answer else answer)
    _served.append(made)
    try:
        yield made
    finally:
        _served.remove(made)


def served() -> Surroundings | None:
    """The surroundings of what is served now: of the newest, where there are several. Since 1.1."""
    return _served[-1] if _served else None


def unfriendly(fake: Any) -> Surroundings:
    """Put faulty surroundings around a fake: an object with ``answer(request)``, or a function."""
    return Surroundings(fake)
