"""Every property of a node's configuration: its format, its check, and whether Proxmox VE can hold it.

One table serves ``config get`` and ``config set``, the messages that show a format, and the docs.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from pvefw.store import host_names
from pvefw.store.node_config import parse_property_string
from pvefw.store.section_config import ID

# not compiled before one of them is wanted: the Tab key waits
_MAC = r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}"
_CHALLENGE = r"[a-z0-9][a-z0-9-]*"
_INTERFACE = r"[a-zA-Z0-9][a-zA-Z0-9_.:-]{0,14}"
_BRACKETED = r"\[(.*)\](?::(.*))?"
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_DOMAIN_KEY = r"acmedomain(0|[1-9][0-9]{0,2})"
_LAST_PVE_DOMAIN = 5


@dataclass(frozen=True)
class Property:
    """One property of the node's configuration."""

    key: str
    format: str
    """For people: ``[mac=]MAC[,bind-interface=IF][,broadcast-address=IP]``."""
    help: str
    check: Callable[[str], None]
    """Raises ValueError, with the reason, for a value that is not in the format."""
    pve: Callable[[str], bool]
    """Whether Proxmox VE's own parser accepts this value."""
    certificate: bool = False
    """Whether it says what is wanted of a certificate: a ``certificate`` section can have it, too."""

    @property
    def parts(self) -> list[str]:
        """The keys of a property string (``KEY=VALUE,KEY=VALUE``), as its format names them."""
        keys = re.compile(r"\[?([a-z-]+)=")
        return keys.findall(self.format) if keys.match(self.format) else []

    @property
    def is_list(self) -> bool:
        """Whether it is a list with commas."""
        return self.format.endswith(",…")

    @property
    def known_to_pve(self) -> bool:
        """Whether Proxmox VE has this property; of others, its parser keeps any value."""
        return self.pve is not _never


def _never(_value: str) -> bool:
    return False


def find(key: str) -> Property | None:
    """The property of this name, ``acmedomain0`` to ``acmedomain999`` included."""
    match = re.fullmatch(_DOMAIN_KEY, key)
    if match is None:
        return _BY_KEY.get(key)
    theirs = _pve_domain if int(match[1]) <= _LAST_PVE_DOMAIN else _never
    return Property(key, _DOMAIN_FORMAT, _DOMAIN_HELP, _acmedomain, theirs, certificate=True)


def is_domain(key: str) -> bool:
    """Whether a property is one of ``acmedomain0`` to ``acmedomain999``."""
    return re.fullmatch(_DOMAIN_KEY, key) is not None


# --- checks ---------------------------------------------------------------------------------------


def split_names(text: str) -> list[str]:
    """The names in ``domains=``, apart by ``;`` or blanks."""
    return text.replace(";", " ").split()


def _keys(values: dict[str, str], *allowed: str) -> None:
    for key in values:
        if key not in allowed:
            raise ValueError(f"'{key}' is not one of {', '.join(allowed)}")


def _matches(pattern: str | re.Pattern[str], value: str, what: str) -> None:
    if not re.fullmatch(pattern, value):
        raise ValueError(f"'{value}' is not {what}")


def _acme(value: str) -> None:
    if re.search(r"domains=[^=]*,[^=]*(,|$)", value):
        raise ValueError("several domains have ';' between them, and no ','")
    values = parse_property_string(value)
    _keys(values, "account", "domains")
    if "account" in values:
        _matches(ID, values["account"], "an account name")
    for name in split_names(values.get("domains", "")):
        host_names.check(name)


def _acmedomain(value: str) -> None:
    values = parse_property_string(value, "domain")
    _keys(values, "domain", "plugin", "alias", "challenge")
    if "domain" not in values:
        raise ValueError("the domain is missing")
    host_names.check(values["domain"])
    if "plugin" in values:
        _matches(ID, values["plugin"], "a plugin instance's name")
    if "alias" in values:
        host_names.check(values["alias"])
    if "challenge" in values:
        _matches(_CHALLENGE, values["challenge"], "a type of challenges such as dns-account-01")


def _ipv4(value: str) -> None:
    try:
        ipaddress.IPv4Address(value)
    except ValueError as error:
        raise ValueError(f"'{value}' is not an IPv4 address") from error


def _wakeonlan(value: str) -> None:
    values = parse_property_string(value, "mac")
    _keys(values, "mac", "bind-interface", "broadcast-address")
    _matches(_MAC, values.get("mac", ""), "a MAC address")
    if "bind-interface" in values:
        _matches(_INTERFACE, values["bind-interface"], "an interface name")
    if "broadcast-address" in values:
        _ipv4(values["broadcast-address"])
    if int(values["mac"][:2], 16) & 1:
        raise ValueError(f"'{values['mac']}' is a multicast MAC address")


def _location(value: str) -> None:
    values = parse_property_string(value)
    _keys(values, "latitude", "longitude", "name")
    for key, limit in (("latitude", 90), ("longitude", 180)):
        if key not in values:
            raise ValueError(f"the {key} is missing")
        number = values[key]
        if not re.fullmatch(_NUMBER, number) or not -limit <= float(number) <= limit:
            raise ValueError(f"{key}: '{number}' is not a number from -{limit} to {limit}")


def _integer(low: int, high: int) -> Callable[[str], None]:
    def check(value: str) -> None:
        if not (value.isascii() and value.isdecimal()) or not low <= int(value) <= high:
            raise ValueError(f"'{value}' is not a whole number from {low} to {high}")

    return check


def _one_of(*words: str) -> Callable[[str], None]:
    def check(value: str) -> None:
        if value not in words:
            raise ValueError(f"'{value}' is not one of {', '.join(words)}")

    return check


def check_text(value: str) -> None:
    """What every value must be.

    :raises ValueError: it is empty, or more than one line.
    """
    if not value:
        raise ValueError("the value is empty; --delete removes a property")
    if any(ord(char) < ord(" ") for char in value):
        raise ValueError("the value must be one line of text")


def _account(value: str) -> None:
    _matches(ID, value, "an account name")


def _ids(value: str) -> None:
    for part in value.split(","):
        _matches(ID, part.strip(), "an observer's id")


_EXAMPLE = "www.example.com:443"
STARTTLS = ("smtp", "imap", "pop3", "ftp", "ldap", "postgres")
"""The protocols in which TLS is begun by a command."""


def served_at(value: str) -> list[tuple[str, int, str]]:
    """The addresses in ``serves``: host, port, and the protocol of STARTTLS or nothing.

    :raises ValueError: one is not in the format.
    """
    return [_served(part.strip()) for part in value.split(";") if part.strip()]


def _served(text: str) -> tuple[str, int, str]:
    parts = parse_property_string(text, "address")
    _keys(parts, "address", "starttls")
    host, colon, port = parts.get("address", "").rpartition(":")
    if not colon or not host:
        raise ValueError(f"'{text}' is not HOST:PORT, like {_EXAMPLE}")
    _integer(1, 65535)(port)
    bare = host.removeprefix("[").removesuffix("]")
    host_names.check(bare)
    protocol = parts.get("starttls", "")
    if protocol:
        _one_of(*STARTTLS)(protocol)
    return bare, int(port), protocol


def _serves(value: str) -> None:
    if not served_at(value):
        raise ValueError("there is no HOST:PORT in it")


def _servers(value: str) -> None:
    for part in (part.strip() for part in value.split(",")):
        bracketed = re.fullmatch(_BRACKETED, part)
        host, port = bracketed.groups() if bracketed else (part, None)
        if part.count(":") == 1:
            host, _, port = part.partition(":")
        if not host_names.is_address(host):
            raise ValueError(f"'{host}' is not an IP address")
        _integer(1, 65535)(port or "53")


# --- what Proxmox VE can hold -----------------------------------------------------------------------


# its formats pve-configid and pve-iface
_PVE_ID = r"[a-zA-Z][a-zA-Z0-9_-]+"
_PVE_INTERFACE = r"[a-zA-Z][a-zA-Z0-9_]{1,20}(?:[:.][0-9]+)?"


def _accepted(check: Callable[[str], object]) -> Callable[[str], bool]:
    """A check as a question."""

    def accepts(value: str) -> bool:
        try:
            return check(value) is not False
        except ValueError:
            return False

    return accepts


@_accepted
def _pve_acme(value: str) -> bool:
    values = parse_property_string(value)
    _keys(values, "account", "domains")
    names = split_names(values.get("domains", ""))
    return all(map(host_names.pve_accepts, names)) and pve_id(values.get("account", "default"))


@_accepted
def _pve_domain(value: str) -> bool:
    values = parse_property_string(value, "domain")
    _keys(values, "domain", "plugin", "alias")
    return (
        host_names.pve_accepts(values.get("domain", ""))
        and ("alias" not in values or host_names.pve_accepts_alias(values["alias"]))
        and pve_id(values.get("plugin", "standalone"))
        and "challenge" not in values
    )


@_accepted
def _pve_wakeonlan(value: str) -> bool:
    values = parse_property_string(value, "mac")
    interface = values.pop("bind-interface", "eth0")  # longer ones than the kernel's, too
    _wakeonlan(",".join(f"{key}={text}" for key, text in values.items()))
    return re.fullmatch(_PVE_INTERFACE, interface) is not None


def _pve_integer(low: int, high: int) -> Callable[[str], bool]:
    def accepts(value: str) -> bool:
        return re.fullmatch(r"[+-]?[0-9]{1,9}", value) is not None and low <= int(value) <= high

    return accepts


def pve_id(name: str) -> bool:
    """Whether Proxmox VE accepts this as the name of an account or a plugin instance."""
    return re.fullmatch(_PVE_ID, name) is not None


# --- the table ------------------------------------------------------------------------------------

_DOMAIN_FORMAT = "[domain=]DOMAIN[,plugin=ID][,alias=DOMAIN][,challenge=TYPE]"
_DOMAIN_HELP = (
    "A name of the certificate, the plugin instance that validates it, an alias, and the only type of "
    "challenge to use."
)

PROPERTIES = (
    Property(
        "acme",
        "account=NAME,domains=DOMAIN;DOMAIN;…",
        "Account and names.",
        _acme,
        _pve_acme,
        certificate=True,
    ),
    Property(
        "ballooning-target",
        "0..100",
        "RAM usage in percent to aim for.",
        _integer(0, 100),
        _pve_integer(0, 100),
    ),
    Property(
        "location",
        "latitude=DEGREES,longitude=DEGREES[,name=TEXT]",
        "Where the node is.",
        _location,
        _accepted(_location),
    ),
    Property(
        "startall-onboot-delay",
        "0..300",
        "Seconds to wait before the first guest is started after boot.",
        _integer(0, 300),
        _pve_integer(0, 300),
    ),
    Property(
        "wakeonlan",
        "[mac=]MAC[,bind-interface=IF][,broadcast-address=IP]",
        "MAC address that wakes this node, and the interface through which it wakes others.",
        _wakeonlan,
        _pve_wakeonlan,
    ),
    Property(
        "key-type",
        "ec256|ec384|rsa2048|rsa4096",
        "The certificate's key (default ec256).",
        _one_of("ec256", "ec384", "rsa2048", "rsa4096"),
        _never,
        certificate=True,
    ),
    Property(
        "key-reuse",
        "0|1",
        "Keep the key when renewing (default 0).",
        _one_of("0", "1"),
        _never,
        certificate=True,
    ),
    Property(
        "ca-key-type",
        "ec256|ec384|rsa2048|rsa4096",
        "The key of the cluster's CA and of the nodes' own certificates (default ec256).",
        _one_of("ec256", "ec384", "rsa2048", "rsa4096"),
        _never,
    ),
    Property(
        "revoke-replaced",
        "0|1",
        "Revoke a certificate at its authority once its successor is deployed (default 0).",
        _one_of("0", "1"),
        _never,
        certificate=True,
    ),
    Property(
        "must-staple",
        "0|1",
        "Ask for the must-staple extension (default 0).",
        _one_of("0", "1"),
        _never,
        certificate=True,
    ),
    Property(
        "preferred-chain",
        "COMMON NAME",
        "If there are several chains, use the one of this root.",
        check_text,
        _never,
        certificate=True,
    ),
    Property(
        "profile",
        "NAME",
        "The authority's certificate profile to order.",
        check_text,
        _never,
        certificate=True,
    ),
    Property(
        "renew-before",
        "DAYS",
        "Renew this many days before it expires, if that is earlier than the rule.",
        _integer(1, 365),
        _never,
        certificate=True,
    ),
    Property(
        "reload-command",
        "COMMAND",
        "The command line of sh(1) that makes the service use a new certificate; '-' for none.",
        check_text,
        _never,
        certificate=True,
    ),
    Property(
        "targets",
        "ID,ID,…",
        "The observers that deliver it; they get no other certificate.",
        _ids,
        _never,
        certificate=True,
    ),
    Property(
        "serves",
        "HOST:PORT[,starttls=smtp|imap|pop3|ftp|ldap|postgres];…",
        "Where the certificate is served, to be compared with what is installed.",
        _serves,
        _never,
        certificate=True,
    ),
    Property(
        "resolvers",
        "IP|IP:PORT|[IP]:PORT,…",
        "Recursive DNS servers to ask instead of the system's.",
        _servers,
        _never,
    ),
    Property(
        "dns-watch",
        "0|1",
        "Watch the authoritative DNS servers (default 1); 0 waits the whole validation delay instead.",
        _one_of("0", "1"),
        _never,
    ),
    Property(
        "authority-port",
        "1..65535",
        "Where authoritative DNS servers listen, as seen from here (default 53).",
        _integer(1, 65535),
        _never,
    ),
    Property(
        "fallback-account",
        "NAME",
        "The account to order from when the first fails.",
        _account,
        _never,
        certificate=True,
    ),
    Property(
        "task-history-count",
        "1..1000000000",
        "Number of finished tasks to keep; the oldest are removed with their logs (default: all).",
        _integer(1, 10**9),
        _never,
    ),
    Property(
        "task-history-days",
        "1..36500",
        "Days to keep finished tasks; older ones are removed with their logs (default: all).",
        _integer(1, 36500),
        _never,
    ),
)
_BY_KEY = {property_.key: property_ for property_ in PROPERTIES}
