"""What an ACME server answers: a good answer's content, and the error that a bad one stands for.

That is one error of :mod:`pvefw.core.errors`, in the server's own words (RFC 8555 section 6.7).
"""

import email.utils
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

import requests

from pvefw.core import text
from pvefw.core.errors import AcmeProblem, AcmeProtocolError
from pvefw.host.clock import SystemClock

_JSON = ("application/json", "application/problem+json")
_PEM = "application/pem-certificate-chain"
_MOST_WORDS = 1000
"""Characters of the server's own words that are shown."""
_MOST_PROBLEMS = 100
"""Subproblems that are looked at: as many as names that an order may have."""
_LONGEST_WAIT = 366 * 86400.0
"""Seconds. No server means more than a year, and ``inf`` is no time."""
_DIGITS = 12
_DEEPEST = 64
"""Objects and lists within each other; RFC 8555 has four."""
_HINTS = {
    "rateLimited": "Wait; ordering again before then makes it worse.",
    "externalAccountRequired": "Register with --eab-kid and --eab-hmac-key-file from the authority.",
    "userActionRequired": "Agree to its new terms in your account at the authority, then try again.",
    "alreadyRevoked": "It is already revoked; order a new one.",
    "badCSR": "Check the configured names and the key type.",
    "rejectedIdentifier": "The authority does not issue for this name; remove it from the configuration.",
    "caa": "The domain's CAA record names other authorities; change it.",
    "serverInternal": "The authority has a fault; try again later.",
    "invalidProfile": "Order for a profile that it offers; pvefw acme directory list shows them.",
}
THEIR_URL = (
    "This URL comes from the authority. Its operator can correct it: a server behind a proxy must be "
    "told by which address, and that by https, it is reached."
)
_SERVER_ERROR = 500
_NO_ACME = "This is no answer of an ACME server: check the directory URL, and proxies in between."
_THEIR_REASON = "That is the authority's reason; where it does not say enough, ask its operator."


@dataclass(frozen=True)
class Response:
    """A good answer."""

    status: int
    headers: Any
    """Case-insensitive."""
    body: bytes
    url: str

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        :raises AcmeProtocolError: it is not one.
        """
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind not in _JSON:
            raise AcmeProtocolError(
                f"{self.url}: answered {kind or 'no content type'} instead of JSON"
            )
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise AcmeProtocolError(f"{self.url}: answered something that is not JSON") from error
        if _is_deeper(value, _DEEPEST):
            raise AcmeProtocolError(
                f"{self.url}: answered JSON with more than {_DEEPEST} levels, which ACME does not have"
            )
        if not isinstance(value, dict):
            raise AcmeProtocolError(f"{self.url}: answered JSON that is not an object")
        return value

    def object_if_any(self) -> dict[str, Any]:
        """The body as a JSON object; nothing where it is none, and not what counts."""
        try:
            return self.json()
        except AcmeProtocolError:
            return {}

    def pem(self) -> bytes:
        """The body as a certificate chain (RFC 8555 section 9.1).

        :raises AcmeProtocolError: it is not one.
        """
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        # what comes before it is against section 9.1, and harmless: only certificates are installed
        if b"-----BEGIN CERTIFICATE-----" not in self.body:
            raise AcmeProtocolError(
                f"{self.url}: answered something that is not a certificate chain"
            )
        if kind != _PEM:
            raise AcmeProtocolError(
                f"{self.url}: answered a certificate chain with the content type "
                f"{kind or 'missing'} instead of {_PEM}",
                hint="Only the server's Content-Type is wrong; its operator can correct that.",
            )
        return self.body

    def location(self) -> str:
        """The URL of what was created.

        :raises AcmeProtocolError: the server did not say, or said what nobody can ask.
        """
        header: str = self.headers.get("Location", "")
        if not header:
            raise AcmeProtocolError(f"{self.url}: answered without a Location")
        url = absolute(self.url, header)
        if not url.startswith("https://"):
            raise AcmeProtocolError(f"{url}: ACME needs https", hint=THEIR_URL)
        return url

    @property
    def retry_after(self) -> float | None:
        """Seconds after which to ask again (RFC 9110 section 10.2.3), if the server said."""
        return _retry_after(self.headers)

    def alternates(self) -> list[str]:
        """The URLs of alternate chains (RFC 8555 section 7.4.2)."""
        links = requests.utils.parse_header_links(self.headers.get("Link", ""))
        return [absolute(self.url, link["url"]) for link in links if link.get("rel") == "alternate"]


def absolute(base: str, url: str) -> str:
    """A URL that a server sent, relative to that of its answer, perhaps.

    :raises AcmeProtocolError: it is none.
    """
    try:
        return urljoin(base, url)
    except ValueError as error:
        raise AcmeProtocolError(f"{base}: answered with '{url}', which is not a URL") from error


def _is_deeper(value: object, levels: int) -> bool:
    """Whether JSON has more levels than these; without recursion of its own."""
    level = [value]
    for _ in range(levels):
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return bool(level)


def problem_in(response: Response) -> AcmeProblem:
    """The error that a bad answer stands for."""
    try:
        document = response.json()
    except AcmeProtocolError:  # a proxy's page, mostly; the status says enough
        document = {}
    return problem_of(
        document, response.url, status=response.status, retry_after=_retry_after(response.headers)
    )


def problem_of(
    problem: Mapping[str, Any], what: str, *, status: int = 0, retry_after: float | None = None
) -> AcmeProblem:
    """A problem document as an error (RFC 7807; subproblems: RFC 8555 section 6.7.1).

    :param problem: the document; empty where the server sent something else.
    :param what: names the URL or identifier.
    """
    kind = _kind(problem)
    unsaid = f"HTTP status {status}" if status else "no reason is given"
    detail = _printable(problem.get("detail") or problem.get("title")) or unsaid
    inner = problem.get("subproblems")
    listed = inner[:_MOST_PROBLEMS] if isinstance(inner, list) else []
    documents = [document for document in listed if isinstance(document, dict)]
    reason_of = _by_identifier(documents)
    reasons = "".join(f"; {name}: {why}" if name else f"; {why}" for name, why in reason_of.items())
    later = "" if retry_after is None else f" (try again in {retry_after:.0f} seconds)"
    return AcmeProblem(
        f"{what}: {detail}{reasons}{later}" + (f" [{kind}]" if kind else ""),
        type=kind,
        detail=detail,
        status=status,
        retry_after=retry_after,
        subproblems=reason_of,
        hint=_hint(problem, [kind, *map(_kind, documents)], status),
    )


def _hint(problem: Mapping[str, Any], kinds: Sequence[str], status: int) -> str:
    """What to do about a problem.

    :param kinds: its own, and those of its subproblems.
    """
    page = _printable(problem.get("instance"))
    if kinds[0] == "userActionRequired" and page.startswith("https://"):
        return f"Do what the authority asks for at {page} , then try again."
    known = [_HINTS[kind] for kind in kinds if kind in _HINTS]
    if known:
        return known[0]
    if status >= _SERVER_ERROR:
        return _HINTS["serverInternal"]
    return _THEIR_REASON if problem or not status else _NO_ACME


def _kind(problem: Mapping[str, Any]) -> str:
    """The last part of the URN that says what kind of problem it is."""
    return _printable(problem.get("type")).rpartition(":")[2]


def _by_identifier(subproblems: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What is said of each identifier; of the empty one what is said of none."""
    reasons: dict[str, str] = {}
    for subproblem in subproblems:
        identifier = subproblem.get("identifier")
        name = _printable(identifier.get("value")) if isinstance(identifier, dict) else ""
        why = _printable(subproblem.get("detail")) or _kind(subproblem)
        if not why:
            continue
        reasons[name] = f"{reasons[name]}; {why}" if name in reasons else why
    return reasons


def _printable(member: object) -> str:
    """The server's words, on one line and without control characters: terminals and logs show them."""
    if not isinstance(member, str):  # a number or an object is no sentence, and may be endless
        return ""
    words = " ".join(member[: 2 * _MOST_WORDS].split())
    return text.bounded(text.one_line(words), _MOST_WORDS)


def _retry_after(headers: Any) -> float | None:
    header = str(headers.get("Retry-After", "")).strip()
    if not header:
        return None
    if header.isascii() and header.isdecimal():
        return _LONGEST_WAIT if len(header) > _DIGITS else min(float(header), _LONGEST_WAIT)
    try:
        when = _date(header)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max((when - _their_now(headers)).total_seconds(), 0.0), _LONGEST_WAIT)


def _their_now(headers: Any) -> datetime:
    """The server's time, where it says it: its clock need not be right, nor ours."""
    try:
        return _date(headers.get("Date", ""))
    except (ValueError, TypeError, OverflowError):
        return SystemClock().now()


def _date(header: str) -> datetime:
    """A date of HTTP.

    :raises ValueError: it is none; or another of what the library raises.
    """
    when = email.utils.parsedate_to_datetime(header)
    return when if when.tzinfo else when.replace(tzinfo=UTC)
