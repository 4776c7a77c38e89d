"""Public ACME authorities by their short names of lego and acme.sh: what each needs, what some ended."""

from dataclasses import dataclass
from difflib import get_close_matches
from urllib.parse import urlsplit

from pvefw.core.errors import UsageError


@dataclass(frozen=True)
class KnownDirectory:
    """An authority's directory."""

    names: tuple[str, ...]
    """Its short names, the usual one first."""
    title: str
    url: str
    binding: str = ""
    """Where to get an external account binding; empty where none is needed."""

    @property
    def name(self) -> str:
        """The usual short name."""
        return self.names[0]


_GCLOUD = "gcloud publicca external-account-keys create --format=json"
_SECTIGO = "your Sectigo account, at the ACME endpoint"
_SSLCOM = "https://secure.ssl.com, under API credentials of your account"

KNOWN = (
    KnownDirectory(
        ("letsencrypt",), "Let's Encrypt", "https://acme-v02.api.letsencrypt.org/directory"
    ),
    KnownDirectory(
        ("letsencrypt-test", "letsencrypt_test", "letsencrypt-staging"),
        "Let's Encrypt, staging",
        "https://acme-staging-v02.api.letsencrypt.org/directory",
    ),
    KnownDirectory(
        ("zerossl",),
        "ZeroSSL",
        "https://acme.zerossl.com/v2/DV90",
        "https://app.zerossl.com/developer, under EAB credentials",
    ),
    KnownDirectory(
        ("google", "googletrust"),
        "Google Trust Services",
        "https://dv.acme-v02.api.pki.goog/directory",
        _GCLOUD,
    ),
    KnownDirectory(
        ("google-test", "googletest", "googletrust-staging"),
        "Google Trust Services, staging",
        "https://dv.acme-v02.test-api.pki.goog/directory",
        f"{_GCLOUD}, with the staging endpoint of Public CA",
    ),
    KnownDirectory(
        ("sslcom", "ssl.com", "sslcomrsa"),
        "SSL.com, RSA",
        "https://acme.ssl.com/sslcom-dv-rsa",
        _SSLCOM,
    ),
    KnownDirectory(
        ("sslcom-ecc", "sslcomecc"), "SSL.com, ECDSA", "https://acme.ssl.com/sslcom-dv-ecc", _SSLCOM
    ),
    KnownDirectory(
        ("actalis",),
        "Actalis",
        "https://acme-api.actalis.com/acme/directory",
        "the customer area of Actalis",
    ),
    KnownDirectory(
        ("digicert",),
        "DigiCert",
        "https://acme.digicert.com/v2/acme/directory",
        "CertCentral, under ACME directory URLs",
    ),
    KnownDirectory(
        ("globalsign",),
        "GlobalSign Atlas",
        "https://emea.acme.atlas.globalsign.com/directory",
        "the Atlas portal, under ACME",
    ),
    KnownDirectory(("sectigo",), "Sectigo, DV", "https://acme.sectigo.com/v2/DV", _SECTIGO),
    KnownDirectory(
        ("sectigo-ov", "sectigoov"), "Sectigo, OV", "https://acme.sectigo.com/v2/OV", _SECTIGO
    ),
    KnownDirectory(
        ("sectigo-ev", "sectigoev"), "Sectigo, EV", "https://acme.sectigo.com/v2/EV", _SECTIGO
    ),
)
_BY_NAME = {name: authority for authority in KNOWN for name in authority.names}
_STAPLING_ENDED = {"letsencrypt.org": "2025-05-07"}
"""Authorities that refuse a request for must-staple, by domain, and since when."""


def url_of(given: str) -> str:
    """A directory's URL, from that or a short name.

    :raises UsageError: it is neither.
    """
    text = given.strip()
    if "://" in text:
        return text
    known = _BY_NAME.get(text.lower())
    if known is not None:
        return known.url
    close = get_close_matches(text.lower(), _BY_NAME, n=1)
    raise UsageError(
        f"{text} is neither a URL nor the short name of an authority"
        + (f" (did you mean {close[0]}?)" if close else ""),
        hint=f"Short names: {', '.join(authority.name for authority in KNOWN)}.",
    )


def binding_hint(url: str) -> str:
    """What to do where an authority wants an external account binding."""
    where = next((authority.binding for authority in KNOWN if authority.url == url), "")
    source = f"Get key id and key from {where}, then give" if where else "Give"
    rest = "" if where else " with what the authority gave you"
    return f"{source} --eab-kid and --eab-hmac-key-file{rest}."


def stapling_ended(url: str) -> str:
    """Since when an authority refuses must-staple (ISO date); empty where nothing is known."""
    host = urlsplit(url).hostname or ""
    return next(
        (day for name, day in _STAPLING_ENDED.items() if host == name or host.endswith(f".{name}")),
        "",
    )
