"""Whose an address is: limits hold for a customer's network, not for each of its addresses."""

import ipaddress

_IPV6 = 64
"""Bits of an IPv6 address that are one customer's."""


def of(address: str) -> str:
    """The network of a client; ``unknown`` where that is no address."""
    try:
        client = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    bits = _IPV6 if client.version == 6 else 32  # noqa: PLR2004 - the protocol's number
    return str(ipaddress.ip_network((client, bits), strict=False))
