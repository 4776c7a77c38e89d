"""OVHcloud's API, version 1: endpoints and calls.

Written on requests, not on OVH's own client: that one takes whatever it is not given from the
environment, ``/etc/ovh.conf``, ``~/.ovh.conf`` and ``./ovh.conf``, and offers no way to turn this off.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from pvefw_acme_dns_ovh.credentials import Credentials
from pvefw_acme_dns_ovh.errors import Stale, failure
from pvefw_acme_dns_ovh.http import Http, parsed

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


@dataclass(frozen=True)
class Endpoint:
    """One of OVH's APIs."""

    base: str
    token_url: str
    """Where OAuth2 tokens come from; empty where there are none."""


def endpoint(name: str) -> Endpoint:
    """The endpoint of a name, in OVH's form (``ovh-eu``) or acme.sh's (``ovheu``), or of a URL.

    :raises ValueError: there is none.
    """
    if name.startswith("https://"):
        base = name.rstrip("/")
        return Endpoint(base, f"https://{urlsplit(base).netloc}/auth/oauth2/token")
    known = {key.replace("-", ""): key for key in ENDPOINTS}
    key = known.get(name.replace("-", ""))
    if key is None:
        raise ValueError(
            f"OVH_END_POINT: '{name}' is not one of {', '.join(ENDPOINTS)}, nor an https:// URL"
        )
    return Endpoint(ENDPOINTS[key], TOKEN_URLS.get(key, ""))


class Api:
    """Calls with credentials; safe to use from several threads.

    :param base: the endpoint's URL.
    """

    def __init__(self, http: Http, base: str, credentials: Credentials) -> None:
        self.base = base
        self._http = http
        self._credentials = credentials

    def acting_as(self, credentials: Credentials) -> "Api":
        """The same API, called by somebody else."""
        return Api(self._http, self.base, credentials)

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
        headers = self._credentials.headers(method, url, text)
        try:
            return self._send(method, url, text, headers)
        except Stale:
            self._credentials.renew(headers)
            return self._send(method, url, text, self._credentials.headers(method, url, text))

    def call_unsigned(
        self, method: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Any:
        """A call without credentials.

        :raises ProviderError: as :meth:`call`.
        """
        return self._send(method, self.base + path, json.dumps(body), headers)

    def _send(self, method: str, url: str, body: str, headers: Mapping[str, str]) -> Any:
        kind = {"Content-Type": "application/json"} if body else {}
        answer = self._http.send(method, url, data=body or None, headers={**headers, **kind})
        if answer.ok:
            return parsed(answer) if answer.content else None
        path = url.removeprefix(self.base).partition("?")[0]
        raise failure(f"{method} {path}", answer)
