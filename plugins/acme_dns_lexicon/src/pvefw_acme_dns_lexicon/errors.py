"""What an exception out of lexicon means: a provider's module raises what it likes.

Many wrap what happened in an error of lexicon's own, whose cause says more than itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import requests

from pvefw.api import CredentialsRejected, ProviderError, RateLimited, Unavailable, cause_of

_TOO_MANY, _BROKEN = 429, 500
_UNAUTHORIZED = (401, 403)
_NO_ANSWER = (requests.ConnectionError, requests.Timeout, ConnectionError, TimeoutError)
_LONGEST = 300
"""Characters of a provider's words that are shown."""
_CHECK = "Check the credentials and their rights."


@dataclass(frozen=True)
class _Answer:
    """What a server answered."""

    status: int
    words: str = ""
    retry_after: float | None = None


def explained(name: str, error: Exception) -> ProviderError:
    """The error for core.

    :param name: the provider's.
    """
    from lexicon.exceptions import AuthenticationError

    chain = list(_chain(error))
    answer = next(filter(None, map(_answer, chain)), None)
    words = " ".join(str(error).split()) or type(error).__name__
    if answer and answer.words and answer.words not in words:
        words = f"{words}: {answer.words}"
    words = f"lexicon/{name}: {words}"
    if answer and answer.status == _TOO_MANY:
        return RateLimited(words, retry_after=answer.retry_after)
    if answer and answer.status >= _BROKEN:
        return Unavailable(words)
    if not answer and (lost := [cause for cause in chain if isinstance(cause, _NO_ANSWER)]):
        return Unavailable(f"lexicon/{name}: no answer: {cause_of(lost[0])}")
    refused = any(isinstance(cause, AuthenticationError) for cause in chain)
    if refused or (answer and answer.status in _UNAUTHORIZED):
        return CredentialsRejected(words, hint=_CHECK)
    return ProviderError(words)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, and what it was raised from or while handling."""
    following: BaseException | None = error
    while following is not None:
        yield following
        hidden = None if following.__suppress_context__ else following.__context__
        following = following.__cause__ or hidden


def _answer(error: BaseException) -> _Answer | None:
    """What the server answered: out of requests, botocore, or the clients that keep a status."""
    response = getattr(error, "response", None)
    if isinstance(response, requests.Response):
        after = response.headers.get("Retry-After", "")
        wait = float(after) if after.isdecimal() else None
        return _Answer(response.status_code, _words(response), wait)
    if isinstance(response, Mapping):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return _Answer(status) if isinstance(status, int) else None
    for key in ("status_code", "errcode", "code"):  # of Azure's client, xmlrpc.client, urllib
        status = getattr(error, key, None)
        if isinstance(status, int):
            return _Answer(status)
    return None


def _words(response: requests.Response) -> str:
    """The body on one line; nothing of a page that is meant for people."""
    text = " ".join(response.text.split())
    return "" if text.startswith("<") else text[:_LONGEST]
