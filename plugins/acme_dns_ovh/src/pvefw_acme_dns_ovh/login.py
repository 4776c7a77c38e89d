"""A consumer key that a person has to allow on a page of OVH's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pvefw.api import CredentialsRejected, RateLimited, Task, Unavailable
from pvefw_acme_dns_ovh.api import Api
from pvefw_acme_dns_ovh.credentials import ApplicationKeys
from pvefw_acme_dns_ovh.errors import NoSuchKey, NotGranted
from pvefw_acme_dns_ovh.rights import AccessRule

_POLL_SECONDS = 2.0
_PATIENCE = 30
"""How many questions in a row may fail for reasons of OVH's."""
_PENDING = ("pendingValidation", "pending")


@dataclass(frozen=True)
class Key:
    """A consumer key that was allowed."""

    value: str
    ends: str
    """RFC 3339; empty for never, and where OVH does not say."""


@dataclass(frozen=True)
class _State:
    """What OVH says of a key: its status, or the code of the refusal to say."""

    status: str
    ends: str = ""


def login(api: Api, keys: ApplicationKeys, rules: Sequence[AccessRule], task: Task) -> Key:
    """Request a key, show the page, and wait until somebody has decided.

    The key is used once before the page is shown: a wrong application secret is found then. OVH's answers
    about a key that waits differ (a status, or a refusal); any change of the first one is a decision.

    :raises CredentialsRejected: the application's keys are wrong, or the access was refused.
    :raises Unavailable: OVH has not answered for a minute.
    """
    made = api.call_unsigned("POST", "/auth/credential", {"accessRules": rules}, keys.application)
    value = str(made["consumerKey"])
    asking = api.acting_as(keys.with_consumer_key(value))
    waiting = state = _patiently(asking, task)
    task.log(f"Open this page and allow the access: {made['validationUrl']}")
    while state.status in (waiting.status, *_PENDING) and state.status != "validated":
        task.wait(_POLL_SECONDS)
        state = _patiently(asking, task)
    if state.status != "validated":
        raise CredentialsRejected(
            f"the access was not allowed: {state.status}", hint="Log in again and allow it."
        )
    _say_validity(state.ends, task)
    return Key(value, state.ends)


def _patiently(api: Api, task: Task) -> _State:
    """A key's state; a fault of OVH's is waited for: somebody is on the page."""
    for _ in range(_PATIENCE):
        try:
            return _state(api)
        except (RateLimited, Unavailable) as error:
            task.wait(getattr(error, "retry_after", None) or _POLL_SECONDS)
    return _state(api)


def _state(api: Api) -> _State:
    try:
        credential: Mapping[str, str | None] = api.call("GET", "/auth/currentCredential")
    except NoSuchKey as error:
        return _State(error.code)
    except NotGranted:  # the key is good for other calls
        return _State("validated")
    return _State(str(credential.get("status")), credential.get("expiration") or "")


def _say_validity(ends: str, task: Task) -> None:
    if not ends:
        task.log("The consumer key does not expire.")
        return
    day = datetime.fromisoformat(ends).date()
    task.warn(
        f"The consumer key expires on {day}; certificates cannot be renewed after that. "
        "To avoid it, log in again and choose an unlimited validity on the page."
    )
