"""dns-01 for pvefw at OVHcloud, Kimsufi and So you Start."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from pvefw.api import CredentialsRejected, ProviderError, Task, TxtRecord, hookimpl, setting
from pvefw_acme_dns_ovh.api import ENDPOINTS, TOKEN_URLS, Api, Credentials, gone

__all__ = ["Ovh"]

ACCESS_RULES = [
    {"method": "GET", "path": "/domain/zone"},
    {"method": "GET", "path": "/domain/zone/*/record"},
    {"method": "GET", "path": "/domain/zone/*/record/*"},
    {"method": "POST", "path": "/domain/zone/*/record"},
    {"method": "DELETE", "path": "/domain/zone/*/record/*"},
    {"method": "POST", "path": "/domain/zone/*/refresh"},
    {"method": "GET", "path": "/auth/currentCredential"},
]
"""All that this plugin does, and nothing more."""
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_PARALLEL = 8
_POLL_SECONDS = 2.0


@dataclass
class Ovh:
    """DNS zones at OVHcloud, through its API."""

    OVH_AK: str = setting(help="Application key.", default="", secret=True)
    OVH_AS: str = setting(help="Application secret.", default="", secret=True)
    OVH_CK: str = setting(
        help="Consumer key; `pvefw acme plugin login` gets one.", default="", secret=True
    )
    OVH_END_POINT: str = setting(
        help="Which of OVH's APIs.", default="ovh-eu", choices=tuple(ENDPOINTS)
    )
    OVH_CLIENT_ID: str = setting(help="OAuth2 client id, instead of the keys.", default="")
    OVH_CLIENT_SECRET: str = setting(help="OAuth2 client secret.", default="", secret=True)
    OVH_CA_FILE: str = setting(help="Certificates to trust for a test endpoint.", default="")

    def __post_init__(self) -> None:
        if bool(self.OVH_AK) != bool(self.OVH_AS):
            raise ValueError("OVH_AK and OVH_AS belong together")
        if bool(self.OVH_CLIENT_ID) != bool(self.OVH_CLIENT_SECRET):
            raise ValueError("OVH_CLIENT_ID and OVH_CLIENT_SECRET belong together")
        if bool(self.OVH_AK) == bool(self.OVH_CLIENT_ID):
            raise ValueError(
                "give either OVH_AK and OVH_AS, or OVH_CLIENT_ID and OVH_CLIENT_SECRET"
            )
        if self.OVH_CLIENT_ID and self.OVH_END_POINT not in TOKEN_URLS:
            raise ValueError(f"OAuth2 works at {', '.join(TOKEN_URLS)} only")
        self._advice = ""
        credentials = Credentials(
            self.OVH_AK, self.OVH_AS, self.OVH_CK, self.OVH_CLIENT_ID, self.OVH_CLIENT_SECRET
        )
        token_url = TOKEN_URLS.get(self.OVH_END_POINT, "")
        self._api = Api(ENDPOINTS[self.OVH_END_POINT], token_url, credentials, self.OVH_CA_FILE)

    @hookimpl
    def dns_zones(self) -> Sequence[str]:
        """The zones of this account."""
        return [f"{name.lower()}." for name in self._call("GET", "/domain/zone")]

    @hookimpl
    def dns_add(self, zone: str, records: Sequence[TxtRecord]) -> None:
        """Add what is missing, then refresh the zone once."""
        there = {(name, value) for name, value, _ in self._existing(zone, records)}
        missing = [one for one in records if (one.name, one.value) not in there]
        _parallel(lambda one: self._create(zone, one), missing)
        if missing:
            self._refresh(zone)

    @hookimpl
    def dns_remove(self, zone: str, records: Sequence[TxtRecord]) -> None:
        """Remove exactly these, then refresh the zone once."""
        wanted = {(one.name, one.value) for one in records}
        found = self._existing(zone, records)
        ids = [id_ for name, value, id_ in found if (name, value) in wanted]
        _parallel(lambda id_: self._delete(zone, id_), ids)
        if ids:
            self._refresh(zone)

    @hookimpl
    def dns_login(self, task: Task) -> Mapping[str, str]:
        """Ask for a consumer key, wait until its owner has allowed it, and return it."""
        if not self.OVH_AK:
            raise ProviderError("an OAuth2 client needs no login")
        made = self._ask_for_key()
        task.log(f"Open this page and allow the access: {made['validationUrl']}")
        key = made["consumerKey"]
        api = self._api.with_consumer_key(key)
        while True:
            try:
                status = api.call("GET", "/auth/currentCredential")["status"]
            except CredentialsRejected:
                status = "pendingValidation"
            if status == "validated":
                return {"OVH_CK": key}
            if status not in ("pendingValidation", "pending"):
                raise CredentialsRejected(f"the consumer key was not allowed: {status}")
            task.wait(_POLL_SECONDS)

    # --- records ---

    def _existing(self, zone: str, records: Sequence[TxtRecord]) -> Iterator[tuple[str, str, int]]:
        """What is at the records' names now: name, value, OVH's number of it."""
        path = f"/domain/zone/{zone.rstrip('.')}/record"

        def look(name: str) -> list[tuple[str, str, int]]:
            label = name.removesuffix(zone).rstrip(".")
            ids = self._call("GET", path, fieldType="TXT", subDomain=label)
            return [one for id_ in ids if (one := self._record(path, name, id_))]

        names = sorted({one.name for one in records})
        for found in _parallel(look, names):
            yield from found

    def _record(self, path: str, name: str, id_: int) -> tuple[str, str, int] | None:
        try:
            said = self._call("GET", f"{path}/{id_}")
        except ProviderError as error:
            if gone(error):  # somebody else removed it meanwhile
                return None
            raise
        return name, str(said["target"]).strip('"'), id_

    def _create(self, zone: str, one: TxtRecord) -> None:
        name = zone.rstrip(".")
        label = one.name.removesuffix(zone).rstrip(".")
        body = {"fieldType": "TXT", "subDomain": label, "target": one.value, "ttl": one.ttl}
        self._call("POST", f"/domain/zone/{name}/record", body)

    def _delete(self, zone: str, id_: int) -> None:
        try:
            self._call("DELETE", f"/domain/zone/{zone.rstrip('.')}/record/{id_}")
        except ProviderError as error:
            if not gone(error):
                raise

    def _refresh(self, zone: str) -> None:
        self._call("POST", f"/domain/zone/{zone.rstrip('.')}/refresh")

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str
    ) -> Any:
        if self.OVH_AK and not self.OVH_CK:
            raise CredentialsRejected(
                "there is no consumer key (OVH_CK)", hint=self._how_to_login()
            )
        try:
            return self._api.call(method, path, body, **query)
        except CredentialsRejected as error:
            error.hint = (
                self._how_to_login() if self.OVH_AK else "Check the OAuth2 client's rights."
            )
            raise

    def _how_to_login(self) -> str:
        """The request that gets a consumer key with the rights that are needed, and its answer.

        The key is shown, as OVH shows it: nobody has allowed it yet, and without the application's secret
        it is of no use. It is asked for once, however many calls fail.
        """
        if self._advice:
            return self._advice
        rules = json.dumps({"accessRules": ACCESS_RULES})
        request = (
            f"POST {self._api.base}/auth/credential with the header X-Ovh-Application and {rules}"
        )
        try:
            made = self._ask_for_key()
            answer = (
                f"It was made: open {made['validationUrl']} and set OVH_CK={made['consumerKey']}"
            )
        except ProviderError as error:
            answer = f"It was tried: {error.message}"
        self._advice = (
            "Get a consumer key with `pvefw acme plugin login ID`, or by this request: "
            f"{request}. {answer}"
        )
        return self._advice

    def _ask_for_key(self) -> Mapping[str, str]:
        made: Mapping[str, str] = self._api.call_unsigned(
            "POST", "/auth/credential", {"accessRules": ACCESS_RULES}
        )
        return made


def _parallel(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """Call a function for every item, a few at a time."""
    with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
        return list(pool.map(function, items))
