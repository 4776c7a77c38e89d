"""Who calls: an application with a consumer key, or an OAuth2 client."""

import hashlib
from collections.abc import Mapping
from threading import Lock
from time import monotonic
from typing import Protocol

from pvefw.api import CredentialsRejected, ProviderError, RateLimited, Unavailable
from pvefw_acme_dns_ovh.http import Http, fields, parsed, retry_after

_TOO_MANY, _BROKEN = 429, 500
_MARGIN = 30.0
"""Seconds before its end at which a token is not used any more."""
_USUAL_LIFETIME = 3600.0


class Credentials(Protocol):
    """What signs requests."""

    def headers(self, method: str, url: str, body: str) -> dict[str, str]:
        """The headers that a request needs."""

    def renew(self, refused: Mapping[str, str]) -> None:
        """Make the next headers from scratch, where ``refused`` were the newest."""


class ApplicationKeys:
    """Application key, application secret and consumer key: OVH's own signature.

    Times are the server's. They are kept as a distance to a clock that nobody sets, so that neither a
    wrong clock here matters nor one that is put right meanwhile.

    :param base: the endpoint's URL.
    """

    def __init__(self, http: Http, base: str, key: str, secret: str, consumer: str) -> None:
        self._http = http
        self._base = base
        self._key = key
        self._secret = secret
        self._consumer = consumer
        self._lock = Lock()
        self._offset: float | None = None

    @property
    def application(self) -> dict[str, str]:
        """The header of a call that needs no consumer key."""
        return {"X-Ovh-Application": self._key}

    @property
    def complete(self) -> bool:
        """Whether there is a consumer key."""
        return bool(self._consumer)

    def with_consumer_key(self, consumer: str) -> "ApplicationKeys":
        """The same application for another consumer key."""
        return ApplicationKeys(self._http, self._base, self._key, self._secret, consumer)

    def headers(self, method: str, url: str, body: str) -> dict[str, str]:
        """The signature of a request."""
        now = str(self._server_time())
        parts = [self._secret, self._consumer, method, url, body, now]
        digest = hashlib.sha1("+".join(parts).encode(), usedforsecurity=False).hexdigest()
        return {
            **self.application,
            "X-Ovh-Consumer": self._consumer,
            "X-Ovh-Timestamp": now,
            "X-Ovh-Signature": f"$1${digest}",
        }

    def renew(self, refused: Mapping[str, str]) -> None:  # noqa: ARG002 - to measure twice does no harm
        """Measure the server's clock again."""
        with self._lock:
            self._offset = None

    def _server_time(self) -> int:
        with self._lock:
            if self._offset is None:
                url = f"{self._base}/auth/time"
                theirs = parsed(self._http.send("GET", url))
                if not isinstance(theirs, int):
                    raise Unavailable(f"{url}: this is not a time: {theirs!r}")
                self._offset = theirs - monotonic()
            return int(monotonic() + self._offset)


class OAuth2Client:
    """A client id and its secret (RFC 6749 section 4.4).

    :param token_url: where tokens come from.
    """

    def __init__(self, http: Http, token_url: str, identity: str, secret: str) -> None:
        self._http = http
        self._token_url = token_url
        self._identity = identity
        self._secret = secret
        self._lock = Lock()
        self._token = ""
        self._ends = 0.0

    def headers(self, method: str, url: str, body: str) -> dict[str, str]:  # noqa: ARG002 - none counts
        """The token, fetched again when it ends."""
        with self._lock:
            if not self._token or monotonic() >= self._ends:
                self._fetch()
            return {"Authorization": f"Bearer {self._token}"}

    def renew(self, refused: Mapping[str, str]) -> None:
        """Forget a token, unless another thread has done so already."""
        with self._lock:
            if refused.get("Authorization") == f"Bearer {self._token}":
                self._token = ""

    def _fetch(self) -> None:
        answer = self._http.send(
            "POST",
            self._token_url,
            data={"grant_type": "client_credentials", "scope": "all"},
            auth=(self._identity, self._secret),
        )
        members = fields(answer)
        if not answer.ok or "access_token" not in members:
            words = [
                str(members[key]) for key in ("error", "error_description") if members.get(key)
            ]
            raise _no_token(
                f"{self._token_url}: no token: {': '.join(words) or f'status {answer.status_code}'}",
                answer.status_code,
                retry_after(answer),
            )
        lifetime = float(members.get("expires_in") or _USUAL_LIFETIME)
        self._token = str(members["access_token"])
        self._ends = monotonic() + max(lifetime - _MARGIN, lifetime / 2)


def _no_token(message: str, status: int, after: float | None) -> ProviderError:
    if status == _TOO_MANY:
        return RateLimited(message, retry_after=after)
    if status >= _BROKEN:
        return Unavailable(message)
    return CredentialsRejected(message, hint="Check OVH_CLIENT_ID and OVH_CLIENT_SECRET.")
