"""OVHcloud's API, version 1: endpoints, signatures, OAuth2, and its errors as those of pvefw.

Written on requests, not on OVH's own client: that one takes whatever it is not given from the
environment, ``/etc/ovh.conf``, ``~/.ovh.conf`` and ``./ovh.conf``, and offers no way to turn this off.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from time import time
from typing import Any

import requests

from pvefw.api import CredentialsRejected, ProviderError, RateLimited, Unavailable

ENDPOINTS = {
    "ovh-eu": "https://eu.api.ovh.com/1.0",
    "ovh-ca": "https://ca.api.ovh.com/1.0",
    "ovh-us": "https://api.us.ovhcloud.com/1.0",
    "kimsufi-eu": "https://eu.api.kimsufi.com/1.0",
    "kimsufi-ca": "https://ca.api.kimsufi.com/1.0",
    "soyoustart-eu": "https://eu.api.soyoustart.com/1.0",
    "soyoustart-ca": "https://ca.api.soyoustart.com/1.0",
}
TOKEN_URLS = {
    "ovh-eu": "https://www.ovh.com/auth/oauth2/token",
    "ovh-ca": "https://ca.ovh.com/auth/oauth2/token",
    "ovh-us": "https://us.ovhcloud.com/auth/oauth2/token",
}
_SECONDS = 30.0
_TOO_MANY = 429
_UNAUTHORIZED = (401, 403)
_BROKEN = 500
_NOT_FOUND = 404


@dataclass(frozen=True)
class Credentials:
    """Application key, secret and consumer key; or an OAuth2 client."""

    application_key: str = ""
    application_secret: str = ""
    consumer_key: str = ""
    client_id: str = ""
    client_secret: str = ""

    def __repr__(self) -> str:
        return "Credentials()"


class Api:
    """Signed calls over one kept-alive session; safe to use from several threads.

    :param base: the endpoint's URL.
    :param token_url: where OAuth2 tokens come from.
    :param ca_file: certificates to trust instead of the system's.
    """

    def __init__(
        self, base: str, token_url: str, credentials: Credentials, ca_file: str = ""
    ) -> None:
        self.base = base
        self._token_url = token_url
        self._credentials = credentials
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = ca_file or True
        self._lock = Lock()
        self._clock_offset: int | None = None
        self._token = ""

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str
    ) -> Any:
        """A call with credentials; the parsed answer, ``None`` for an empty one.

        :raises CredentialsRejected: they are wrong, expired, or not allowed to do this.
        :raises RateLimited: too many calls.
        :raises Unavailable: no answer, or a fault of OVH's.
        :raises ProviderError: anything else, in OVH's words.
        """
        url = requests.Request(method, self.base + path, params=query).prepare().url or ""
        text = "" if body is None else json.dumps(body, separators=(",", ":"))
        if self._credentials.client_id:
            headers = {"Authorization": f"Bearer {self._bearer()}"}
        else:
            headers = self._signature(method, url, text)
        return self._send(method, url, text, headers)

    def call_unsigned(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """A call that needs the application key only."""
        text = "" if body is None else json.dumps(body, separators=(",", ":"))
        headers = {"X-Ovh-Application": self._credentials.application_key}
        return self._send(method, self.base + path, text, headers)

    def with_consumer_key(self, key: str) -> "Api":
        """The same, for another consumer key."""
        credentials = Credentials(
            self._credentials.application_key, self._credentials.application_secret, key
        )
        other = Api(self.base, self._token_url, credentials)
        other._session.verify = self._session.verify
        return other

    def _signature(self, method: str, url: str, body: str) -> dict[str, str]:
        """OVH's own scheme; times are the server's, so a wrong clock here does not matter."""
        known = self._credentials
        now = str(self._server_time())
        secret = [known.application_secret, known.consumer_key, method, url, body, now]
        digest = hashlib.sha1("+".join(secret).encode(), usedforsecurity=False).hexdigest()
        return {
            "X-Ovh-Application": known.application_key,
            "X-Ovh-Consumer": known.consumer_key,
            "X-Ovh-Timestamp": now,
            "X-Ovh-Signature": f"$1${digest}",
        }

    def _server_time(self) -> int:
        with self._lock:
            if self._clock_offset is None:
                theirs = self._send("GET", f"{self.base}/auth/time", "", {})
                if not isinstance(theirs, int):
                    raise Unavailable(f"{self.base}/auth/time: this is not a time: {theirs!r}")
                self._clock_offset = theirs - int(time())
            return int(time()) + self._clock_offset

    def _bearer(self) -> str:
        """An OAuth2 access token (RFC 6749 section 4.4), fetched once."""
        known = self._credentials
        with self._lock:
            if not self._token:
                form = {"grant_type": "client_credentials", "scope": "all"}
                answer = self._request(
                    lambda: self._session.post(
                        self._token_url,
                        data=form,
                        auth=(known.client_id, known.client_secret),
                        timeout=_SECONDS,
                    ),
                    self._token_url,
                )
                said = _json(answer)
                if "access_token" not in said:
                    words = said.get("error_description") or said.get("error") or answer.status_code
                    raise CredentialsRejected(f"{self._token_url}: no token: {words}")
                self._token = str(said["access_token"])
            return self._token

    def _send(self, method: str, url: str, body: str, headers: Mapping[str, str]) -> Any:
        kind = {"Content-Type": "application/json"} if body else {}
        answer = self._request(
            lambda: self._session.request(
                method, url, data=body or None, headers={**headers, **kind}, timeout=_SECONDS
            ),
            url,
        )
        if answer.ok:
            return _json(answer) if answer.content else None
        raise _failure(method, url.removeprefix(self.base), answer)

    @staticmethod
    def _request(send: Callable[[], requests.Response], url: str) -> requests.Response:
        try:
            return send()
        except requests.Timeout as error:
            raise Unavailable(f"{url}: no answer within {_SECONDS:g} seconds") from error
        except requests.RequestException as error:
            raise Unavailable(f"{url}: no answer: {type(error).__name__}") from error


def _json(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise Unavailable(
            f"{answer.url.partition('?')[0]}: an answer that is not JSON (status {answer.status_code})"
        ) from error


def _failure(method: str, path: str, answer: requests.Response) -> ProviderError:
    """What a bad answer means, in OVH's words."""
    what = f"{method} {path.partition('?')[0]}"
    try:
        said = answer.json()
        words = f"{said.get('message', '')} ({said.get('errorCode') or answer.status_code})"
    except (ValueError, AttributeError):
        words = f"status {answer.status_code}"
    if answer.status_code == _TOO_MANY:
        after = answer.headers.get("Retry-After", "")
        return RateLimited(
            f"{what}: {words}", retry_after=float(after) if after.isdecimal() else None
        )
    if answer.status_code in _UNAUTHORIZED:
        return CredentialsRejected(f"not allowed to {what}: {words}")
    if answer.status_code >= _BROKEN:
        return Unavailable(f"{what}: {words}")
    return ProviderError(f"{what}: {words}")


def gone(error: ProviderError) -> bool:
    """Whether a call failed because the thing is not there (any more)."""
    return f"({_NOT_FOUND})" in error.message or "NOT_FOUND" in error.message
