"""What can be seen and changed on the way between a plugin and the fake of its provider's API.

Here are the rules by which credentials, ids and TTLs are recognized in requests and replies of which
nothing is known but that they are HTTP and mostly JSON.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from http.cookies import CookieError, SimpleCookie
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

from pvefw.testing.http_api import Request

_SECRET_HEADER = re.compile(
    r"(?!.*(user|name|mail|login|[-_]id)$).*(auth|token|session|cookie|key|secret|ticket)",
    re.IGNORECASE,
)
_SECRET_FIELD = re.compile(r"pass|secret|token|session|ticket|api_?key|^sid$", re.IGNORECASE)
_SCHEMES = {"apikey", "basic", "bearer", "digest", "token"}
_ID_FIELD = re.compile(r"(^|[a-z_-])(id|uuid|handle|ref)$|Id$|^ID$", re.IGNORECASE)
_ID_CARRIER = re.compile(r"id$|uuid|handle|ref|zone|domain", re.IGNORECASE)
_SHORTEST_TOKEN = 6
_SHORTEST_ID = 2
_SEPARATORS = re.compile(r"[\s;,]+")
_ASSIGNED = re.compile(r"[^=]+=(.*[^=].*)")


def scalars(data: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every text and number in JSON, each with the name of the field that it is in."""
    if isinstance(data, Mapping):
        for name, one in data.items():
            yield from scalars(one, str(name))
    elif isinstance(data, list | tuple):
        for one in data:
            yield from scalars(one, key)
    elif isinstance(data, str | int | float) and not isinstance(data, bool):
        yield key, data


def changed(data: Any, change: Callable[[str, Any], Any], key: str = "") -> Any:
    """JSON with every text and number changed."""
    if isinstance(data, Mapping):
        return {name: changed(one, change, str(name)) for name, one in data.items()}
    if isinstance(data, list | tuple):
        return [changed(one, change, key) for one in data]
    if isinstance(data, str | int | float) and not isinstance(data, bool):
        return change(key, data)
    return data


def body_of(request: Request) -> Any:
    """A request's body, be it JSON or a form; ``None`` where it is neither."""
    if not request.body:
        return None
    try:
        return request.json
    except ValueError:
        form = dict(parse_qsl(request.body.decode(errors="replace")))
        return form or None


def with_body(request: Request, body: Any) -> Request:
    """The request with another body, in the form that it had."""
    try:
        was_json = request.json is not None
    except ValueError:
        was_json = False
    sent = json.dumps(body) if was_json else urlencode(body)
    return dataclasses.replace(request, body=sent.encode())


# --- credentials -----------------------------------------------------------------------------------


def credentials(request: Request) -> set[str]:
    """What a request carries to say who asks, in headers, query or body."""
    found = {
        word
        for name, value in request.headers.items()
        if _SECRET_HEADER.match(name)
        for word in _words(value)
    }
    fields = [*request.query.items(), *scalars(body_of(request))]
    found |= {str(value) for name, value in fields if _SECRET_FIELD.search(name)}
    return {one for one in found if len(one) >= _SHORTEST_TOKEN}


def _words(value: str) -> set[str]:
    """The words of a header, without the names that they are assigned to and the scheme before them."""
    parts = _SEPARATORS.split(value)
    words = {found[1] if (found := _ASSIGNED.fullmatch(one)) else one for one in parts}
    return {one for one in words if one.lower() not in _SCHEMES}


def granted(said: Any, headers: Mapping[str, str]) -> set[str]:
    """What a reply gives that may come back as a credential."""
    found = {str(value) for _, value in scalars(said)}
    for name, value in headers.items():
        if name.lower() == "set-cookie":
            with_cookies: SimpleCookie = SimpleCookie()
            try:
                with_cookies.load(value)
            except CookieError:
                continue
            found |= {one.value for one in with_cookies.values()}
        else:
            found |= _words(value)
    return {one for one in found if len(one) >= _SHORTEST_TOKEN}


def without(request: Request, tokens: set[str]) -> Request:
    """The same request, with other credentials in the place of these."""

    def other(text: str) -> str:
        for one in tokens:
            text = text.replace(one, "x" * len(one))
        return text

    headers = Message()  # as those of a request: looked up without regard to case
    for name, value in request.headers.items():
        headers[name] = other(value)
    query = {name: other(value) for name, value in request.query.items()}
    made = dataclasses.replace(request, headers=cast("Mapping[str, str]", headers), query=query)
    body = body_of(made)
    if body is None:
        return made
    return with_body(
        made, changed(body, lambda _, one: other(one) if isinstance(one, str) else one)
    )


# --- ids -------------------------------------------------------------------------------------------


def ids_in(said: Any) -> set[str]:
    """What a reply calls an id."""
    found = {str(value) for key, value in scalars(said) if _ID_FIELD.search(key)}
    return {one for one in found if len(one) >= _SHORTEST_ID}


def ids_used(request: Request, known: set[str]) -> set[str]:
    """Those of these ids that a request refers to."""
    words = {*request.path.split("/"), *request.query.values()}
    words |= {str(value) for key, value in scalars(body_of(request)) if _ID_CARRIER.search(key)}
    return known & words


def renamed(said: Any, new: Mapping[str, str]) -> Any:
    """A reply with other ids in the place of these."""

    def change(key: str, one: Any) -> Any:
        name = new.get(str(one)) if _ID_FIELD.search(key) else None
        return one if name is None else type(one)(name)

    return changed(said, change)


def redirected(request: Request, old: Mapping[str, str]) -> Request:
    """A request as it was before ids were renamed."""
    path = "/".join(old.get(part, part) for part in request.path.split("/"))
    query = {
        name: old.get(value, value) if _ID_CARRIER.search(name) else value
        for name, value in request.query.items()
    }
    made = dataclasses.replace(request, path=path, query=query)
    body = body_of(made)
    if body is None:
        return made

    def change(key: str, one: Any) -> Any:
        name = old.get(str(one)) if _ID_CARRIER.search(key) else None
        return one if name is None else type(one)(name)

    return with_body(made, changed(body, change))


# --- TTLs ------------------------------------------------------------------------------------------


def ttls_of(data: Any, value: str) -> list[Any]:
    """The TTLs that JSON gives to a value: each that of the innermost object which has both."""
    if isinstance(data, list | tuple):
        return [ttl for one in data for ttl in ttls_of(one, value)]
    if not isinstance(data, Mapping) or not _holds(data, value):
        return []
    inner = [ttl for one in data.values() for ttl in ttls_of(one, value)]
    return inner or [one for key, one in data.items() if _is_ttl(key, one)]


def with_ttl(data: Any, values: Mapping[str, int]) -> Any:
    """JSON in which these values have these TTLs, wherever it gives them one."""
    if isinstance(data, list | tuple):
        return [with_ttl(one, values) for one in data]
    if not isinstance(data, Mapping):
        return data
    made = {key: with_ttl(one, values) for key, one in data.items()}
    for value, ttl in values.items():
        if _holds(made, value) and not any(ttls_of(one, value) for one in made.values()):
            made |= {key: type(one)(ttl) for key, one in made.items() if _is_ttl(key, one)}
    return made


def _is_ttl(key: Any, one: Any) -> bool:
    return "ttl" in str(key).lower() and str(one).isdecimal()


def _holds(data: Any, value: str) -> bool:
    """Whether a value stands in JSON, perhaps in quotes."""
    return any(str(one).strip('"') == value for _, one in scalars(data))
