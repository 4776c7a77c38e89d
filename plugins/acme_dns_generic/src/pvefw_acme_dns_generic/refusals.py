"""What the response codes of a DNS server mean that does not take an update."""

from collections.abc import Callable, Mapping

import dns.rcode

from pvefw.api import CredentialsRejected, ProviderError, Unavailable, Unsupported

Meaning = tuple[type[ProviderError], str, str]
"""The kind of error, why, and what to do."""

_TAKES_NONE: Meaning = (
    CredentialsRejected,
    "it takes no updates of {zone}, or none from here or with the key {key}",
    (
        "Let the server take updates with this key (PowerDNS: dnsupdate=yes, and ALLOW-DNSUPDATE-FROM "
        "and TSIG-ALLOW-DNSUPDATE of the zone)."
    ),
)
_NOT_ALLOWED: Meaning = (
    CredentialsRejected,
    "the key {key} may not change TXT records of {zone}",
    "Let the key do so at the server (update-policy in BIND, acl in Knot).",
)
_WITHOUT_A_KEY: Meaning = (
    CredentialsRejected,
    "it does not let this host change {zone} without a key",
    "Set key_name and secret, or let this address change the zone.",
)
_SOA = "Set 'server' to the server that the zone's SOA record names."
_NOT_PRIMARY: Meaning = (ProviderError, "it is not the primary server of {zone}", _SOA)
_NOT_PRIMARY_OR_KEY: Meaning = (
    ProviderError,
    "it is not the primary server of {zone}, or does not know the key {key}",
    _SOA,
)
_UNKNOWN_KEY: Meaning = (
    CredentialsRejected,
    "it does not know the key {key}",
    "Add the key to the server's configuration, or compare key_name with it.",
)
_MEANINGS: Mapping[int, Meaning] = {
    dns.rcode.NOTZONE: (ProviderError, "a record is not within {zone}", ""),
    dns.rcode.NOTIMP: (
        Unsupported,
        "it does not take updates (RFC 2136)",
        "Set 'server' to a server that does, or use another plugin.",
    ),
    dns.rcode.FORMERR: (
        ProviderError,
        "it cannot read the update of {zone}",
        "Check whether the server takes signed updates (RFC 2136, RFC 8945) at all.",
    ),
    dns.rcode.SERVFAIL: (Unavailable, "it could not store the change", "Check the server's log."),
}


def meaning(
    rcode: int, key: str | None, *, signed: bool, authoritative: Callable[[], bool]
) -> Meaning:
    """What a response code means (RFC 2136 section 2.2, RFC 8945 section 5.3).

    :param key: the TSIG key's name, if there is one.
    :param signed: whether the answer was.
    :param authoritative: asks whether the server has the zone; not every one that does not know a key
        says BADKEY (Knot 3.4).
    :returns: the error to raise, why with ``{zone}`` and ``{key}`` in it, and a hint.
    """
    if rcode in (dns.rcode.REFUSED, dns.rcode.NOTAUTH) and key is None:
        return _WITHOUT_A_KEY
    if rcode == dns.rcode.REFUSED:
        return _NOT_ALLOWED if signed else _TAKES_NONE
    if rcode == dns.rcode.NOTAUTH:
        if signed:
            return _NOT_PRIMARY
        return _UNKNOWN_KEY if authoritative() else _NOT_PRIMARY_OR_KEY
    return _MEANINGS.get(rcode, (ProviderError, "it refuses the update of {zone}", ""))
