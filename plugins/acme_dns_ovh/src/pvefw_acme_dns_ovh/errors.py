"""What OVH's error answers mean.

An answer has ``message`` and ``errorCode``, or since IAM ``class`` and ``details``; the status decides
where neither is known. https://github.com/ovh/python-ovh lists the codes that its own client knows.
"""

from typing import Any

import requests

from pvefw.api import CredentialsRejected, ProviderError, RateLimited, Unavailable
from pvefw_acme_dns_ovh.http import fields, retry_after

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _TOO_MANY, _BROKEN = 401, 403, 404, 409, 429, 500


class NotThere(ProviderError):
    """The zone or record does not exist, or does not exist any more."""


class Conflict(Unavailable):
    """Something of the same kind is under way."""


class NotGranted(CredentialsRejected):
    """The credentials are good, but not for this call."""


class NoSuchKey(CredentialsRejected):
    """The consumer key is pending, refused, expired or unknown; ``code`` is OVH's word for it."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Stale(CredentialsRejected):
    """The signature's time or the token is too old: make new ones and try again."""


def failure(what: str, answer: requests.Response) -> ProviderError:
    """The error that an answer means, in OVH's words.

    :param what: the call, for the message: ``GET /domain/zone``.
    """
    members = fields(answer)
    code = str(members.get("errorCode") or members.get("class") or "")
    words = f"{members['message']} ({code or answer.status_code})" if members.get("message") else ""
    words = words or f"status {answer.status_code}"
    refused = _refusal(what, words, code, members) if answer.status_code < _BROKEN else None
    return refused or _by_status(what, words, answer)


def _refusal(what: str, words: str, code: str, members: Any) -> CredentialsRejected | None:
    """An error that is about who is calling, whatever its status."""
    message = f"not allowed to {what}: {words}"
    missing = missing_actions(members)
    if missing:
        return _with_hint(
            NotGranted(f"{message}: IAM does not allow {missing}"),
            f"Allow {missing} on this zone in an IAM policy for these credentials.",
        )
    match code:
        case "NOT_GRANTED_CALL":
            return NotGranted(message)
        case "INVALID_CREDENTIAL" | "NOT_CREDENTIAL":
            return NoSuchKey(message, code)
        case "QUERY_TIME_OUT" | "INVALID_TIMESTAMP":
            return Stale(message)
        case "INVALID_SIGNATURE":
            return _with_hint(
                CredentialsRejected(message),
                "Check OVH_AS: it is not the secret that belongs to this application key.",
            )
        case "INVALID_KEY":
            return _with_hint(
                CredentialsRejected(message),
                "Check OVH_AK and OVH_END_POINT: an application is known at one endpoint only.",
            )
    return None


def missing_actions(members: Any) -> str:
    """The IAM actions that an answer names as missing, separated by commas."""
    details = members.get("details")
    if not isinstance(details, dict):
        return ""
    kinds = ("unauthorizedActionsByIAM", "unauthorizedActionsByAuthentication")
    return ", ".join(str(details[kind]) for kind in kinds if details.get(kind))


def _with_hint(error: CredentialsRejected, hint: str) -> CredentialsRejected:
    error.hint = hint
    return error


def _by_status(what: str, words: str, answer: requests.Response) -> ProviderError:
    status = answer.status_code
    if status == _TOO_MANY:
        return RateLimited(f"{what}: {words}", retry_after=retry_after(answer))
    if status == _UNAUTHORIZED:
        return Stale(f"not allowed to {what}: {words}")
    if status == _FORBIDDEN:
        return CredentialsRejected(f"not allowed to {what}: {words}")
    if status == _NOT_FOUND:
        return NotThere(f"{what}: {words}")
    if status == _CONFLICT:
        return Conflict(f"{what}: {words}")
    if status >= _BROKEN:
        return Unavailable(f"{what}: {words}")
    return ProviderError(f"{what}: {words}")
