"""What other ACME clients keep: the directories of certbot, acme.sh and lego, which are only read.

certbot: https://eff-certbot.readthedocs.io (``accounts``, ``live``, ``renewal``). acme.sh: ``ca``, and a
directory for each certificate, with ``_ecc`` after the name where its key is ECDSA. lego:
https://go-acme.github.io/lego (``accounts``, ``certificates``).
"""

import base64
import configparser
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pvefw.acme.jws import AccountKey
from pvefw.certs import directories
from pvefw.core.errors import ConfigError, NotFound, StoreError
from pvefw.store import files
from pvefw.store.paths import Paths

_Found = TypeVar("_Found")
_PLACES = ("etc/letsencrypt", "root/.acme.sh", "root/.lego", "var/lib/lego", "etc/lego")
"""Where they are found without being named, below the root."""
_ASSIGNMENT = re.compile(r"^(\w+)='?(.*?)'?$", re.MULTILINE)
_BASE64 = re.compile(r"__ACME_BASE64__START_(.*)__ACME_BASE64__END_")


@dataclass(frozen=True)
class TheirAccount:
    """An account of another client, as it says itself; nobody has asked the authority yet."""

    client: str
    path: Path
    directory: str
    """The authority's directory URL; empty where it is not kept."""
    location: str
    """The account's URL."""
    key: AccountKey = field(repr=False)


@dataclass(frozen=True)
class Way:
    """How a name is validated there."""

    api: str
    """The name of pvefw's plugin; empty where there is none for it."""
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What it needs, as far as it is kept there."""
    theirs: str = ""
    """What the other client calls it."""


@dataclass(frozen=True)
class TheirCertificate:
    """A certificate of another client."""

    client: str
    name: str
    fullchain: Path
    key: Path
    directory: str
    """The authority's directory URL, or its host alone; empty where it is not kept."""
    ways: Mapping[str, Way] = field(default_factory=dict)
    """How its names are validated, by name; without a name, the rest of them."""
    reload_command: str = ""
    """What is run after a renewal."""
    configuration: Path | None = None
    """Where it is written."""


def directories_of(paths: Paths, given: Path | None) -> list[Path]:
    """The directories to look at: the one that is given, or those that exist where they usually are.

    :raises NotFound: there is none.
    """
    folders = [given] if given else [place for place in map(paths.below, _PLACES) if place.is_dir()]
    if not folders:
        raise NotFound(
            "no directory of certbot, acme.sh or lego was found",
            hint=f"Looked at: {', '.join(str(paths.below(place)) for place in _PLACES)}. "
            "Name yours: --from DIR",
        )
    return folders


def client_of(directory: Path) -> str:
    """Whose directory it is.

    :raises ConfigError: nobody's that is known.
    """
    if (directory / "renewal").is_dir():
        return "certbot"
    if (directory / "account.conf").is_file():
        return "acme.sh"
    if (directory / "accounts").is_dir():
        return "certbot" if any(_files(directory / "accounts", "regr.json")) else "lego"
    raise ConfigError(f"{directory}: this is no directory of certbot, acme.sh or lego")


def accounts(directory: Path) -> list[TheirAccount]:
    """The accounts in a client's directory; what cannot be read is left out.

    :raises ConfigError: it is no such directory.
    """
    read = {"certbot": _of_certbot, "acme.sh": _of_acmesh, "lego": _of_lego}[client_of(directory)]
    by_location: dict[str, TheirAccount] = {}
    for account in _read(read, directory):
        # certbot keeps one account below both names of an authority that was renamed
        there = by_location.get(account.location)
        if there is None or urlsplit(there.directory).netloc != urlsplit(account.location).netloc:
            by_location[account.location] = account
    return list(by_location.values())


def certificates(directory: Path) -> list[TheirCertificate]:
    """The certificates in a client's directory; what cannot be read is left out.

    :raises ConfigError: it is no such directory.
    """
    client = client_of(directory)
    read = {"certbot": _by_certbot, "acme.sh": _by_acmesh, "lego": _by_lego}[client]
    return [
        certificate
        for certificate in _read(read, directory)
        if certificate.fullchain.exists() and certificate.key.exists()
    ]


def _read(read: Callable[[Path], Iterable[_Found]], directory: Path) -> list[_Found]:
    try:
        return list(read(directory))
    except files.DAMAGED as error:
        raise ConfigError(f"{directory}: a file in it is damaged: {error}") from error


# --- certbot --------------------------------------------------------------------------------------

_CERTBOT_DNS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "rfc2136": ("rfc2136", {"name": "key_name", "secret": "secret", "algorithm": "algorithm"}),
    "ovh": (
        "ovh",
        {
            "endpoint": "OVH_END_POINT",
            "application_key": "OVH_AK",
            "application_secret": "OVH_AS",
            "consumer_key": "OVH_CK",
        },
    ),
    "cloudflare": (
        "lexicon/cloudflare",
        {"api_token": "auth_token", "email": "auth_username", "api_key": "auth_token"},
    ),
    "digitalocean": ("lexicon/digitalocean", {"token": "auth_token"}),
    "dnsimple": ("lexicon/dnsimple", {"token": "auth_token"}),
    "dnsmadeeasy": (
        "lexicon/dnsmadeeasy",
        {"api_key": "auth_username", "secret_key": "auth_token"},
    ),
    "gehirn": ("lexicon/gehirn", {"api_token": "auth_token", "api_secret": "auth_secret"}),
    "linode": ("lexicon/linode4", {"key": "auth_token"}),
    "luadns": ("lexicon/luadns", {"email": "auth_username", "token": "auth_token"}),
    "nsone": ("lexicon/nsone", {"api_key": "auth_token"}),
    "sakuracloud": (
        "lexicon/sakuracloud",
        {"api_token": "auth_token", "api_secret": "auth_secret"},
    ),
}
"""Its DNS plugins that read a file: pvefw's plugin, and what its settings are called there."""


def _of_certbot(directory: Path) -> Iterator[TheirAccount]:
    for path in _files(directory / "accounts", "regr.json"):
        server = path.parent.parent.relative_to(directory / "accounts")
        registration = _json(path)
        key = AccountKey.from_jwk(_json(path.with_name("private_key.json")), str(path.parent))
        location = str(registration.get("uri", ""))
        yield TheirAccount("certbot", path.parent, f"https://{server}", location, key)


def _by_certbot(directory: Path) -> Iterator[TheirCertificate]:
    for path in sorted((directory / "renewal").glob("*.conf")):
        parameters = _ini(path).get("renewalparams", {})
        live = directory / "live" / path.stem
        yield TheirCertificate(
            "certbot",
            path.stem,
            live / "fullchain.pem",
            live / "privkey.pem",
            parameters.get("server", ""),
            _ways_of_certbot(directory, _ini(path)),
            parameters.get("renew_hook", ""),
            path,
        )


def _ways_of_certbot(directory: Path, sections: Mapping[str, Mapping[str, str]]) -> dict[str, Way]:
    ways = {"": _way_of_certbot(directory, sections.get("renewalparams", {}))}
    if ways[""].theirs == "webroot":
        roots = sections.get("[webroot_map]", {})
        ways |= {name: Way("standalone", {"webroot": root}) for name, root in roots.items()}
    return ways


def _way_of_certbot(directory: Path, parameters: Mapping[str, str]) -> Way:
    theirs = parameters.get("authenticator", "")
    if theirs == "standalone":
        own = {"port": "http01_port", "listen": "http01_address"}
        return _standalone(parameters, own)
    if theirs == "webroot":
        root = parameters.get("webroot_path", "").partition(",")[0].strip()
        return Way("standalone", {"webroot": root} if root else {}, theirs)
    name = theirs.removeprefix("dns-")
    if name not in _CERTBOT_DNS:
        return Way("", {}, theirs)
    api, renamed = _CERTBOT_DNS[name]
    given = parameters.get(f"dns_{name}_credentials", "")
    values = _ini(_inside(directory, given)).get("", {}) if given else {}
    own = {key.removeprefix(f"dns_{name}_"): value for key, value in values.items()}
    settings = {renamed[key]: value for key, value in own.items() if key in renamed and value}
    if name == "rfc2136" and "server" in own:
        settings["server"] = own["server"] + (f":{own['port']}" if own.get("port") else "")
        # its default is hmac-md5, which nobody has to write down
        settings["algorithm"] = settings.get("algorithm", "HMAC-MD5").lower()
    return Way(api, settings, theirs)


def _standalone(kept: Mapping[str, str], keys: Mapping[str, str]) -> Way:
    """A listener of the client's own.

    :param keys: what the client calls each of our settings.
    """
    settings = {name: kept[key] for name, key in keys.items() if kept.get(key)}
    return Way("standalone", settings, "standalone")


def _inside(directory: Path, given: str) -> Path:
    """A path that a client has written down, where its directory is looked at below another root."""
    path = Path(given)
    below = str(directory).removesuffix("/etc/letsencrypt")
    moved = Path(below) / path.relative_to("/") if path.is_absolute() else directory / path
    return moved if moved.exists() else path


# --- acme.sh --------------------------------------------------------------------------------------


def _of_acmesh(directory: Path) -> Iterator[TheirAccount]:
    apis = {certificate.directory for certificate in _by_acmesh(directory)}
    for path in _files(directory / "ca", "account.key"):
        conf = _shell(path.with_name("ca.conf"))
        # the directory's name has no port, the certificates' configuration has the whole URL
        host_and_path = str(path.parent.relative_to(directory / "ca"))
        known = (api for api in apis if _without_port(api) == host_and_path)
        key = AccountKey.from_pem((files.read_if_exists(path) or b"").decode(), str(path))
        url = next(known, f"https://{host_and_path}")
        yield TheirAccount("acme.sh", path.parent, url, conf.get("ACCOUNT_URL", ""), key)


def _without_port(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}/{parts.path.strip('/')}"


def _by_acmesh(directory: Path) -> Iterator[TheirCertificate]:
    saved = _shell(directory / "account.conf")
    for path in sorted(directory.glob("*/*.conf")):
        name = path.stem
        if path.parent.name not in (name, f"{name}_ecc"):
            continue
        conf = _shell(path)
        names = [
            name,
            *(
                alternative
                for alternative in conf.get("Le_Alt", "").split(",")
                if alternative not in ("", "no")
            ),
        ]
        ways = [
            _way_of_acmesh(way, saved, conf) for way in conf.get("Le_Webroot", "").split(",") if way
        ]
        yield TheirCertificate(
            "acme.sh",
            name,
            path.with_name("fullchain.cer"),
            path.with_suffix(".key"),
            conf.get("Le_API", ""),
            dict(zip(names, ways, strict=False)) | ({"": ways[-1]} if ways else {}),
            conf.get("Le_ReloadCmd", ""),
            path,
        )


def _way_of_acmesh(theirs: str, saved: Mapping[str, str], conf: Mapping[str, str]) -> Way:
    """How it validates a name.

    :param saved: what it keeps for all certificates, ``conf`` what it keeps for this one.
    """
    if theirs == "no":
        return _standalone(conf, {"port": "Le_HTTPPort", "listen": "Le_LocalAddress"})
    if theirs.startswith("/"):
        return Way("standalone", {"webroot": theirs}, theirs)
    if not theirs.startswith("dns_"):
        return Way("", {}, theirs)
    settings = {
        key.removeprefix("SAVED_"): value for key, value in saved.items() if "SAVED_" in key
    }
    return Way(f"acmesh/{theirs.removeprefix('dns_')}", settings, theirs)


# --- lego -----------------------------------------------------------------------------------------


def _of_lego(directory: Path) -> Iterator[TheirAccount]:
    for path in _files(directory / "accounts", "account.json"):
        document = _json(path)
        location = str((document.get("registration") or {}).get("uri", ""))
        key_file = path.parent / "keys" / f"{document.get('email', '')}.key"
        key = AccountKey.from_pem((files.read_if_exists(key_file) or b"").decode(), str(key_file))
        yield TheirAccount("lego", path.parent, _known_directory(location), location, key)


def _by_lego(directory: Path) -> Iterator[TheirCertificate]:
    for path in sorted((directory / "certificates").glob("*.json")):
        url = str(_json(path).get("certUrl", ""))
        yield TheirCertificate(
            "lego",
            path.stem,
            path.with_suffix(".crt"),
            path.with_suffix(".key"),
            _known_directory(url) or urlsplit(url).netloc,
        )


def _known_directory(url: str) -> str:
    """The directory of the authority that has a URL; lego keeps the host only."""
    host = urlsplit(url).netloc
    return next(
        (
            authority.url
            for authority in directories.KNOWN
            if urlsplit(authority.url).netloc == host
        ),
        "",
    )


# --- files ----------------------------------------------------------------------------------------


def _files(top: Path, name: str) -> Iterator[Path]:
    """All files of a name, also behind links to directories, of which certbot makes some."""
    for where, folders, names in os.walk(top, followlinks=True):
        folders.sort()  # what is listed, and chosen, is the same on every file system
        if name in names:
            yield Path(where) / name


def _text(path: Path) -> str:
    return (files.read_if_exists(path) or b"").decode(errors="replace")


def _json(path: Path) -> Mapping[str, Any]:
    try:
        document = files.parse_json(_text(path))
    except ValueError as error:
        raise ConfigError(f"{path}: this is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: this is not a JSON object")
    return document


def _ini(path: Path) -> dict[str, dict[str, str]]:
    """The sections of a ConfigObj file, the one before the first heading without a name."""
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters="=")
    try:
        parser.read_string("[top]\n" + _text(path))
    except configparser.Error as error:
        raise ConfigError(f"{path}: this cannot be read: {error.message}") from error
    sections = {name: dict(parser[name]) for name in parser.sections()}
    plain = {
        name: {key: value.strip().strip("\"'") for key, value in values.items()}
        for name, values in sections.items()
    }
    return {"" if name == "top" else name: values for name, values in plain.items()}


def _shell(path: Path) -> dict[str, str]:
    """The assignments of a file that a shell reads, as acme.sh writes them."""
    variables = {}
    for key, value in _ASSIGNMENT.findall(_text(path)):
        encoded = _BASE64.fullmatch(value)
        try:
            variables[key] = base64.b64decode(encoded[1]).decode() if encoded else value
        except ValueError as error:
            raise StoreError(f"{path}: {key}: this cannot be read: {error}") from error
    return variables
