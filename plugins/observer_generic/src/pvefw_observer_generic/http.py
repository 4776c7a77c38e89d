"""One request, and what went wrong with it in words of pvefw's."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
from requests.utils import get_auth_from_url

from pvefw.api import CredentialsRejected, ProviderError, Unavailable, cause_of
from pvefw_observer_generic import trust

__all__ = ["send"]

_SECONDS = 30.0
_TOO_MANY, _SERVER_ERROR, _GOOD = 429, 500, 300
_REFUSED = (401, 403)
_SEE_OTHER = 303
"""The request was accepted, and there is something to see elsewhere (RFC 9110 section 15.4.4)."""
_MOVED, _SAME_AGAIN = (301, 302, 303, 307, 308), (307, 308)
_MOST_REDIRECTIONS = 5
_SAID = 200
_READ = 800
"""Bytes of an answer that are looked at: it may be without end."""


def send(
    method: str, url: str, body: bytes, headers: Mapping[str, str], ca_file: Path | None = None
) -> None:
    """Send a request that must be accepted.

    A redirection is followed on the same host where the same request is sent again: with another one, the
    body would be lost, and another host must not get what is secret in it.

    :raises Unavailable: it may be accepted later.
    :raises CredentialsRejected: it is refused for want of rights.
    :raises ProviderError: it is refused.
    """
    if ca_file:
        trust.context(ca_file)  # or it would be reported as a fault of requests
    encoded = {key: value.encode() for key, value in headers.items()}
    for _ in range(_MOST_REDIRECTIONS + 1):
        with _answered(method, url, body, encoded, ca_file) as answer:
            following = _following(answer, method, url)
            if following is None:
                _check(answer, method)
                return
            url = following
    raise ProviderError(f"{_host(url)}: it redirects too often")


@contextlib.contextmanager
def _answered(
    method: str, url: str, body: bytes, headers: Mapping[str, bytes], ca_file: Path | None
) -> Iterator[requests.Response]:
    """The answer to one request; of its body, nothing is read yet."""
    user, password = get_auth_from_url(url)
    try:
        answer = requests.request(
            method,
            url,
            data=body,
            headers=dict(headers),
            # or an entry in ~/.netrc would win over the header that is set
            auth=(user, password) if user or password else _as_it_is,
            timeout=_SECONDS,
            verify=str(ca_file) if ca_file else True,
            allow_redirects=False,
            stream=True,
        )
    except requests.ConnectionError as error:
        raise Unavailable(f"{_host(url)}: {cause_of(error)}") from error
    except requests.Timeout as error:
        raise Unavailable(f"{_host(url)}: no answer within {_SECONDS:g} seconds") from error
    except (OSError, ValueError) as error:
        raise ProviderError(f"it cannot be sent: {cause_of(error)}") from error
    with answer:
        yield answer


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _following(answer: requests.Response, method: str, url: str) -> str | None:
    """Where to send it again."""
    again = answer.status_code in (_MOVED if method == "GET" else _SAME_AGAIN)
    if not again or "Location" not in answer.headers:
        return None
    target = urljoin(url, answer.headers["Location"])
    return target if _same_host(urlsplit(url), urlsplit(target)) else None


def _same_host(one: SplitResult, other: SplitResult) -> bool:
    """Whether what one may know may be told the other."""
    if one.hostname != other.hostname:
        return False
    secured = (one.scheme, other.scheme) == ("http", "https")
    return secured or (one.scheme, one.netloc) == (other.scheme, other.netloc)


def _check(answer: requests.Response, method: str) -> None:
    """Raise what an answer means that is no acceptance."""
    status = answer.status_code
    if status < _GOOD or (status == _SEE_OTHER and method != "GET"):
        return
    words = f"status {status} {answer.reason}"
    if status in _MOVED:
        where = _host(urljoin(answer.url, answer.headers.get("Location", "")))
        raise ProviderError(
            f"{words}: it redirects to {where}, and was not sent there",
            hint="Set `url` to where it redirects: pvefw observer set {instance} --data FILE",
        )
    if text := _text(answer):
        words += f": {text}"
    if status in _REFUSED:
        raise CredentialsRejected(words)
    if status == _TOO_MANY or status >= _SERVER_ERROR:
        raise Unavailable(words)
    raise ProviderError(words)


def _text(answer: requests.Response) -> str:
    """How an answer begins."""
    shown, end = bytearray(), monotonic() + _SECONDS
    with contextlib.suppress(OSError, ValueError):  # it is cut off, or not packed as it says
        for piece in answer.iter_content(1):
            shown += piece
            if len(shown) >= _READ or monotonic() > end:
                break
    return " ".join(shown.decode(errors="replace")[:_SAID].split())


def _host(url: str) -> str:
    """Host and port: the rest of a URL may be a secret."""
    return urlsplit(url).netloc.rpartition("@")[2]
