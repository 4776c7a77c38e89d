"""Compares what is really served with what is installed, and tells somebody where they differ."""

import contextlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509

from pvefw.certs import chain
from pvefw.certs.certificate import Certificate
from pvefw.core import causes
from pvefw.core.errors import CertificateError, NotFound
from pvefw.core.model import ServedEvent, Task
from pvefw.host import tls
from pvefw.store import attention, files, host_names
from pvefw.tasks import events

_SECONDS = 10.0
"""For each step of a look."""
_PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between looks after a deployment: a service that reloads serves the old one for a moment."""
_TELL_AGAIN = timedelta(days=1)
PART = "served"
"""The part of ``pvefw status`` that shows it."""


@dataclass(frozen=True)
class Look:
    """What was seen at one address."""

    address: str
    """``HOST:PORT``."""
    reason: str
    """What is wrong; empty where the installed certificate is served."""


@dataclass(frozen=True)
class Seen:
    """What is kept of an address."""

    reason: str = ""
    """As in :class:`Look`, of the last one."""
    told: datetime | None = None
    """When somebody was told last that it is wrong, and not since that it is over."""


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
    begin, end = served.not_valid_before_utc, served.not_valid_after_utc
    when = f"{begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    return f"another certificate is served: for {names}, valid from {when}"


def _server_name(certificate: Certificate, host: str) -> str:
    """The name to ask for: the host's; of an address, the first name of the certificate."""
    if not host_names.is_address(host):
        return host
    info = certificate.installed()
    usable = [name for name in info.san if not host_names.is_address(name)] if info else []
    return usable[0].replace("*", "www", 1) if usable else ""


def after_deployment(certificate: Certificate, task: Task, now: datetime) -> bool:
    """Look until the new certificate is served everywhere, some seconds at most; then warn and tell.

    :returns: whether it is.
    """
    looks = settled(certificate, look(certificate), task.wait)
    for look_ in looks:
        if not look_.reason:
            task.log(f"{look_.address} serves it")
    return tell(certificate, looks, task, now)


def settled(
    certificate: Certificate, looks: Sequence[Look], wait: Callable[[float], object]
) -> Sequence[Look]:
    """Look again where something is wrong, for some seconds at most.

    One process of a service may still serve the old certificate when another one serves the new.

    :param looks: what was seen first.
    """
    for seconds in _PAUSES:
        if not any(look_.reason for look_ in looks):
            break
        wait(seconds)
        looks = look(certificate)
    return looks


def tell(certificate: Certificate, looks: Sequence[Look], task: Task, now: datetime) -> bool:
    """Warn of what is served wrong, and tell the observers, each of an address once a day at most.

    What was acknowledged is not told. What was seen is kept, for the status.

    :returns: whether all is well.
    """
    known, told = _load(certificate), set(_to_be_told(certificate, looks, now))
    for look_ in looks:
        if look_.reason:
            task.warn(problem(certificate.name, look_))
        if look_.address in told:
            event = ServedEvent(
                certificate.node.name,
                certificate.name,
                look_.address,
                certificate.files.certificate,
                look_.reason,
            )
            events.tell(certificate.node, "on_served", event, task)
            known[look_.address] = Seen(told=now if look_.reason else None)
    _keep(certificate, looks, known)
    return not any(look_.reason for look_ in looks)


def is_news(certificate: Certificate, looks: Sequence[Look], now: datetime) -> bool:
    """Whether there is something to tell somebody."""
    return bool(_to_be_told(certificate, looks, now))


def _to_be_told(certificate: Certificate, looks: Sequence[Look], now: datetime) -> list[str]:
    """The addresses of which somebody should be told."""
    known, quiet = _load(certificate), attention.load(certificate.paths).acknowledged
    return [look_.address for look_ in looks if _is_news(certificate, look_, known, quiet, now)]


def _is_news(
    certificate: Certificate,
    look_: Look,
    known: Mapping[str, Seen],
    quiet: Collection[str],
    now: datetime,
) -> bool:
    told = known.get(look_.address, Seen()).told
    if not look_.reason:
        return told is not None
    if f"{PART}: {problem(certificate.name, look_)}" in quiet:
        return False
    return told is None or now - told >= _TELL_AGAIN


def problem(name: str, look_: Look) -> str:
    """What is wrong at an address, in words that stay the same as long as it does."""
    return f"{name}: {look_.address}: {look_.reason}"


def of_all(certificates: Sequence[Certificate]) -> Iterator[tuple[Certificate, list[Look]]]:
    """What is served of each certificate that is installed and says where."""
    for certificate in certificates:
        with contextlib.suppress(CertificateError, NotFound):  # its renewal says so
            if certificate.settings.get("serves", ""):
                yield certificate, look(certificate)


# --- state ----------------------------------------------------------------------------------------


def last_looks(certificate: Certificate) -> list[Look]:
    """What the last look at each address found; nobody connects. Nothing where it is not installed."""
    if not files.exists(certificate.files.certificate):
        return []
    known = _load(certificate)
    places = [_address(host, port) for host, port, _ in certificate.settings.served_at]
    return [Look(address, known.get(address, Seen()).reason) for address in places]


def keep(certificate: Certificate, looks: Sequence[Look]) -> None:
    """Keep what a look found, which somebody may still have to be told of."""
    _keep(certificate, looks, _load(certificate))


def _load(certificate: Certificate) -> dict[str, Seen]:
    """What was seen at each address; nothing where it is damaged."""
    try:
        document = files.read_object_if_possible(certificate.files.served)
        return {str(key): _seen(look_) for key, look_ in document.items()}
    except files.DAMAGED:
        return {}


def _seen(members: Any) -> Seen:
    told = members["told"] and datetime.fromisoformat(members["told"])
    if told and told.tzinfo is None:
        raise ValueError("a time without its zone")
    return Seen(str(members["reason"]), told or None)


def _keep(certificate: Certificate, looks: Sequence[Look], known: Mapping[str, Seen]) -> None:
    seen = {
        look_.address: Seen(look_.reason, known.get(look_.address, Seen()).told) for look_ in looks
    }
    document = {
        key: {"reason": look_.reason, "told": look_.told and look_.told.isoformat()}
        for key, look_ in seen.items()
        if look_ != Seen()
    }
    if document or certificate.files.served.exists():
        data = json.dumps(document).encode()
        files.replace_if_possible(certificate.files.served, data, "observers are notified again")
