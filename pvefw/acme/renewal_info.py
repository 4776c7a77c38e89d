"""When an authority wants a certificate renewed: ACME Renewal Information (RFC 9773)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509

from pvefw.acme.jws import b64
from pvefw.core.errors import AcmeProtocolError, CertificateError

_LONGEST_URL = 1000


@dataclass(frozen=True)
class RenewalInfo:
    """The window within which a certificate should be renewed (section 4.2)."""

    start: datetime
    end: datetime
    """After the start; both aware."""
    explanation: str = ""
    """URL of a page for people, where the authority has reasons of its own."""
    retry_after: float | None = None
    """Seconds after which to ask again (section 4.3)."""


def certificate_id(certificate: x509.Certificate) -> str:
    """How authorities call a certificate: its issuer's key and its serial number (section 4.1).

    :raises CertificateError: it does not name its issuer's key.
    """
    try:
        extension = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        issuer = None
    else:
        issuer = extension.value.key_identifier
    if issuer is None:
        raise CertificateError(
            f"certificate {certificate.serial_number:x}: it does not name the key of its issuer"
        )
    serial = certificate.serial_number
    signed = serial.to_bytes(serial.bit_length() // 8 + 1)  # as in DER: the first bit is a sign
    return f"{b64(issuer)}.{b64(signed)}"


def parse(document: Mapping[str, Any], what: str, retry_after: float | None) -> RenewalInfo:
    """Read the object that a server sent.

    :param what: names it in errors.
    :raises AcmeProtocolError: it holds no window that one can use.
    """
    window: Any = document.get("suggestedWindow")
    try:
        start, end = (datetime.fromisoformat(window[key]) for key in ("start", "end"))
        usable = start < end  # not where only one has a zone, either
    except (TypeError, KeyError, ValueError) as error:
        raise AcmeProtocolError(f"{what}: the renewal information has no window") from error
    if not usable or start.tzinfo is None:
        raise AcmeProtocolError(f"{what}: invalid renewal window: {start} is not before {end}")
    return RenewalInfo(start, end, _page(document.get("explanationURL")), retry_after)


def _page(url: object) -> str:
    """The URL of a page that people can open; empty for anything else."""
    usable = isinstance(url, str) and len(url) <= _LONGEST_URL and url.isprintable()
    return str(url) if usable and str(url).startswith(("https://", "http://")) else ""
