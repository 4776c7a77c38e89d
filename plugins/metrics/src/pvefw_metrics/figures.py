"""The figures, with the names that dashboards expect where there are such names.

Certificates are called as x509-certificate-exporter calls them. All else begins with ``pvefw_``; times
are seconds since the epoch, states are 0 and 1 (https://prometheus.io/docs/practices/naming/).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pvefw import __version__
from pvefw.certs import certificate
from pvefw.cli import status
from pvefw.cli.status_parts import GOOD, Part
from pvefw.core.errors import PvefwError
from pvefw.dns import journal
from pvefw.store.node import Node
from pvefw.store.paths import Paths

_Row = tuple[Sequence[str], float]


def exposition(paths: Paths, now: datetime) -> bytes:
    """All figures in the text format of Prometheus.

    What cannot be found out is left out, and ``pvefw_part_ok`` of its part is 0.
    """
    registry = CollectorRegistry()
    registry.register(_Node(paths, now))
    return generate_latest(registry)


class _Node(Collector):
    """One look at a node."""

    def __init__(self, paths: Paths, now: datetime) -> None:
        self._paths = paths
        self._now = now

    def describe(self) -> Iterable[Metric]:
        """Nothing: it would be another look."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The figures."""
        parts = status.look(self._paths, self._now)
        rows = [((name,), float(part.state in GOOD)) for name, part in parts.items()]
        yield _gauge(
            "pvefw_build_info", "The version of pvefw.", ["version"], [((__version__,), 1.0)]
        )
        yield _gauge(
            "pvefw_part_ok", "Whether a part of the node needs no attention.", ["part"], rows
        )
        yield _gauge(
            "pvefw_last_look_timestamp_seconds",
            "When these figures were collected.",
            [],
            [((), self._now.timestamp())],
        )
        yield from _x509(self._paths, self._now)
        yield from _renewals(parts["certificates"].data)
        yield from _tasks(parts["tasks"])
        yield from _boot(parts["boot"].data)
        states = parts["guests"].data.get("states", {})
        rows = [((state,), float(count)) for state, count in states.items()]
        yield _gauge("pvefw_guests", "Guests by state.", ["state"], rows)
        yield from _served(parts["served"].data)
        yield from _journal(self._paths)


def _gauge(name: str, meaning: str, labels: Sequence[str], rows: Iterable[_Row]) -> Metric:
    metric = GaugeMetricFamily(name, meaning, labels=labels)
    for values, number in rows:
        metric.add_metric(values, number)
    return metric


def _x509(paths: Paths, now: datetime) -> Iterator[Metric]:
    labels = ["filename", "filepath", "serial_number", "subject_CN", "issuer_CN"]
    rows = list(_certificates(paths))
    begin = [(values, leaf.not_valid_before_utc.timestamp()) for values, leaf in rows]
    yield _gauge("x509_cert_not_before", "When a certificate becomes valid.", labels, begin)
    end = [(values, leaf.not_valid_after_utc.timestamp()) for values, leaf in rows]
    yield _gauge("x509_cert_not_after", "When a certificate expires.", labels, end)
    over = [(values, float(leaf.not_valid_after_utc <= now)) for values, leaf in rows]
    yield _gauge("x509_cert_expired", "Whether a certificate has expired.", labels, over)


def _certificates(paths: Paths) -> Iterator[tuple[Sequence[str], x509.Certificate]]:
    try:
        known = certificate.info_of_all(Node.open(paths))
    except PvefwError:
        return  # the part says so
    places = (paths.etc_pve, paths.node_dir(), paths.certificate_dir)
    for info in known:
        leaf = x509.load_pem_x509_certificate(info.pem.encode())
        path = next((it for place in places if (it := place / info.filename).exists()), places[0])
        names = (_common_name(leaf.subject), _common_name(leaf.issuer))
        yield (info.filename, str(path), str(leaf.serial_number), *names), leaf


def _common_name(name: x509.Name) -> str:
    attributes = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(attributes[0].value) if attributes else ""


def _renewals(data: Mapping[str, Any]) -> Iterator[Metric]:
    known = data.get("certificates", [])
    due = [
        ((renewal["file"],), datetime.fromisoformat(renewal["due"]).timestamp())
        for renewal in known
        if renewal["due"]
    ]
    yield _gauge(
        "pvefw_renewal_due_timestamp_seconds", "When a certificate is renewed.", ["filename"], due
    )
    for name, key, meaning in (
        ("pvefw_renewal_failures", "failures", "How many renewals in a row have failed."),
        ("pvefw_certificate_revoked", "revoked", "Whether a certificate in use was revoked."),
    ):
        yield _gauge(
            name,
            meaning,
            ["filename"],
            [((renewal["file"],), float(renewal[key])) for renewal in known],
        )
    if "timer" in data:
        rows: list[_Row] = [((), float(data["timer"]))]
        yield _gauge(
            "pvefw_renewal_timer_installed", "Whether renewals run by themselves.", [], rows
        )
    if "not-deployed" in data:
        meaning = "Services and observers that have not received the certificate yet."
        yield _gauge("pvefw_not_deployed", meaning, [], [((), float(len(data["not-deployed"])))])


def _tasks(part: Part) -> Iterator[Metric]:
    meaning = "Tasks that failed in the last day, and running ones."
    rows = [
        ((key,), float(len(part.data[key]))) for key in ("failed", "running") if key in part.data
    ]
    yield _gauge("pvefw_tasks", meaning, ["status"], rows)


def _boot(data: Mapping[str, Any]) -> Iterator[Metric]:
    esps = [
        ((esp["uuid"],), float(esp["there"] and not esp["interrupted"] and not esp["failure"]))
        for esp in data.get("esps", [])
    ]
    meaning = "Whether an ESP was found, and its last refresh was completed."
    yield _gauge("pvefw_esp_in_step", meaning, ["uuid"], esps)
    pins = {"always": data.get("pinned"), "once": data.get("next-boot")}
    rows: list[_Row] = [((str(pin), boots), 1.0) for boots, pin in pins.items() if pin]
    yield _gauge("pvefw_kernel_pinned", "The kernel that is pinned.", ["version", "boots"], rows)


def _served(data: Mapping[str, Any]) -> Iterator[Metric]:
    rows = [
        ((address["certificate"], address["address"]), float(address["ok"]))
        for address in data.get("addresses", [])
    ]
    meaning = "Whether the last check found the installed certificate where it should be served."
    yield _gauge("pvefw_served_ok", meaning, ["certificate", "address"], rows)


def _journal(paths: Paths) -> Iterator[Metric]:
    try:
        count = len(journal.open_entries(paths))
    except PvefwError:
        return
    meaning = "TXT records of orders that still have to be removed."
    yield _gauge("pvefw_dns_journal_entries", meaning, [], [((), float(count))])
