"""What an ACME server offers: directory, accounts, orders, certificates (RFC 8555 section 7)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from cryptography import x509

from pvefw.acme import renewal_info
from pvefw.acme.answers import Response
from pvefw.acme.jws import AccountKey, b64, compact, external_binding
from pvefw.acme.renewal_info import RenewalInfo
from pvefw.acme.transport import Transport
from pvefw.core.errors import AcmeProblem, AcmeProtocolError, NotFound
from pvefw.core.model import Identifier

_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class Directory:
    """The server's directory object (section 7.1.1)."""

    urls: Mapping[str, str]
    terms: str = ""
    """URL of the terms of service, or empty."""
    binding_required: bool = False
    """Whether a new account needs an external account binding."""
    profiles: Mapping[str, str] | None = None
    """The certificate profiles that it offers, with a word about each; ``None`` where it has none."""
    caa_identities: Sequence[str] = ()
    """The names by which CAA records may name it."""
    issuers: Sequence[str] = ()
    """``issuerDomainNames``: its names in records of dns-persist-01, since draft 02."""
    account_hash_prefix: str = ""
    """``accountHashPrefix`` of dns-persist-01: with one, accounts are named by a hash (draft 02)."""
    key_rotation_period: int = 0
    """Seconds for which records of an older account key are good; 0 where it does not say."""


@dataclass(frozen=True)
class Registered:
    """An account, as the server has it."""

    location: str
    account: Mapping[str, Any]


@dataclass(frozen=True)
class Order:
    """An order, as the server has it (section 7.1.3)."""

    url: str
    status: str
    """``pending``, ``ready``, ``processing``, ``valid`` or ``invalid``."""
    identifiers: Sequence[Identifier]
    authorizations: Sequence[str]
    finalize: str
    certificate: str = ""
    error: Mapping[str, Any] = field(default_factory=dict)
    retry_after: float | None = None
    """Seconds after which the server wants to be asked again."""


@dataclass(frozen=True)
class Offer:
    """A challenge that the server offers (section 8)."""

    type: str
    url: str
    status: str
    token: str
    """Empty for a type without tokens."""
    error: Mapping[str, Any] = field(default_factory=dict)
    issuers: Sequence[str] = ()
    """Of dns-persist-01, in either spelling: the authority's names."""
    account: str = ""
    """``accounturi`` of dns-persist-01, where drafts have it."""


@dataclass(frozen=True)
class Authorization:
    """An authorization, as the server has it (section 7.1.4)."""

    url: str
    status: str
    """``pending``, ``valid``, ``invalid``, ``deactivated``, ``expired`` or ``revoked``."""
    identifier: Identifier
    wildcard: bool
    challenges: Sequence[Offer]

    @property
    def name(self) -> str:
        """The name as it was ordered."""
        return f"*.{self.identifier}" if self.wildcard else str(self.identifier)


class Client:
    """One account at one ACME server; safe to use from several threads.

    :param transport: how to reach the server.
    :param directory_url: where its directory is.
    :param key: the account's key; only the directory can be read without one.
    :param kid: the account's URL, once it is known.
    """

    def __init__(
        self,
        transport: Transport,
        directory_url: str,
        key: AccountKey | None = None,
        kid: str | None = None,
    ) -> None:
        self._transport = transport
        self._directory_url = transport.directory_url = directory_url
        self._key = key
        self.kid = kid

    @cached_property
    def directory(self) -> Directory:
        """The server's directory, fetched once.

        :raises AcmeError: it cannot be had, or is none.
        """
        answer = self._transport.get(self._directory_url).json()
        urls = {key: value for key, value in answer.items() if isinstance(value, str)}
        missing = [
            resource for resource in ("newNonce", "newAccount", "newOrder") if resource not in urls
        ]
        if missing:
            raise AcmeProtocolError(
                f"{self._directory_url}: this is not an ACME directory (no {', '.join(missing)})",
                hint="Check the URL; it often ends in /directory.",
            )
        meta = _Object(answer, f"{self._directory_url}: the directory").object("meta")
        self._transport.new_nonce_url = urls["newNonce"]
        return Directory(
            urls=urls,
            terms=meta.text("termsOfService", ""),
            binding_required=meta.flag("externalAccountRequired"),
            profiles=_profiles(meta.members.get("profiles")),
            caa_identities=_words(meta.members.get("caaIdentities")),
            issuers=_words(meta.members.get("issuerDomainNames")),
            account_hash_prefix=meta.text("accountHashPrefix", ""),
            key_rotation_period=_seconds(meta.members.get("keyRotationPeriod")),
        )

    @property
    def key(self) -> AccountKey:
        """The account's key."""
        if self._key is None:
            raise NotFound("there is no account key for this request")
        return self._key

    def _url(self, name: str) -> str:
        try:
            return self.directory.urls[name]
        except KeyError as error:
            raise AcmeProtocolError(
                f"{self._directory_url}: the server does not offer {name}"
            ) from error

    def _post(self, url: str, payload: object | None = None) -> Response:
        _ = self.directory  # it says where nonces come from
        return self._transport.post(url, payload, self.key, self.kid)

    # accounts (section 7.3)

    def register(
        self, contacts: Sequence[str], *, agree: bool, binding: tuple[str, str] | None = None
    ) -> Registered:
        """Make an account, or find the one that this key already has.

        :param contacts: ``mailto:`` URLs.
        :param agree: to the terms of service.
        :param binding: key id and MAC key (base64url) of an external account.
        """
        url = self._url("newAccount")
        payload: dict[str, Any] = {"contact": list(contacts), "termsOfServiceAgreed": agree}
        if binding:
            payload["externalAccountBinding"] = external_binding(self.key, *binding, url)
        answer = self._transport.post(url, payload, self.key, None)
        self.kid = answer.location()
        return Registered(self.kid, answer.object_if_any())

    def find(self) -> Registered | None:
        """The account that this key has, if it has one (section 7.3.1)."""
        only = {"onlyReturnExisting": True}
        try:
            answer = self._transport.post(self._url("newAccount"), only, self.key, None)
        except AcmeProblem as problem:
            if problem.type != "accountDoesNotExist":
                raise
            return None
        return Registered(answer.location(), answer.object_if_any())

    def account(self) -> Mapping[str, Any]:
        """The account object, fetched again."""
        return self._post(self._account_url()).json()

    def update(self, contacts: Sequence[str]) -> Mapping[str, Any]:
        """Change the account's contacts (``mailto:`` URLs)."""
        return self._post(self._account_url(), {"contact": list(contacts)}).json()

    def deactivate(self) -> Mapping[str, Any]:
        """Deactivate the account, for good (section 7.3.6)."""
        return self._post(self._account_url(), {"status": "deactivated"}).json()

    def roll_over(self, new_key: AccountKey) -> None:
        """Replace the account's key (section 7.3.5)."""
        url = self._url("keyChange")
        change = {"account": self._account_url(), "oldKey": self.key.jwk}
        inner = new_key.sign({"jwk": new_key.jwk, "url": url}, compact(change))
        self._post(url, json.loads(inner))
        self._key = new_key

    def _account_url(self) -> str:
        if self.kid is None:
            raise NotFound("there is no account yet")
        return self.kid

    # orders (section 7.4)

    def new_order(
        self, identifiers: Sequence[Identifier], *, profile: str = "", replaces: str = ""
    ) -> Order:
        """Order a certificate.

        :param profile: the certificate profile; empty for the server's default.
        :param replaces: ARI id of the certificate that it will replace (RFC 9773 section 5).
        """
        payload: dict[str, Any] = {
            "identifiers": [
                {"type": identifier.type, "value": identifier.value} for identifier in identifiers
            ]
        }
        if profile:
            payload["profile"] = profile
        if replaces:
            payload["replaces"] = replaces
        answer = self._post(self._url("newOrder"), payload)
        return _order(answer, answer.location())

    def order(self, url: str) -> Order:
        """An order as it is now."""
        return _order(self._post(url), url)

    def authorization(self, url: str) -> Authorization:
        """An authorization as it is now."""
        return _authorization(self._post(url).json(), url)

    def respond(self, challenge: Offer) -> None:
        """Tell the server that a challenge can be validated (section 7.5.1)."""
        self._post(challenge.url, {})

    def finalize(self, order: Order, csr: bytes) -> Order:
        """Send the signing request (DER) of an order that is ready."""
        return _order(self._post(order.finalize, {"csr": b64(csr)}), order.url)

    def chains(self, url: str) -> Iterator[bytes]:
        """The chains of a valid order, PEM: the server's default, then its alternates, as asked for."""
        answer = self._post(url)
        yield answer.pem()
        for alternate in answer.alternates():
            yield self._post(alternate).pem()

    def revoke(
        self, certificate: bytes, reason: int | None = None, *, key: AccountKey | None = None
    ) -> None:
        """Revoke a certificate (DER); one that is revoked already is not an error (section 7.6).

        :param key: the certificate's own key, which may revoke it without the account.
        """
        payload: dict[str, Any] = {"certificate": b64(certificate)}
        if reason is not None:
            payload["reason"] = reason
        url = self._url("revokeCert")
        try:
            if key is None:
                self._post(url, payload)
            else:
                self._transport.post(url, payload, key, None)
        except AcmeProblem as problem:
            if problem.type != "alreadyRevoked":
                raise

    def renewal_info(self, certificate: x509.Certificate) -> RenewalInfo | None:
        """When the server wants a certificate renewed; ``None`` where it does not say (RFC 9773).

        :raises CertificateError: the certificate does not name its issuer's key.
        :raises AcmeError: no good answer.
        """
        base = self.directory.urls.get("renewalInfo")
        if base is None:
            return None
        url = f"{base.rstrip('/')}/{renewal_info.certificate_id(certificate)}"
        answer = self._transport.get(url)
        return renewal_info.parse(answer.json(), url, answer.retry_after)

    def key_authorization(self, token: str) -> str:
        """What answers a challenge (section 8.1)."""
        return f"{token}.{self.key.thumbprint}"


# --- objects --------------------------------------------------------------------------------------


class _Object:
    """An object that the server sent, read with suspicion.

    :param what: names it in errors.
    """

    def __init__(self, members: Mapping[str, Any], what: str) -> None:
        self.members = members
        self._what = what

    def _member(self, key: str, kind: type[_Kind], default: _Kind | None = None) -> _Kind:
        value = self.members.get(key)
        if value is None:
            value = default
        if value is None:
            raise AcmeProtocolError(f"{self._what} lacks '{key}'")
        if not isinstance(value, kind):
            raise AcmeProtocolError(f"{self._what} has a malformed '{key}'")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        return self._member(key, str, default)

    def flag(self, key: str) -> bool:
        return self._member(key, bool, default=False)

    def object(self, key: str) -> "_Object":
        return _Object(self._member(key, dict, {}), self._what)

    def texts(self, key: str) -> list[str]:
        values = self._member(key, list)
        if not all(isinstance(value, str) for value in values):
            raise AcmeProtocolError(f"{self._what} has a malformed '{key}'")
        return values

    def objects(self, key: str, default: list[Any] | None = None) -> "list[_Object]":
        values = self._member(key, list, default)
        if not all(isinstance(object_, dict) for object_ in values):
            raise AcmeProtocolError(f"{self._what} has a malformed '{key}'")
        return [_Object(object_, self._what) for object_ in values]


def _profiles(meta: object) -> Mapping[str, str] | None:
    """draft-ietf-acme-profiles section 3: an object of names and descriptions."""
    return {str(key): str(value) for key, value in meta.items()} if isinstance(meta, dict) else None


def _words(meta: object) -> tuple[str, ...]:
    """A list of names that an authority may leave out."""
    return tuple(word for word in meta if isinstance(word, str)) if isinstance(meta, list) else ()


def _seconds(member: object) -> int:
    return member if isinstance(member, int) and member > 0 else 0


def _order(answer: Response, url: str) -> Order:
    members = _Object(answer.json(), f"{url}: the order")
    return Order(
        url=url,
        status=members.text("status"),
        identifiers=[_identifier(identifier) for identifier in members.objects("identifiers")],
        authorizations=members.texts("authorizations"),
        finalize=members.text("finalize"),
        certificate=members.text("certificate", ""),
        error=members.object("error").members,
        retry_after=answer.retry_after,
    )


def _authorization(members: Mapping[str, Any], url: str) -> Authorization:
    body = _Object(members, f"{url}: the authorization")
    identifier = _identifier(_Object(body.object("identifier").members, f"{url}: the identifier"))
    kept = identifier.value.startswith("*.")  # private authorities do; section 7.1.4 forbids it
    return Authorization(
        url=url,
        status=body.text("status"),
        identifier=replace(identifier, value=identifier.value.removeprefix("*.")),
        wildcard=kept or body.members.get("wildcard") in (True, "true", 1),
        challenges=[
            Offer(
                type=challenge.text("type"),
                url=challenge.text("url"),
                status=challenge.text("status", "pending"),
                token=challenge.text("token", ""),
                error=challenge.object("error").members,
                issuers=_words(
                    challenge.members.get("issuerDomainNames")
                    or challenge.members.get("issuer-domain-names")
                ),
                account=challenge.text("accounturi", ""),
            )
            for challenge in body.objects("challenges", [])
            if challenge.members.get("type") and challenge.members.get("url")
        ],
    )


def _identifier(members: _Object) -> Identifier:
    """As we write it: lower case, without a final dot."""
    value = members.text("value").rstrip(".").lower()
    return Identifier("ip" if members.text("type", "dns") == "ip" else "dns", value)
