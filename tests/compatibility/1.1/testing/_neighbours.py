"""Records of other types that a plugin is shown beside TXT records, though the fake has none of them.

They are made after a TXT record that the fake itself lists, and taken out of requests again, so that the
fake never hears of them. What a plugin does to them on the way is seen.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from pvefw.testing import _wire
from pvefw.testing._requests import Request

KINDS = (
    ("A", "192.0.2.77", 7200, ""),
    ("AAAA", "2001:db8::77", 7200, ""),
    ("MX", "10 mail.kit.example.", 14400, "mail-of-others"),
    ("CNAME", "www.kit.example.", 600, "alias-of-others"),
)
"""Type, value, TTL, and the label instead of that of the challenge; none: at the same name."""
_HOST = re.compile(r"_acme-challenge\.\w+\.pvefw-kit")
_REMOVING = re.compile(r"delet|remov|drop|purge|clear", re.IGNORECASE)
_OF_THE_ZONE = re.compile(r"zone|domain", re.IGNORECASE)
_GOES = (
    "{} takes {} {!r} of somebody else away: look at the type of what you delete or send back, and send "
    "back all that is not yours"
)
_TURNS = "{} changes {} {!r} of somebody else: change TXT alone, and let others keep their TTL"


@dataclass
class Neighbours:
    """What others have beside TXT, and what became of it."""

    texts: Collection[str]
    """The TXT values that the fake has at the name, by which its records are recognized."""
    elsewhere: Collection[str]
    """TXT values of others at other names: who sends them writes more than one name."""
    wrongs: list[str] = field(default_factory=list)
    """Sentences with a place for the hook's name."""
    _ids: dict[str, tuple[str, str]] = field(default_factory=dict)
    _own: set[str] = field(default_factory=set)
    """Ids that the fake has given to TXT records."""
    _shown: set[tuple[str, str]] = field(default_factory=set)

    # --- replies -----------------------------------------------------------------------------------

    def among(self, request: Request, data: Any) -> Any:
        """A reply's data with these records in every list that has TXT records, as it was asked for."""
        asked = request_text(request)
        if "txt" in asked or self._quoted(asked):
            return data
        at_name = "_acme-challenge" in asked
        return self._with_more(data, [kind for kind in KINDS if not (at_name and kind[3])])

    def _with_more(self, data: Any, kinds: Collection[tuple[str, str, int, str]]) -> Any:
        if isinstance(data, Mapping):
            return {key: self._with_more(value, kinds) for key, value in data.items()}
        if not isinstance(data, list):
            return data
        self._own |= {id_ for row in data if _is_text(row) for id_ in _record_ids(row)}
        pattern = next((row for row in data if _is_text(row) and self._held(row)), None)
        if pattern is None:
            return [self._with_more(row, kinds) for row in data]
        first, *more = (self._like(pattern, data, *kind) for kind in kinds)
        at = data.index(pattern)  # one before and one after it: either may be taken for it
        return [*data[:at], first, *data[at:], *more]

    def _like(
        self, pattern: Any, others: list[Any], kind: str, value: str, ttl: int, label: str
    ) -> Any:
        self._shown.add((kind, value))
        common = (
            {str(scalar) for _, scalar in _wire.scalars(others[0])} if len(others) > 1 else set()
        )
        common &= {str(scalar) for _, scalar in _wire.scalars(others[-1])}

        def change(key: str, scalar: Any) -> Any:
            text = str(scalar)
            if text.upper() == "TXT":
                return kind if text.isupper() else kind.lower()
            if text.strip('"') in self.texts:
                return value
            if _wire.is_ttl(key, scalar):
                return _wire.another_ttl(scalar, ttl)
            if _wire.is_id(key) and text not in common and not _HOST.search(text):
                other = _wire.another(text, 1 + [row[0] for row in KINDS].index(kind))
                self._ids[other] = (kind, value)
                return type(scalar)(other)
            return _HOST.sub(label, text) if label and isinstance(scalar, str) else scalar

        return _wire.changed(self._with_one_value(pattern), change)

    def _with_one_value(self, data: Any) -> Any:
        """Of several values the first: an address or an alias has no more."""
        if isinstance(data, Mapping):
            return {key: self._with_one_value(value) for key, value in data.items()}
        if isinstance(data, list) and self._held(data):
            return [next(self._with_one_value(row) for row in data if self._held(row))]
        return data

    # --- requests ----------------------------------------------------------------------------------

    def without(self, request: Request) -> Request:
        """The request as it would be if these records were not there; what is wrong with it is kept."""
        if not self._shown or request.method in ("GET", "HEAD"):
            return request
        body = _wire.body_of(request)
        sent = {pair for pair in self._shown if _wire.holds(body, pair[1])}
        self.wrongs += [_GOES.format("{}", *pair) for pair in self._taken(request) - sent]
        self.wrongs += [_GOES.format("{}", *pair) for pair in self._left_out(request, body) - sent]
        self.wrongs += [_TURNS.format("{}", *pair) for pair in sent if self._changed(body, *pair)]
        if sent:
            return _wire.with_body(request, self._cleared(body))
        return request

    def _taken(self, request: Request) -> set[tuple[str, str]]:
        """What is referred to by its id, or is at a name that is deleted whatever is there."""
        used = {self._ids[id_] for id_ in _wire.ids_used(request, set(self._ids))}
        asked = f"{request.method} {request_text(request)}"
        everything = _REMOVING.search(asked) and _HOST.search(asked) and "txt" not in asked
        known = self._quoted(asked) or _wire.ids_used(request, self._own)
        if everything and not known:
            used |= {(kind, value) for kind, value, _, label in KINDS if not label}
        return used & self._shown

    def _left_out(self, request: Request, body: Any) -> set[tuple[str, str]]:
        """What is missing in a list that is sent to replace a name's, or the zone's, records."""
        scope = unquote_plus(f"{request.path} {' '.join(request.query.values())}").lower()
        if "txt" in scope:
            return set()
        missing: set[tuple[str, str]] = set()
        for rows in _lists(body):
            texts = [row for row in rows if _is_text(row)]
            whole_zone = any(_wire.holds(texts, value) for value in self.elsewhere)
            whole_name = request.method == "PUT" and _HOST.search(scope) and self._held(texts)
            missing |= {
                (kind, value)
                for kind, value, _, label in KINDS
                if whole_zone or (whole_name and not label)
            }
        return missing & self._shown

    def _changed(self, body: Any, kind: str, value: str) -> bool:
        [ttl] = [row[2] for row in KINDS if row[0] == kind]
        wrong_ttl = any(str(ttl_) != str(ttl) for ttl_ in _wire.ttls_of(body, value))
        return wrong_ttl or any(self._wrong_place(ttl_, kind, value) for ttl_ in _mappings(body))

    def _wrong_place(self, data: Mapping[str, Any], kind: str, value: str) -> bool:
        """Among what is to be deleted, or as a record of another type."""
        removed = any(
            _REMOVING.search(key) and _wire.holds(text, value) for key, text in data.items()
        )
        own = {str(scalar).upper() for scalar in direct(data)}
        return removed or (_wire.holds(data, value) and "TXT" in own and kind not in own)

    def _cleared(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            return {key: self._cleared(value) for key, value in data.items()}
        if not isinstance(data, list):
            return data
        own = [row for row in data if not self._is_shown(row)]
        return [self._cleared(row) for row in own]

    def _is_shown(self, row: Any) -> bool:
        held = [pair for pair in self._shown if _wire.holds(row, pair[1])]
        return len(held) == 1 and not self._held(row)

    def _held(self, data: Any) -> bool:
        return any(_wire.holds(data, text) for text in self.texts)

    def _quoted(self, asked: str) -> bool:
        """Whether a request names a value; short ones are in anything."""
        return any(text.lower() in asked for text in self.texts if len(text) > len("challenge"))


def request_text(request: Request) -> str:
    """All that a request says, in lower case."""
    parts = [request.path, *request.query, *request.query.values(), request.body.decode("latin-1")]
    return unquote_plus(" ".join(parts)).lower()


def direct(data: Mapping[str, Any]) -> Iterator[Any]:
    """What a record itself says; in XML each field is an element."""
    for value in data.values():
        yield value[0] if isinstance(value, list) and len(value) == 1 else value


def _record_ids(data: Mapping[str, Any]) -> Iterator[str]:
    for key, scalar in _wire.scalars(data):
        if _wire.is_id(key) and not _OF_THE_ZONE.search(key):
            yield str(scalar)


def _is_text(data: Any) -> bool:
    return isinstance(data, Mapping) and "TXT" in {str(scalar).upper() for scalar in direct(data)}


def _lists(data: Any) -> Iterator[list[Any]]:
    if isinstance(data, list):
        yield data
    for value in (
        data.values() if isinstance(data, Mapping) else data if isinstance(data, list) else ()
    ):
        yield from _lists(value)


def _mappings(data: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(data, Mapping):
        yield data
    for value in (
        data.values() if isinstance(data, Mapping) else data if isinstance(data, list) else ()
    ):
        yield from _mappings(value)
