"""dns-persist-01: one TXT record that lets an account have certificates for as long as it is there.

The record stays, so that no order changes DNS. Its text says who may issue for whom; the account is named
by its URL (draft-ietf-acme-dns-persist-00 and -01) or by a hash (draft 02), as the authority's directory
says.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pvefw.core.errors import AcmeError, AcmeProtocolError
from pvefw.core.model import Challenge, Task

if TYPE_CHECKING:
    from pvefw.acme.client import Authorization, Client, Directory, Offer

TYPE = "dns-persist-01"
LABEL = "_validation-persist"
"""What comes before the domain in the record's name."""
LONGEST_STRING = 255
"""Octets of one string of a TXT record (RFC 1035 section 3.3); a longer text has several."""
_MOST_ISSUERS, _LONGEST_ISSUER = 10, 253
_ISSUER = re.compile(r"(?!-)[a-z0-9-]+(?<!-)(\.(?!-)[a-z0-9-]+(?<!-))*")
_TAG = re.compile(r"[A-Za-z0-9]+")
_VALUE = re.compile(r"[\x21-\x3a\x3c-\x7e]*")
"""RFC 8659 section 4.2: printable, but no semicolon."""
_INTEGER = re.compile(r"[0-9]{1,18}")
_WILDCARD = "wildcard"


class Malformed(ValueError):
    """A text is no record of dns-persist-01; the message says why."""


@dataclass(frozen=True)
class Record:
    """What one TXT record says (RFC 8659 section 4.2: ``issue-value``)."""

    issuer: str
    account: str
    """``accounturi``: the account's URL, or prefix and hash."""
    wildcard: bool = False
    """Whether it is good for the wildcard and for all names below, too."""
    until: datetime | None = None
    """``persistUntil``: after this it counts no more."""

    @property
    def text(self) -> str:
        """The record's content."""
        parts = [self.issuer, f"accounturi={self.account}"]
        if self.wildcard:
            parts.append(f"policy={_WILDCARD}")
        if self.until is not None:
            parts.append(f"persistUntil={int(self.until.timestamp())}")
        return "; ".join(parts)

    def expired(self, now: datetime) -> bool:
        """Whether it counts no more."""
        return self.until is not None and self.until < now


def parse(text: str) -> Record:
    """Read a record; tags that are not known are passed over.

    :raises Malformed: it is none.
    """
    issuer, *parameters = (part.strip(" \t") for part in text.split(";"))
    tags: dict[str, str] = {}
    for parameter in parameters:
        tag, equals, value = parameter.partition("=")
        tag, value = tag.rstrip(" \t"), value.lstrip(" \t")
        if not equals or not _TAG.fullmatch(tag) or not _VALUE.fullmatch(value):
            raise Malformed(f"'{parameter}' is not TAG=VALUE")
        if tag.lower() in tags:
            raise Malformed(f"{tag} occurs twice")
        tags[tag.lower()] = value
    if not _ISSUER.fullmatch(issuer.lower().removesuffix(".")):
        raise Malformed(f"'{issuer}' is not an issuer's domain")
    if not tags.get("accounturi"):
        raise Malformed("accounturi is missing")
    return Record(
        issuer.lower().removesuffix("."),
        tags["accounturi"],
        tags.get("policy", "").lower() == _WILDCARD,
        _until(tags.get("persistuntil")),
    )


def _until(text: str | None) -> datetime | None:
    if text is None:
        return None
    if not _INTEGER.fullmatch(text):
        raise Malformed(f"persistUntil is '{text}' instead of seconds")
    try:
        return datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError):  # later than what a calendar has
        return datetime.max.replace(tzinfo=UTC)


def hashed_account(domain: str, thumbprint: str, account: str) -> str:
    """How draft 02 names an account in the record of a domain (section 4.2).

    :param domain: A-labels without a final dot, the name under which the record lies; or ``*`` for one
        value that is good in the records of all names.
    :param thumbprint: of the account's key (RFC 7638).
    :param account: its URL.
    """
    name = domain.encode("ascii")
    data = bytes([len(name)]) + name + thumbprint.encode("ascii") + account.encode()
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


@dataclass(frozen=True)
class Terms:
    """How records are written for one account at one authority."""

    issuers: Sequence[str]
    """The authority's names; any of them."""
    account: str
    thumbprint: str
    prefix: str = ""
    """``accountHashPrefix``: the account is named by a hash; empty where it is named by its URL."""

    def names(self, domain: str) -> Sequence[str]:
        """What ``accounturi`` may be in the record of a domain, the usual one first."""
        if not self.prefix:
            return (self.account,)
        hashes = (hashed_account(name, self.thumbprint, self.account) for name in (domain, "*"))
        return tuple(f"{self.prefix}sha-256/{hash_}" for hash_ in hashes)

    def record(
        self, domain: str, *, wildcard: bool = False, until: datetime | None = None
    ) -> Record:
        """The record for a domain."""
        return Record(self.issuers[0], self.names(domain)[0], wildcard, until)

    def fault(self, record: Record, domain: str, now: datetime, *, wildcard: bool) -> str:
        """Why a record is not good for this account; empty where it is.

        :param domain: under which it lies.
        :param wildcard: whether it has to be good for more than that name.
        """
        if record.issuer not in self.issuers:
            return f"it is for {record.issuer}, not for {' or '.join(self.issuers)}"
        if record.account not in self.names(domain):
            return "it names another account, or a key that the account had before"
        if wildcard and not record.wildcard:
            return f"policy={_WILDCARD} is missing"
        if record.expired(now):
            return f"it was valid until {record.until:%Y-%m-%d %H:%M} UTC"
        return ""


def terms(directory: "Directory", account: str, thumbprint: str) -> Terms:
    """As an authority's directory says: draft 02 where it has a prefix for hashes, else 00 or 01.

    :raises AcmeError: it does not say by which name it is called in records.
    """
    hashed = bool(directory.account_hash_prefix)
    issuers = directory.issuers if hashed else directory.issuers or directory.caa_identities
    if not issuers:
        missing = "issuerDomainNames" if hashed else "caaIdentities"
        raise AcmeError(
            f"dns-persist-01: the authority's directory has no {missing}, "
            "so what the record must say is unknown",
            hint="Its documentation may name it: --issuer DOMAIN",
        )
    checked = _checked(issuers, "the directory")
    return Terms(checked, account, thumbprint, directory.account_hash_prefix)


def challenge(client: "Client", authorization: "Authorization", offer: "Offer") -> Challenge:
    """A challenge that has no token: what it needs is in the record.

    :raises AcmeProtocolError: its list of issuers is malformed, or it is for another account.
    """
    issuers = _checked(offer.issuers, offer.url)
    if offer.account and offer.account != client.kid:
        raise AcmeProtocolError(f"{offer.url}: this challenge is for the account {offer.account}")
    return Challenge(
        TYPE,
        authorization.identifier,
        "",
        "",
        account=client.kid or "",
        thumbprint=client.key.thumbprint,
        issuers=issuers,
    )


def _checked(issuers: Sequence[str], what: str) -> Sequence[str]:
    """The draft tells clients to look: a record for somebody else would let them issue."""
    good = all(len(issuer) <= _LONGEST_ISSUER and _ISSUER.fullmatch(issuer) for issuer in issuers)
    if not good or not 1 <= len(issuers) <= _MOST_ISSUERS:
        raise AcmeProtocolError(f"{what}: the issuers' names of dns-persist-01 are malformed")
    return tuple(issuers)


class Standing:
    """Answers dns-persist-01: the record already exists, and nobody touches DNS."""

    def challenge_types(self) -> Sequence[str]:
        """Only dns-persist-01."""
        return [TYPE]

    def challenge_present(self, challenges: Sequence[Challenge], task: Task) -> None:
        """Nothing is to be done."""
        for presented in challenges:
            task.log(
                f"{presented.identifier}: the record at {LABEL}.{presented.identifier} is to answer"
            )

    def challenge_cleanup(self, challenges: Sequence[Challenge], task: Task) -> None:
        """The record stays."""
