"""DNS at deSEC, for pvefw. The API: https://desec.readthedocs.io/en/latest/dns/rrsets.html"""

from dataclasses import dataclass

import requests

from pvefw.api import (
    CredentialsRejected,
    ProviderError,
    RateLimited,
    Unavailable,
    hookimpl,
    setting,
)

_SECONDS = 30
_TTL = 3600  # deSEC's minimum


@dataclass
class Desec:
    """DNS at deSEC."""

    token: str = setting(help="API token that may change TXT records.", secret=True)
    url: str = setting(help="Base URL of the API.", default="https://desec.io/api/v1")

    @hookimpl
    def dns_add(self, zone, records):
        self._change(zone, records, lambda there, ours: there | ours)

    @hookimpl
    def dns_remove(self, zone, records):
        self._change(zone, records, lambda there, ours: there - ours)

    def _change(self, zone, records, combine):
        """Replace the record sets that change, all in one request."""
        ours = {}
        for record in records:
            subname = record.name.removesuffix(zone).rstrip(".")
            ours.setdefault(subname, set()).add(f'"{record.value}"')
        path = f"/domains/{zone.rstrip('.')}/rrsets/"
        changes = []
        for subname, values in ours.items():
            there = self._call("GET", f"{path}{subname or '@'}/TXT/") or {
                "records": [],
                "ttl": _TTL,
            }
            wanted = combine(set(there["records"]), values)
            if wanted != set(there["records"]):
                rrset = {
                    "subname": subname,
                    "type": "TXT",
                    "ttl": there["ttl"],
                }  # perhaps others' values
                changes.append({**rrset, "records": sorted(wanted)})
        if changes:
            self._call("PATCH", path, changes)

    def _call(self, method, path, body=None):
        """One request; ``None`` where there is no such record set."""
        try:
            answer = requests.request(
                method,
                f"{self.url}{path}",
                json=body,
                headers={"Authorization": f"Token {self.token}"},
                timeout=_SECONDS,
            )
        except requests.RequestException as error:
            raise Unavailable(f"{method} {path}: {error}") from error
        said = f"{method} {path}: {answer.status_code} {answer.text.strip()}"
        if answer.status_code in (401, 403):
            raise CredentialsRejected(said, hint="Make a token at desec.io and store it.")
        if answer.status_code == 429:
            seconds = answer.headers.get("Retry-After", "")
            raise RateLimited(said, retry_after=float(seconds) if seconds.isdigit() else None)
        if answer.status_code >= 500:
            raise Unavailable(said)
        if method == "GET" and answer.status_code == 404:
            return None
        if not answer.ok:
            raise ProviderError(said)
        return answer.json()
