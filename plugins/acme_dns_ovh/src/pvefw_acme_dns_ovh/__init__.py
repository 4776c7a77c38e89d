"""dns-01 for pvefw at OVHcloud, Kimsufi and So you Start."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pvefw.api import CredentialsRejected, ProviderError, Task, TxtRecord, hookimpl, setting
from pvefw_acme_dns_ovh.api import TOKEN_URLS, Api, endpoint
from pvefw_acme_dns_ovh.credentials import ApplicationKeys, OAuth2Client
from pvefw_acme_dns_ovh.errors import Conflict, NotGranted, NotThere
from pvefw_acme_dns_ovh.http import Http
from pvefw_acme_dns_ovh.login import login
from pvefw_acme_dns_ovh.rights import access_rules, how_to_get_a_key

__all__ = ["Ovh"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_PARALLEL = 8
_LEAST_TTL = 60
"""OVH refuses less."""
_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between attempts to refresh a zone while another refresh is under way."""


@dataclass
class Ovh:
    """DNS zones at OVHcloud, through its API."""

    OVH_AK: str = setting(help="Application key.", default="", secret=True)
    OVH_AS: str = setting(help="Application secret.", default="", secret=True)
    OVH_CK: str = setting(
        help="Consumer key; `pvefw acme plugin login` gets one.", default="", secret=True
    )
    OVH_CK_EXPIRES: str = setting(
        help="When the consumer key expires; `pvefw acme plugin login` stores it.", default=""
    )
    OVH_END_POINT: str = setting(
        help="Which of OVH's APIs: ovh-eu, ovh-ca, ovh-us, kimsufi-eu, …, or its URL.",
        default="ovh-eu",
    )
    OVH_CLIENT_ID: str = setting(help="OAuth2 client id, instead of the keys.", default="")
    OVH_CLIENT_SECRET: str = setting(help="OAuth2 client secret.", default="", secret=True)
    OVH_CA_FILE: Path | None = setting(
        help="Certificates to trust for a test endpoint.", default=None
    )

    def __post_init__(self) -> None:
        if bool(self.OVH_AK) != bool(self.OVH_AS):
            raise ValueError("OVH_AK and OVH_AS belong together")
        if bool(self.OVH_CLIENT_ID) != bool(self.OVH_CLIENT_SECRET):
            raise ValueError("OVH_CLIENT_ID and OVH_CLIENT_SECRET belong together")
        if bool(self.OVH_AK) == bool(self.OVH_CLIENT_ID):
            raise ValueError(
                "give either OVH_AK and OVH_AS, or OVH_CLIENT_ID and OVH_CLIENT_SECRET"
            )
        where = endpoint(self.OVH_END_POINT)
        if self.OVH_CLIENT_ID and not where.token_url:
            raise ValueError(f"OAuth2 works at {', '.join(TOKEN_URLS)} only")
        if self.OVH_CK_EXPIRES:
            _time(self.OVH_CK_EXPIRES)
        http = Http(str(self.OVH_CA_FILE or ""))
        self._keys = ApplicationKeys(http, where.base, self.OVH_AK, self.OVH_AS, self.OVH_CK)
        client = OAuth2Client(http, where.token_url, self.OVH_CLIENT_ID, self.OVH_CLIENT_SECRET)
        self._api = Api(http, where.base, client if self.OVH_CLIENT_ID else self._keys)

    @hookimpl
    def dns_zones(self) -> Sequence[str] | None:
        """The zones of this account; ``None`` where the credentials are for some of them only.

        The right to list them is one of its own: ``/domain/zone/*`` does not include ``/domain/zone``.
        IAM leaves out what it does not allow to look at, until the list is empty.
        """
        with suppress(NotGranted):
            return [f"{name.lower()}." for name in self._call("GET", "/domain/zone")] or None
        return None

    @hookimpl
    def dns_add(self, zone: str, records: Sequence[TxtRecord], task: Task) -> None:
        """Add what is missing, then refresh the zone once.

        Also where nothing is missing: that a record is there does not mean that it was published.
        """
        there = {(name, value) for name, value, _ in self._existing(zone, records)}
        missing = [record for record in records if (record.name, record.value) not in there]
        _parallel(lambda record: self._create(zone, record), missing)
        self._refresh(zone, task)

    @hookimpl
    def dns_remove(self, zone: str, records: Sequence[TxtRecord], task: Task) -> None:
        """Remove exactly these, then refresh the zone once, for the same reason as :meth:`dns_add`."""
        wanted = {(record.name, record.value) for record in records}
        existing = self._existing(zone, records)
        ids = [id_ for name, value, id_ in existing if (name, value) in wanted]
        _parallel(lambda id_: self._delete(zone, id_), ids)
        self._refresh(zone, task)

    @hookimpl
    def dns_login(self, task: Task, zones: Sequence[str]) -> Mapping[str, str]:
        """Ask for a consumer key, wait until its owner has allowed it, and return it."""
        if not self.OVH_AK:
            raise ProviderError("an OAuth2 client needs no login")
        key = login(self._api, self._keys, access_rules(zones), task)
        return {"OVH_CK": key.value, "OVH_CK_EXPIRES": key.ends}

    @hookimpl
    def dns_credentials_end(self) -> datetime | None:
        """When the consumer key expires, as it was at the login."""
        return _time(self.OVH_CK_EXPIRES) if self.OVH_CK_EXPIRES else None

    # --- records ---

    def _existing(self, zone: str, records: Sequence[TxtRecord]) -> Iterator[tuple[str, str, int]]:
        """What is at the records' names now: name, value, OVH's number of it."""
        path = f"/domain/zone/{zone.rstrip('.')}/record"

        def look(name: str) -> list[tuple[str, str, int]]:
            ids = self._call("GET", path, fieldType="TXT", subDomain=_label(name, zone))
            return [record for id_ in ids if (record := self._record(path, zone, name, id_))]

        names = sorted({record.name for record in records})
        for matches in _parallel(look, names):
            yield from matches

    def _record(self, path: str, zone: str, name: str, id_: int) -> tuple[str, str, int] | None:
        """One record, if it is a TXT record at this name: OVH's filters find what is similar, too."""
        try:
            record = self._call("GET", f"{path}/{id_}")
        except NotThere:  # somebody else removed it meanwhile
            return None
        where = (str(record.get("subDomain") or "").lower(), record.get("fieldType"))
        if where != (_label(name, zone), "TXT"):
            return None
        return name, str(record["target"]).strip('"'), id_

    def _create(self, zone: str, record: TxtRecord) -> None:
        body = {
            "fieldType": "TXT",
            "subDomain": _label(record.name, zone),
            "target": record.value,
            "ttl": max(record.ttl, _LEAST_TTL),
        }
        self._call("POST", f"/domain/zone/{zone.rstrip('.')}/record", body)

    def _delete(self, zone: str, id_: int) -> None:
        with suppress(NotThere):
            self._call("DELETE", f"/domain/zone/{zone.rstrip('.')}/record/{id_}")

    def _refresh(self, zone: str, task: Task) -> None:
        """Publish the zone. OVH does one refresh at a time, and one that began earlier may miss ours."""
        path = f"/domain/zone/{zone.rstrip('.')}/refresh"
        for pause in _PAUSES:
            try:
                self._call("POST", path)
            except Conflict:
                task.wait(pause)
            else:
                return
        self._call("POST", path)

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str
    ) -> Any:
        """A call whose refusal says what to do."""
        how = how_to_get_a_key(self._api.base)
        if self.OVH_AK and not self._keys.complete:
            raise CredentialsRejected("there is no consumer key (OVH_CK)", hint=how)
        try:
            return self._api.call(method, path, body, **query)
        except CredentialsRejected as error:
            error.hint = error.hint or (
                how if self.OVH_AK else "Check the rights of the OAuth2 client in IAM."
            )
            raise


def _label(name: str, zone: str) -> str:
    """A name relative to its zone; empty for the zone's own."""
    return name.removesuffix(zone).rstrip(".")


def _time(text: str) -> datetime:
    """A time as OVH says it (RFC 3339); ``ValueError`` for anything else."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _parallel(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """Call a function for every item, a few at a time."""
    with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
        return list(pool.map(function, items))
