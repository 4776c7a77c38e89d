"""What can be seen and changed on the way between a plugin and the fake of its provider's API.

Here are the rules by which credentials, ids and TTLs are recognized in requests and replies of which
nothing is known but that they are HTTP, with JSON, XML or forms in them.
"""

import base64
import binascii
import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from http.cookies import CookieError, SimpleCookie
from typing import Any, cast

from pvefw.testing._bodies import opened, opened_form
from pvefw.testing._requests import Request

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
_STALE_STATUS = (409, 412, 428)
_STALE = re.compile(r"\b(stale|conflict|outdated|precondition)\b", re.IGNORECASE)
_SHORT_REPLY = 400
"""Characters: what refuses is short, and lists of records may have any word."""
_SEPARATORS = re.compile(r"[\s;,]+")
_ASSIGNED = re.compile(r"[^=]+=(.*[^=].*)")


def scalars(data: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every text and number in JSON, each with the name of the field that it is in."""
    if isinstance(data, Mapping):
        for name, value in data.items():
            yield from scalars(value, str(name).lstrip("@"))
    elif isinstance(data, list | tuple):
        for item in data:
            yield from scalars(item, key)
    elif isinstance(data, str | int | float) and not isinstance(data, bool):
        yield key, data


def changed(data: Any, change: Callable[[str, Any], Any], key: str = "") -> Any:
    """JSON with every text and number changed."""
    if isinstance(data, Mapping):
        return {name: changed(value, change, str(name).lstrip("@")) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [changed(item, change, key) for item in data]
    if isinstance(data, str | int | float) and not isinstance(data, bool):
        return change(key, data)
    return data


def body_of(request: Request) -> Any:
    """A request's body, be it JSON, XML or a form; ``None`` where it is none of them."""
    known = opened_form(request.body)
    return known[0] if known else None


def with_body(request: Request, body: Any) -> Request:
    """The request with another body, in the form that it had."""
    known = opened_form(request.body)
    return dataclasses.replace(request, body=known[1](body)) if known else request


def with_said(body: Any, change: Callable[[Any], Any]) -> Any:
    """A reply with its data changed, in the form that it had."""
    if not isinstance(body, bytes):
        return change(body)
    known = opened(body)
    return known[1](change(known[0])) if known else body


def data_of(body: Any) -> Any:
    """The data of a reply, be it JSON or XML; what is none of them is none."""
    if not isinstance(body, bytes):
        return body
    known = opened(body)
    return known[0] if known else None


# --- credentials -----------------------------------------------------------------------------------


def credentials(request: Request) -> set[str]:
    """What a request carries to say who asks, in headers, query or body."""
    secrets = {
        word
        for name, value in request.headers.items()
        if _SECRET_HEADER.match(name)
        for word in (*_words(_without_scheme(name, value)), *_password(value))
    }
    fields = [*request.query.items(), *scalars(body_of(request))]
    secrets |= {str(value) for name, value in fields if _SECRET_FIELD.search(name)}
    return {text for text in secrets if len(text) >= _SHORTEST_TOKEN}


def _without_scheme(name: str, value: str) -> str:
    """Credentials without the scheme before them, whichever it is (RFC 9110 section 11.4)."""
    _, _, rest = value.partition(" ")
    return rest if rest and name.lower().endswith("authorization") else value


def _words(value: str) -> set[str]:
    """The words of a header, without the names that they are assigned to and the scheme before them."""
    parts = _SEPARATORS.split(value)
    words = {match[1] if (match := _ASSIGNED.fullmatch(part)) else part for part in parts}
    return {word for word in words if word.lower() not in _SCHEMES}


def _password(value: str) -> list[str]:
    """What is in ``Authorization: Basic`` (RFC 7617), beside the user's name."""
    scheme, _, encoded = value.partition(" ")
    with contextlib.suppress(binascii.Error, UnicodeDecodeError):
        if scheme.lower() == "basic":
            return base64.b64decode(encoded, validate=True).decode().split(":", 1)[1:]
    return []


def granted(answer: Any, headers: Mapping[str, str]) -> set[str]:
    """What a reply gives that may come back as a credential."""
    words = {str(value) for _, value in scalars(answer)}
    for name, value in headers.items():
        if name.lower() == "set-cookie":
            with_cookies: SimpleCookie = SimpleCookie()
            try:
                with_cookies.load(value)
            except CookieError:
                continue
            words |= {cookie.value for cookie in with_cookies.values()}
        else:
            words |= _words(value)
    return {text for text in words if len(text) >= _SHORTEST_TOKEN}


def without(request: Request, tokens: set[str]) -> Request:
    """The same request, with other credentials in the place of these."""

    def other(text: str) -> str:
        for token in tokens:
            text = text.replace(token, "x" * len(token))
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
        made, changed(body, lambda _, value: other(value) if isinstance(value, str) else value)
    )


# --- ids -------------------------------------------------------------------------------------------


def is_id(key: str) -> bool:
    """Whether a field is called an id."""
    return bool(_ID_FIELD.search(key))


def another(text: str, number: int) -> str:
    """An id of the same kind: another number, or another text of the same length."""
    if text.isdecimal():
        return str(int(text) + number * 10 ** len(text))
    return f"{text[:-1]}{'qzw'[number % 3]}{text[-1]}"


def ids_in(answer: Any) -> set[str]:
    """What a reply calls an id."""
    ids = {str(value) for key, value in scalars(answer) if is_id(key)}
    return {text for text in ids if len(text) >= _SHORTEST_ID}


def ids_used(request: Request, known: set[str]) -> set[str]:
    """Those of these ids that a request refers to."""
    words = {*request.path.split("/"), *request.query.values()}
    words |= {str(value) for key, value in scalars(body_of(request)) if _ID_CARRIER.search(key)}
    return known & words


def renamed(answer: Any, new: Mapping[str, str]) -> Any:
    """A reply with other ids in the place of these."""

    def change(key: str, scalar: Any) -> Any:
        name = new.get(str(scalar)) if is_id(key) else None
        return scalar if name is None else type(scalar)(name)

    return changed(answer, change)


def words_of(answer: Any) -> set[str]:
    """Every text and number of a reply, and the parts of those that are paths."""
    return {part for _, scalar in scalars(answer) for part in str(scalar).split("/")}


def has_version(answer: Any, headers: Mapping[str, str]) -> bool:
    """Whether a reply says which version of something it shows: an ETag (RFC 9110 section 8.8.3)."""
    named = {str(header).lower() for header in (*headers, *(key for key, _ in scalars(answer)))}
    return "etag" in named


def says_stale(status: int, answer: Any) -> bool:
    """Whether a reply refuses a change of what somebody else has changed, be it with status 200."""
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)
    return status in _STALE_STATUS or (len(text) < _SHORT_REPLY and bool(_STALE.search(text)))


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

    def change(key: str, scalar: Any) -> Any:
        name = old.get(str(scalar)) if _ID_CARRIER.search(key) else None
        return scalar if name is None else type(scalar)(name)

    return with_body(made, changed(body, change))


# --- TTLs ------------------------------------------------------------------------------------------


def ttls_of(data: Any, value: str) -> list[Any]:
    """The TTLs that JSON gives to a value: each that of the innermost object which has both."""
    if isinstance(data, list | tuple):
        return [ttl for item in data for ttl in ttls_of(item, value)]
    if not isinstance(data, Mapping) or not holds(data, value):
        return []
    inner = [ttl for text in data.values() for ttl in ttls_of(text, value)]
    return inner or [_only(text) for key, text in data.items() if is_ttl(key, text)]


def with_ttl(data: Any, values: Mapping[str, int]) -> Any:
    """JSON in which these values have these TTLs, wherever it gives them one."""
    if isinstance(data, list | tuple):
        return [with_ttl(item, values) for item in data]
    if not isinstance(data, Mapping):
        return data
    made = {key: with_ttl(value, values) for key, value in data.items()}
    for value, ttl in values.items():
        if holds(made, value) and not any(ttls_of(text, value) for text in made.values()):
            made |= {key: another_ttl(text, ttl) for key, text in made.items() if is_ttl(key, text)}
    return made


def is_ttl(key: Any, number: Any) -> bool:
    """Whether a field is a TTL; in XML it is the one child of that name."""
    return "ttl" in str(key).lower() and str(_only(number)).isdecimal()


def another_ttl(number: Any, ttl: int) -> Any:
    """Another TTL, as the field has it: a number, digits, or an element with them."""
    return [another_ttl(_only(number), ttl)] if isinstance(number, list) else type(number)(ttl)


def _only(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def holds(data: Any, value: str) -> bool:
    """Whether a value is in JSON, perhaps in quotes."""
    return any(str(scalar).strip('"') == value for _, scalar in scalars(data))
