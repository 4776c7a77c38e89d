"""What names of hosts and domains look like: those a certificate can be ordered for, and Proxmox VE's."""

import ipaddress
import re
import unicodedata

_LABEL = r"[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?"
_NAME = rf"{_LABEL}(?:\.{_LABEL})*"
_LONGEST = 253
"""Characters, without a final dot (RFC 1035 section 2.3.4)."""

# Proxmox VE's formats pve-acme-domain and pve-acme-alias; an IPv4 address fits the first
_PVE_NAME = r"[a-zA-Z0-9][a-zA-Z0-9_-]*(?:\.[a-zA-Z0-9][a-zA-Z0-9_-]*)+"
_PVE_ALIAS = r"[a-zA-Z0-9_][a-zA-Z0-9_-]*(?:\.[a-zA-Z0-9_][a-zA-Z0-9_-]*)+"


def is_wildcard(name: str) -> bool:
    """Whether a name is ``*.`` and a domain."""
    return name.startswith("*.")


def is_address(name: str) -> bool:
    """Whether a name is an IP address rather than a domain."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def check(name: str) -> None:
    """A name or address that a certificate can be ordered for.

    :raises ValueError: it is neither, and why.
    """
    if is_address(name):
        return
    bare = name.removeprefix("*.")
    ascii_name = to_ascii(bare)
    if len(ascii_name) > _LONGEST or not re.fullmatch(_NAME, ascii_name) or is_address(bare):
        raise ValueError(f"'{name}' is neither a domain name nor an IP address")


def to_ascii(name: str) -> str:
    """A name with international labels as A-labels (RFC 5891), lower case, no final dot.

    :raises ValueError: a label cannot be encoded.
    """
    if name.isascii():
        return name.lower().removesuffix(".")
    import idna

    try:
        return idna.encode(name.removesuffix("."), uts46=True).decode()
    except idna.IDNAError as error:
        raise ValueError(f"'{name}' is not a valid international name{_odd(name)}") from error


def _odd(name: str) -> str:
    """The first character that no name has, in words; or nothing."""
    signs = (
        char for char in name if char not in ".-_*" and unicodedata.category(char)[0] in "CPSZ"
    )
    return next((f": it has the character {char}" for char in signs), "")


def normal(name: str) -> str:
    """A name as it is in an order: A-labels in lower case, perhaps with ``*.``; or an address."""
    if is_address(name):
        return str(ipaddress.ip_address(name))
    star = "*." if is_wildcard(name) else ""
    return star + to_ascii(name.removeprefix("*."))


def pve_accepts(name: str) -> bool:
    """Whether Proxmox VE's parser accepts this as a name of a certificate."""
    return re.fullmatch(_PVE_NAME, name) is not None


def pve_accepts_alias(name: str) -> bool:
    """Whether Proxmox VE's parser accepts this as an alias for dns-01."""
    return re.fullmatch(_PVE_ALIAS, name) is not None
