"""Zones that a plugin is shown beside, or instead of, the one that its fake has."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pvefw.testing import _wire
from pvefw.testing._neighbours import direct, request_text
from pvefw.testing._requests import Request

_RECORD_TYPES = {"A", "AAAA", "CAA", "CNAME", "MX", "NS", "SOA", "SRV", "TXT"}
_WRONG_ZONE = (
    "{} writes to the zone {}. instead of {}.: compare the whole names of zones, not their ends, and "
    "take the id of the one that you were given"
)


@dataclass
class OtherZones:
    """Zones whose names end as that of the fake's, or end with it, in every list that has it."""

    zone: str
    """That of the fake, without the final dot."""
    texts: Collection[str]
    """What is written: a request that has one of these writes to the zone that it refers to."""
    wrongs: list[str] = field(default_factory=list)
    """Sentences with a place for the hook's name."""
    _known: dict[str, str] = field(default_factory=dict)
    """The fake's own names and ids, by those that were made of them."""
    _names: dict[str, str] = field(default_factory=dict)
    """The name of the zone that each of those stands for."""

    def among(self, request: Request, data: Any) -> Any:
        """A reply's data with zones beside the fake's, unless that one was asked for."""
        return data if self.zone in request_text(request) else self._with_more(data)

    def without(self, request: Request) -> Request:
        """The same of the fake's own zone; what is written to another one is wrong."""
        used, sent = _wire.ids_used(request, set(self._known)), request_text(request)
        if used and request.method != "GET" and any(text.lower() in sent for text in self.texts):
            self.wrongs += [_WRONG_ZONE.format("{}", self._names[id_], self.zone) for id_ in used]
        return _wire.redirected(request, self._known)

    def _with_more(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            return {key: self._with_more(value) for key, value in data.items()}
        if not isinstance(data, list):
            return data
        own = next((item for item in data if self._is_own(item)), None)
        if own is None:
            return [self._with_more(item) for item in data]
        first = self.zone.partition(".")[0]
        end, longer = self.zone[(len(first) + 1) // 2 :], f"not{self.zone}"
        return [self._like(own, end, 1), self._like(own, longer, 2), *data]

    def _is_own(self, row: Any) -> bool:
        """Whether it is the zone, or its description; a record of that name is none."""
        texts = {str(scalar) for scalar in direct(row)} if isinstance(row, Mapping) else {str(row)}
        named = any(text.rstrip(".").lower() == self.zone for text in texts)
        return named and not _RECORD_TYPES & {text.upper() for text in texts}

    def _like(self, row: Any, name: str, number: int) -> Any:
        def change(key: str, scalar: Any) -> Any:
            text = str(scalar)
            if text.rstrip(".").lower() == self.zone:
                other = name + "." * text.endswith(".")
            elif _wire.is_id(key):
                other = _wire.another(text, number)
            else:
                return scalar
            self._known[other], self._names[other] = text, name
            return type(scalar)(other)

        return _wire.changed(row, change)


@dataclass
class OneLabelMore:
    """The fake's zone under a name that has one label more."""

    zone: str
    """As the fake has it, without the final dot."""
    label: str

    def among(self, request: Request, data: Any) -> Any:  # noqa: ARG002 - all replies are alike
        """A reply's data with the longer name."""
        return _renamed(data, lambda text: text.replace(self.zone, f"{self.label}.{self.zone}"))

    def without(self, request: Request) -> Request:
        """The request with the name that the fake knows."""

        def shorter(text: str) -> str:
            return text.replace(f"{self.label}.{self.zone}", self.zone)

        query = {key: shorter(value) for key, value in request.query.items()}
        body = shorter(request.body.decode("latin-1")).encode("latin-1")
        return dataclasses.replace(request, path=shorter(request.path), query=query, body=body)


def _renamed(data: Any, change: Callable[[str], str]) -> Any:
    """Data with every text changed, also where it is the name of a field."""
    if isinstance(data, Mapping):
        return {change(key): _renamed(value, change) for key, value in data.items()}
    if isinstance(data, list):
        return [_renamed(item, change) for item in data]
    return change(data) if isinstance(data, str) else data
