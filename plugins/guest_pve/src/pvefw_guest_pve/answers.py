"""What the API answers, as it has to be: a proxy or a login page before it may answer in its place."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import requests

from pvefw.api import ProviderError, RateLimited, Unavailable

_SHOWN = 60
_TOO_MANY = 429


class NoSense(Unavailable):
    """Whatever answered was not Proxmox VE's API."""


class Unexpected(ProviderError):
    """The API has answered, and something else than it always does."""


class Answers:
    """Reads answers. Proxmoxer's own reader takes what is no JSON for an answer, too."""

    def get_accept_types(self) -> str:
        """For the header ``Accept``."""
        return "application/json"

    def loads(self, response: requests.Response) -> Any:
        """The data of an answer.

        :raises NoSense: it has none.
        """
        try:
            return json.loads(response.content.decode())["data"]
        except (ValueError, LookupError, TypeError) as error:
            raise NoSense(
                f"{_asked(response)}: the answer is not Proxmox VE's: {_beginning(response)}"
            ) from error

    def loads_errors(self, response: requests.Response) -> Mapping[str, Any] | None:
        """What is wrong with each parameter; of a refusal that is no JSON there is nothing to say."""
        try:
            errors = json.loads(response.content.decode())["errors"]
        except (ValueError, LookupError, TypeError):
            return None
        return errors if isinstance(errors, Mapping) else None


def look_at(response: requests.Response, *_arguments: Any, **_options: Any) -> None:
    """Follow no redirection: Proxmox VE's API has none, and a page to log in is no answer.

    :raises NoSense: it is one.
    :raises RateLimited: something before the API wants fewer requests.
    """
    if response.is_redirect:
        raise NoSense(f"{_asked(response)}: it is redirected to {response.headers['location']}")
    if response.status_code == _TOO_MANY:
        wait = response.headers.get("retry-after", "")
        raise RateLimited(
            f"{_asked(response)}: too many requests (429)",
            retry_after=float(wait) if wait.isdecimal() else None,
        )
    if not response.ok and (words := _words(response)):
        response.reason = words  # where Proxmox VE puts them, and a proxy drops them


def _words(response: requests.Response) -> str:
    """What a refusal says in its body; empty where it says nothing."""
    try:
        return str(json.loads(response.content.decode()).get("message") or "").strip()
    except (ValueError, AttributeError):
        return ""


def rows(answer: object) -> Sequence[Mapping[str, Any]]:
    """An answer that has to be a list.

    :raises Unexpected: it is none.
    """
    if not isinstance(answer, list) or not all(isinstance(row, Mapping) for row in answer):
        raise Unexpected("the API answered something that is no list")
    return answer


def described(answer: object) -> Mapping[str, Any]:
    """An answer that has to describe one thing.

    :raises Unexpected: it does not.
    """
    if not isinstance(answer, Mapping):
        raise Unexpected("the API answered nothing about it")
    return answer


def task(answer: object) -> str:
    """The UPID of a task that has begun.

    :raises ProviderError: it is none; nobody knows what has begun.
    """
    if not isinstance(answer, str) or not answer.startswith("UPID:"):
        raise ProviderError(
            "the API did not say which task it has begun", hint="See the node's list of tasks."
        )
    return answer


def _asked(response: requests.Response) -> str:
    request = response.request
    path = str(request.path_url).partition("?")[0].removeprefix("/api2/json")
    return f"{request.method} {path}"


def _beginning(response: requests.Response) -> str:
    words = " ".join(response.content.decode(errors="replace").split())
    return f"{words[:_SHOWN]}…" if len(words) > _SHOWN else words or "it is empty"
