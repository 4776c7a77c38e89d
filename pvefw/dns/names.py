"""DNS names as the hooks see them: absolute, lower case, A-labels, with the final dot."""

from collections.abc import Iterable

from pvefw.core.errors import ConfigError
from pvefw.store import host_names

CHALLENGE_LABEL = "_acme-challenge"
"""RFC 8555 section 8.4."""
_LONGEST = 254
"""Characters of an absolute name, final dot included (RFC 1035 section 2.3.4)."""


def absolute(domain: str) -> str:
    """A domain as people write it (``Bücher.Example``, with or without a final dot), made absolute.

    :raises ConfigError: it is not a domain name.
    """
    try:
        ascii_name = host_names.to_ascii(domain)
        host_names.check(ascii_name)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if host_names.is_address(ascii_name):
        raise ConfigError(
            f"{domain}: an address cannot be validated through DNS",
            hint="Give it the standalone plugin.",
        )
    return f"{ascii_name}."


def challenge_name(domain: str, label: str = CHALLENGE_LABEL) -> str:
    """Where the TXT record of a domain is; a wildcard's is that of its base (RFC 8555 section 8.4).

    :param label: what comes before the domain: more than one label for dns-account-01.
    :raises ConfigError: it is not a domain name, or too long for one more label.
    """
    name = f"{label}.{absolute(domain.removeprefix('*.'))}"
    if len(name) > _LONGEST:
        raise ConfigError(
            f"{domain}: {label}.NAME exceeds 253 characters",
            hint="Validate it over http-01, or give it an alias that is shorter.",
        )
    return name


def parent(name: str) -> str:
    """The name without its first label; the root's parent is the root."""
    return name.partition(".")[2] or "."


def is_within(name: str, zone: str) -> bool:
    """Whether a name is a zone's own name or below it."""
    return zone in (".", name) or name.endswith(f".{zone}")


def longest_zone(name: str, zones: Iterable[str]) -> str | None:
    """Of several zones the one that is nearest above a name, or ``None``."""
    return max((zone for zone in zones if is_within(name, zone)), key=len, default=None)
