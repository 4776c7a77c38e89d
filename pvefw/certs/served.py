"""Compares what is really served with what is installed, and tells somebody where they differ."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from pvefw.certs import chain
from pvefw.certs.certificate import Certificate
from pvefw.core import causes
from pvefw.core.errors import CertificateError, NotFound
from pvefw.core.model import ServedEvent, Task
from pvefw.host import tls
from pvefw.store import files, host_names
from pvefw.tasks import events

_SECONDS = 10.0
"""For each step of a look."""
_PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between looks after a deployment: a service that reloads serves the old one for a moment."""
_TELL_AGAIN = timedelta(days=1)


@dataclass(frozen=True)
class Look:
    """What was seen at one address."""

    address: str
    """``HOST:PORT``."""
    reason: str
    """What is wrong; empty where the installed certificate is served."""


def look(certificate: Certificate) -> list[Look]:
    """Connect to every address where a certificate is served.

    :raises NotFound: it is not installed.
    """
    fingerprint = certificate.event().fingerprint
    return [
        Look(_address(host, port), _difference(certificate, fingerprint, host, port, starttls))
        for host, port, starttls in certificate.settings.served_at
    ]


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _difference(
    certificate: Certificate, fingerprint: str, host: str, port: int, starttls: str
) -> str:
    name = _server_name(certificate, host)
    try:
        der = tls.served_certificate(host, port, starttls, name, _SECONDS)
        served = x509.load_der_x509_certificate(der)
    except (OSError, ValueError) as error:
        return f"it cannot be asked: {causes.of(error)}"
    if chain.fingerprint(served) == fingerprint:
        return ""
    names = ", ".join(chain.names(served)[:3]) or "no name"
    end = f"{served.not_valid_after_utc:%Y-%m-%d}"
    return f"another certificate is served: of {names}, good until {end}"


def _server_name(certificate: Certificate, host: str) -> str:
    """The name to ask for: the host's; of an address, the first name of the certificate."""
    if not host_names.is_address(host):
        return host
    info = certificate.installed()
    usable = [one for one in info.san if not host_names.is_address(one)] if info else []
    return usable[0].replace("*", "www", 1) if usable else ""


def after_deployment(certificate: Certificate, task: Task, now: datetime) -> bool:
    """Look until the new certificate is served everywhere, some seconds at most; then warn and tell.

    :returns: whether it is.
    """
    found = look(certificate)
    for seconds in _PAUSES:
        if not any(one.reason for one in found):
            break
        task.wait(seconds)
        found = look(certificate)
    for one in found:
        if not one.reason:
            task.log(f"{one.address} serves it")
    return tell(certificate, found, task, now)


def tell(certificate: Certificate, found: Sequence[Look], task: Task, now: datetime) -> bool:
    """Warn of what is served wrong, and tell the observers, each of an address once a day at most.

    :returns: whether all is well.
    """
    known = _load(certificate)
    for one in found:
        if one.reason:
            task.warn(f"{certificate.name}: {one.address}: {one.reason}")
        if _to_be_told(one, known, now):
            event = ServedEvent(
                certificate.node.name,
                certificate.name,
                one.address,
                certificate.files.certificate,
                one.reason,
            )
            events.tell(certificate.node, "on_served", event, task)
            known = {key: when for key, when in known.items() if key != one.address}
            known |= {one.address: now} if one.reason else {}
    _save(certificate, known)
    return not any(one.reason for one in found)


def is_news(certificate: Certificate, found: Sequence[Look], now: datetime) -> bool:
    """Whether there is something to tell somebody."""
    known = _load(certificate)
    return any(_to_be_told(one, known, now) for one in found)


def _to_be_told(one: Look, known: dict[str, datetime], now: datetime) -> bool:
    told = known.get(one.address)
    if not one.reason:
        return told is not None
    return told is None or now - told >= _TELL_AGAIN


def of_all(certificates: Sequence[Certificate]) -> Iterator[tuple[Certificate, list[Look]]]:
    """What is served of each certificate that is installed and says where."""
    for one in certificates:
        with contextlib.suppress(CertificateError, NotFound):  # its renewal says so
            if one.settings.get("serves", ""):
                yield one, look(one)


# --- state ----------------------------------------------------------------------------------------


def _load(certificate: Certificate) -> dict[str, datetime]:
    """When somebody was told of an address that serves something else; nothing where it is damaged."""
    try:
        said = files.read_object_if_possible(certificate.files.served)
        return {str(key): datetime.fromisoformat(one) for key, one in said.items()}
    except (ValueError, TypeError):
        return {}


def _save(certificate: Certificate, known: dict[str, datetime]) -> None:
    if known or certificate.files.served.exists():
        said = {key: one.isoformat() for key, one in known.items()}
        data = json.dumps(said).encode()
        files.replace_if_possible(certificate.files.served, data, "observers are notified again")
