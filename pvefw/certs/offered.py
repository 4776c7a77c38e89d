"""What public authorities offer: what is known of them, and what their directories say when asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pvefw.acme.client import Client, Directory
from pvefw.acme.transport import Transport
from pvefw.certs import directories
from pvefw.certs.accounts import Unhurried
from pvefw.core.errors import AcmeError
from pvefw.host.concurrency import side_by_side

_SECONDS = 10.0
_AT_ONCE = 8


@dataclass(frozen=True)
class Offered:
    """One authority; ``None`` is for what is not known."""

    name: str
    """Its short name, or empty."""
    title: str
    url: str
    challenges: Sequence[str] = ()
    """Known types; a directory does not list them."""
    wildcard: bool | None = None
    address: bool | None = None
    """Whether it issues for IP addresses."""
    binding: bool | None = None
    """Whether an account needs an external account binding."""
    profiles: Sequence[str] | None = None
    renewal_windows: bool | None = None
    """Renewal information, RFC 9773."""
    persistent: str | None = None
    """The draft of dns-persist-01 that its directory shows; empty for none."""
    problem: str = ""
    """Why its directory could not be read."""


@dataclass(frozen=True)
class _Known:
    challenges: Sequence[str]
    wildcard: bool = True
    address: bool | None = None


_USUAL = ("http-01", "dns-01", "tls-alpn-01")
_KNOWN: Mapping[str, _Known] = {
    "letsencrypt": _Known(_USUAL, address=True),
    "letsencrypt-test": _Known((*_USUAL, "dns-persist-01"), address=True),
    "google": _Known((*_USUAL, "dns-account-01")),
    "google-test": _Known((*_USUAL, "dns-account-01")),
    "zerossl": _Known(("http-01", "dns-01")),
}
"""As of November 2026."""


def authorities(
    names: Sequence[str] = (), *, ask: bool, ca_file: Path | None = None
) -> Sequence[Offered]:
    """Some authorities, or all that have a short name.

    :param names: short names or directory URLs.
    :param ask: whether to read their directories; one that cannot be read says why.
    :param ca_file: certificates to trust; none for the system's.
    :raises UsageError: a name is neither.
    """
    urls = [directories.url_of(name) for name in names] or [
        authority.url for authority in directories.KNOWN
    ]
    offers = [_known(url) for url in urls]
    if not ask:
        return offers
    return side_by_side(lambda offered: _asked(offered, str(ca_file or "")), offers, _AT_ONCE)


def _known(url: str) -> Offered:
    authority = next((other for other in directories.KNOWN if other.url == url), None)
    if authority is None:
        return Offered("", "", url)
    known = _KNOWN.get(authority.name)
    needed = bool(authority.binding)
    if known is None:
        return Offered(authority.name, authority.title, url, binding=needed)
    return Offered(
        authority.name,
        authority.title,
        url,
        known.challenges,
        known.wildcard,
        known.address,
        needed,
    )


def _asked(offered: Offered, ca_file: str) -> Offered:
    transport = Transport(ca_file=ca_file, deadline=_SECONDS, task=Unhurried())
    try:
        directory = Client(transport, offered.url).directory
    except AcmeError as error:
        return replace(offered, problem=error.message)
    finally:
        transport.close()
    return replace(
        offered,
        binding=directory.binding_required,
        profiles=sorted(directory.profiles or {}),
        renewal_windows="renewalInfo" in directory.urls,
        persistent=_persistent(directory),
    )


def _persistent(directory: Directory) -> str:
    """Draft 01 cannot be seen in a directory, only in a challenge."""
    return "draft 02" if directory.account_hash_prefix else ""
