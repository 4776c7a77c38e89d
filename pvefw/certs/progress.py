"""What is ordered, and how far an order has come; both outlive a crash."""

import json
from dataclasses import dataclass
from pathlib import Path

from pvefw.acme.client import Order
from pvefw.acme.order import OrderFlow
from pvefw.certs import keys
from pvefw.certs.certificate import Certificate
from pvefw.certs.keys import PrivateKey
from pvefw.certs.revocation import Revoked
from pvefw.core.errors import CertificateError, NotFound
from pvefw.core.model import Identifier
from pvefw.store import files
from pvefw.store.domains import DomainEntry
from pvefw.store.paths import ORDERED, CertificateFiles


@dataclass(frozen=True)
class Wanted:
    """What to order."""

    certificate: Certificate
    entries: list[DomainEntry]
    account: str

    @property
    def identifiers(self) -> list[Identifier]:
        return [entry.identifier for entry in self.entries]


class Progress:
    """How far an order has come: its URL, and the key that its certificate will belong to.

    Both outlive a crash, so that an order is resumed where the server still knows it; the key waits in
    the directory where it will be used.
    """

    def __init__(self, wanted: Wanted, account_url: str) -> None:
        self._files = wanted.certificate.files
        self._settings = wanted.certificate.settings
        self._wanted = wanted
        self._account_url = account_url
        self._revoked = Revoked.load(wanted.certificate.paths)
        self.url = ""
        """The order's, once there is one."""
        self._key: PrivateKey | None = None

    @property
    def _waiting_key(self) -> Path:
        return _waiting_key(self._files)

    def resumed(self, flow: OrderFlow) -> Order | None:
        """The order that was interrupted, if it was for the same and can go on.

        Whose key was revoked since cannot.
        """
        record = files.read_if_exists(self._files.order)
        key = files.read_if_exists(self._waiting_key)
        if record is None or key is None:
            return None
        try:
            state = files.parse_json(record)
            same = state["account"] == self._account_url and state["settings"] == self._fingerprint
            url, waiting = str(state["url"]), keys.from_pem(key, str(self._waiting_key))
        except (*files.DAMAGED, CertificateError):
            return None  # nobody knows any more what it was: a new one is ordered
        order = flow.resume(url, self._wanted.identifiers) if same else None
        if order is None or self._revoked.has_key(waiting):
            return None
        self._key, self.url = waiting, order.url
        return order

    def begin(self, placed: Order) -> None:
        """Remember a new order."""
        self.url = placed.url
        wanted = self._settings.get("key-type", keys.DEFAULT_TYPE)
        self._key = self._reused_key() or keys.generate(wanted)
        files.replace(self._waiting_key, keys.to_pem(self._key), private=True)
        record = {"url": placed.url, "account": self._account_url, "settings": self._fingerprint}
        files.replace(self._files.order, json.dumps(record).encode(), private=True)

    def end(self) -> None:
        """Forget the order: its certificate is installed, or of no use."""
        forget_order(self._files)

    @property
    def key(self) -> PrivateKey:
        """The key of the certificate that is ordered."""
        if self._key is None:
            raise NotFound("the order has no key yet")
        return self._key

    def signing_request(self) -> bytes:
        """The CSR (DER)."""
        return keys.signing_request(
            self.key, self._wanted.identifiers, must_staple=self._settings.is_on("must-staple")
        )

    @property
    def _fingerprint(self) -> dict[str, str]:
        """The settings that a resumed order must share with the one that was interrupted."""
        shared = ("key-type", "key-reuse", "must-staple", "profile")
        return {key: self._settings.get(key, "") for key in shared}

    def _reused_key(self) -> PrivateKey | None:
        """The key that is there, where it is to be kept and may be, and is of the type asked for."""
        current = (
            files.read_if_exists(self._files.key) if self._settings.is_on("key-reuse") else None
        )
        if not current:
            return None
        kept = keys.from_pem(current, str(self._files.key))
        wanted = self._settings.get("key-type", "")
        fits = wanted in ("", keys.type_of(kept.public_key()))
        return kept if fits and not self._revoked.has_key(kept) else None


def forget_order(of: CertificateFiles) -> None:
    """Forget the order that was interrupted: another certificate is in place of what it was for.

    :raises StoreError: its record cannot be removed.
    """
    files.remove(of.order)
    files.remove(_waiting_key(of))


def _waiting_key(of: CertificateFiles) -> Path:
    return of.key.with_name(f"{of.key.name}{ORDERED}")
