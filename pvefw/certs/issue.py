"""Orders, renews and revokes the certificate of a node."""

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from pvefw.acme.client import Client, Order
from pvefw.acme.jws import AccountKey
from pvefw.acme.order import OrderFlow
from pvefw.certs import accounts as account_use
from pvefw.certs import chain, install, keys, renewal, solvers
from pvefw.certs.keys import PrivateKey
from pvefw.dns import cleanup
from pvefw.errors import AcmeError, AcmeProblem, ConfigError, NotFound, UsageError
from pvefw.model import Identifier, Task
from pvefw.store import files, locks, node_settings
from pvefw.store.domains import DomainEntry
from pvefw.store.paths import Paths
from pvefw.system import SystemClock
from pvefw.tasks import events

_ORDER_SECONDS = 3600.0
"""Long enough for slow DNS and an authority that asks to wait; each step has limits of its own."""


@dataclass(frozen=True)
class _Wanted:
    """What to order, from the node's configuration."""

    entries: list[DomainEntry]
    account: str
    settings: dict[str, str]

    @property
    def identifiers(self) -> list[Identifier]:
        return [one.identifier for one in self.entries]

    def flag(self, key: str) -> bool:
        return self.settings.get(key) == "1"


def order(paths: Paths, task: Task, *, force: bool = False) -> None:
    """Order a certificate for the configured names, install it, and tell the observers.

    :param force: replace a certificate that is there already.
    :raises UsageError: there is one, and no force.
    :raises ConfigError: nothing to order is configured.
    :raises PvefwError: the order failed; the certificate that was there is still there.
    """
    if not force and paths.proxy_certificate.exists():
        raise UsageError(
            f"acme cert order: {paths.proxy_certificate} is there already",
            hint="Replace it with --force, or renew it: pvefw acme cert renew",
        )
    _order(paths, task)


def renew(paths: Paths, task: Task, *, force: bool = False) -> None:
    """Renew the certificate, if it is due; DNS records that a killed order left are removed either way.

    :param force: also when it is not.
    :raises NotFound: there is no certificate to renew.
    :raises UsageError: it is not due.
    """
    cleanup.cleanup_first(paths, task)
    current = chain.describe(paths.proxy_certificate, _installed(paths))
    days = node_settings.get(paths, "renew-before")
    due = renewal.due_at(current, timedelta(days=int(days)) if days else None)
    if not force and due > SystemClock().now():
        raise UsageError(
            f"acme cert renew: the certificate is good until {current.not_after:%Y-%m-%d}, "
            f"its renewal is due on {due:%Y-%m-%d}",
            hint="Renew it now with --force.",
        )
    _order(paths, task)


def revoke(paths: Paths, task: Task) -> None:
    """Revoke the certificate at its authority and remove it from the node.

    :raises NotFound: there is no certificate.
    :raises AcmeError: the authority refuses; the certificate stays.
    """
    certificate = chain.parse(_installed(paths), str(paths.proxy_certificate))[0]
    task.log("Loading ACME account details")
    account = account_use.load(paths, node_settings.account_name(paths), task)
    with account_use.connect(account, task, _ORDER_SECONDS) as (client, _):
        task.log("Revoking old certificate")
        _revoke(paths, client, certificate.public_bytes(serialization.Encoding.DER), task)
    install.remove_pair(paths, task)
    install.reload_service(paths, node_settings.get(paths, "reload-command"), task)


def _installed(paths: Paths) -> bytes:
    pem = files.read_if_exists(paths.proxy_certificate)
    if pem is None:
        raise NotFound(
            f"node {paths.node} has no certificate of its own ({paths.proxy_certificate})",
            hint="Order one: pvefw acme cert order",
        )
    return pem


def _revoke(paths: Paths, client: Client, certificate: bytes, task: Task) -> None:
    """By the account; by the certificate's own key where it was ordered by another account."""
    try:
        client.revoke(certificate)
    except AcmeProblem as problem:
        if problem.type != "unauthorized":
            raise
        task.log("The account may not revoke it; revoking with the certificate's own key")
        pem, what = files.read(paths.proxy_key).decode(), str(paths.proxy_key)
        client.revoke(certificate, key=AccountKey.from_pem(pem, what))


def _order(paths: Paths, task: Task) -> None:
    with locks.local_lock(paths, f"acme-order-{paths.node}", timeout=0):
        install.recover(paths)
        cleanup.cleanup_first(paths, task)
        wanted = _wanted(paths)
        answering = solvers.for_names(paths, wanted.entries)
        task.log("Loading ACME account details")
        account = account_use.load(paths, wanted.account, task)
        with account_use.connect(account, task, _ORDER_SECONDS) as (client, transport):
            flow = OrderFlow(client, transport, answering, task)
            progress = _Progress(paths, wanted, account.location)
            valid = _resume(flow, progress, task) or _obtain(flow, progress, wanted)
            pem = flow.download(valid, wanted.settings.get("preferred-chain", ""))
        event = install.install_pair(
            paths, pem, keys.to_pem(progress.key), task, SystemClock().now()
        )
        progress.end()
    install.reload_service(paths, wanted.settings.get("reload-command"), task)
    events.tell(paths, "on_certificate", event, task)


def _resume(flow: OrderFlow, progress: "_Progress", task: Task) -> Order | None:
    """Go on with an order that was interrupted.

    The authority may have come while nobody answered; then that order is lost, and a new one is placed.
    """
    placed = progress.resumed(flow)
    if placed is None:
        return None
    try:
        return flow.finalize(flow.authorize(placed), progress.signing_request)
    except AcmeError as error:
        task.log(f"The interrupted order cannot be completed: {error.message}")
        return None


def _obtain(flow: OrderFlow, progress: "_Progress", wanted: _Wanted) -> Order:
    placed = flow.place(wanted.identifiers, profile=wanted.settings.get("profile", ""))
    progress.begin(placed)
    return flow.finalize(flow.authorize(placed), progress.signing_request)


def _wanted(paths: Paths) -> _Wanted:
    entries = node_settings.certificate_names(paths)
    if not entries:
        raise ConfigError(
            f"acme cert order: no names are configured for node {paths.node}",
            hint="Set one: pvefw config set -acmedomain0 NAME[,plugin=ID]",
        )
    return _Wanted(entries, node_settings.account_name(paths), node_settings.load(paths))


class _Progress:
    """How far an order has come: its URL, and the key that its certificate will belong to.

    Both outlive a crash, so that an order is resumed where the server still knows it; the key waits in
    the directory where it will be used.
    """

    def __init__(self, paths: Paths, wanted: _Wanted, account_url: str) -> None:
        self._paths = paths
        self._wanted = wanted
        self._account_url = account_url
        self._key: PrivateKey | None = None

    @property
    def _waiting_key(self) -> Path:
        return self._paths.proxy_key.with_name(f"{self._paths.proxy_key.name}.pvefw-order")

    def resumed(self, flow: OrderFlow) -> Order | None:
        """The order that was interrupted, if it was for the same and can go on."""
        record = files.read_if_exists(self._paths.open_order)
        key = files.read_if_exists(self._waiting_key)
        if record is None or key is None:
            return None
        try:
            said = json.loads(record)
            same = said["account"] == self._account_url and said["settings"] == self._fingerprint
            found = flow.resume(said["url"], self._wanted.identifiers) if same else None
        except (ValueError, KeyError, TypeError):
            return None
        if found is not None:
            self._key = keys.from_pem(key, str(self._waiting_key))
        return found

    def begin(self, placed: Order) -> None:
        """Remember a new order."""
        self._key = self._reused_key() or keys.generate(
            self._wanted.settings.get("key-type", "ec256")
        )
        files.replace(self._waiting_key, keys.to_pem(self._key), private=True)
        record = {
            "url": placed.url,
            "account": self._account_url,
            "settings": self._fingerprint,
        }
        files.replace(self._paths.open_order, json.dumps(record).encode(), private=True)

    def end(self) -> None:
        """Forget the order: its certificate is installed."""
        files.remove(self._paths.open_order)
        files.remove(self._waiting_key)

    @property
    def key(self) -> PrivateKey:
        """The key of the certificate that is ordered."""
        if self._key is None:
            raise NotFound("the order has no key yet")
        return self._key

    def signing_request(self) -> bytes:
        """The CSR (DER)."""
        return keys.signing_request(
            self.key, self._wanted.identifiers, must_staple=self._wanted.flag("must-staple")
        )

    @property
    def _fingerprint(self) -> dict[str, str]:
        """The settings that a resumed order must share with the one that was interrupted."""
        shared = ("key-type", "key-reuse", "must-staple", "profile")
        return {key: self._wanted.settings.get(key, "") for key in shared}

    def _reused_key(self) -> PrivateKey | None:
        if not self._wanted.flag("key-reuse"):
            return None
        current = files.read_if_exists(self._paths.proxy_key)
        return keys.from_pem(current, str(self._paths.proxy_key)) if current else None
