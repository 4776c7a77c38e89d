"""What a failed script said, and what kind of failure that is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from pvefw.api import CredentialsRejected, ProviderError, RateLimited, Unavailable

_LINES = 4
_MARK = "\036"
_STATUS = re.compile(
    r"\b(?:HTTP(?:/[\d.]+)?|status(?:[ _]?code)?|code|error|returned)\W{0,4}([1-5]\d\d)\b",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"unauthori[sz]ed|forbidden|access (is )?denied|permission denied|not permitted|"
    r"authenticat(ion|e)\b.{0,20}(fail|invalid|error|required)|(fail|invalid|error).{0,20}authenticat|"
    r"(invalid|wrong|bad|expired|incorrect|missing).{0,20}"
    r"(token|credential|(api|secret)[ _-]?key|password|login|signature)|"
    r"\b(NOTAUTH|BADKEY|BADSIG|REFUSED)\b",
    re.IGNORECASE,
)
_BUSY = re.compile(
    r"timed? ?-?out|could(n't| not) (resolve|connect)|connection (was )?(refused|reset|closed)|"
    r"no servers? could be reached|network is unreachable|failed to connect|"
    r"temporarily|service unavailable|bad gateway|empty reply|\bSERVFAIL\b|try again later",
    re.IGNORECASE,
)
_MANY = re.compile(r"too many requests|rate.?limit", re.IGNORECASE)
_FAILED = range(400, 600)
_LATER = {*range(500, 600), HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY}
_NOT_SENT = ("curl 5", "curl 6", "curl 7")
"""No address, or no connection: the provider never got the request."""
_UNREACHABLE = frozenset((5, 6, 7, 16, 18, 28, 35, 52, 55, 56, 92))
"""Exit statuses of curl that are about the way to the server (curl(1))."""


@dataclass
class Output:
    """What a script and the programs that it called said."""

    errors: list[str] = field(default_factory=list)
    """Its own messages of failure."""
    notes: list[str] = field(default_factory=list)
    """Its other messages, for the log."""
    noise: list[str] = field(default_factory=list)
    """Standard error of curl, nsupdate and whatever else it called."""
    requests: list[str] = field(default_factory=list)
    """Of each HTTP request the status, or ``curl`` and its exit status."""


def sort(stderr: str) -> Output:
    """Sort what came on standard error: messages of the helpers are marked with their kind."""
    output = Output()
    kinds = {"E": output.errors, "I": output.notes, "D": output.notes, "R": output.requests}
    for line in stderr.split("\n"):  # splitlines() would split at the mark
        mark, _, message = line.partition(_MARK)
        if mark or not message:
            if line.strip():
                output.noise.append(line.strip())
        else:
            kinds.get(message[0], output.notes).append(message[1:].strip())
    return output


def explain(who: str, output: Output, stdout: str) -> ProviderError:
    """The failure in the script's own words and those of the programs below it.

    :param who: ``dns_NAME.sh add``.
    :param stdout: quoted where nothing else was said.
    """
    own = output.errors[-_LINES:]
    below = list(dict.fromkeys(line for line in output.noise if not _is_in(line, own)))[-_LINES:]
    if not (own or below):
        below = [line.strip() for line in stdout.splitlines() if line.strip()][-_LINES:]
    words = " / ".join(own)
    if below:
        words = f"{words} ({' / '.join(below)})" if words else " / ".join(below)
    message = f"{who}: {words or 'it printed nothing'}"
    last = output.requests[-1] if output.requests else ""
    if last.isdecimal() and int(last) in _FAILED and last not in message:
        message += f" (HTTP status {last})"
    error = _kind(message, " / ".join([*own, *below]), last)
    error.unchanged = bool(output.requests) and all(
        request in _NOT_SENT for request in output.requests
    )
    return error


def _is_in(line: str, others: Sequence[str]) -> bool:
    return any(line in other for other in others)


def _kind(message: str, words: str, last: str) -> ProviderError:
    """Status codes first, for they say exactly what words only suggest."""
    codes = {int(code) for code in _STATUS.findall(words)}
    if last.isdecimal():
        codes.add(int(last))
    if HTTPStatus.TOO_MANY_REQUESTS in codes or _MANY.search(words):
        return RateLimited(message)
    if codes & {401, 403}:
        return _rejected(message)
    if codes & _LATER:
        return Unavailable(message)
    if last.startswith("curl ") and int(last[5:]) in _UNREACHABLE:
        return Unavailable(message)
    if _BUSY.search(words):
        return Unavailable(message)
    return _rejected(message) if _REFUSED.search(words) else ProviderError(message)


def _rejected(message: str) -> CredentialsRejected:
    return CredentialsRejected(message, hint="Check the credentials and their rights.")
