"""The way to the API: one keep-alive connection for each thread, a pinned certificate, clear errors."""

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from proxmoxer import ResourceException
from proxmoxer.backends.https import Backend
from proxmoxer.core import ProxmoxResource
from requests.adapters import HTTPAdapter

from pvefw.api import CredentialsRejected, ProviderError, Unavailable, Unsupported
from pvefw_guest_pve.answers import Answers, look_at
from pvefw_guest_pve.trust import Pinned, Trusting, in_plain_words, installed

_SECONDS = 30.0
_AWAY = {502, 503, 504, 595, 596, 597, 598, 599}
"""What pveproxy answers where the node behind it cannot be reached or does not answer."""
_FINGERPRINT = re.compile(r"(?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}")


def in_words(detail: object) -> str:
    """What the API has as an object: what it is about, and what there is to it."""
    match detail:
        case Mapping():
            return "; ".join(
                f"{str(key).replace('_', ' ')}: {in_words(part)}" for key, part in detail.items()
            )
        case list():
            return ", ".join(map(in_words, detail))
    return str(detail).strip()


class NoAnswer(Unavailable):
    """The API itself did not answer: more than one guest is concerned."""


@dataclass
class Connection:
    """Proxmox VE's API for one token; each thread has a connection of its own.

    :raises ValueError: the token or the fingerprint is not in its form.
    """

    host: str
    port: int
    token: str
    """``USER@REALM!NAME``"""
    secret: str = field(repr=False)
    fingerprint: str | None
    """SHA-256, as ``pvefw cert info`` shows it; ``None`` to check against ``ca_file``."""
    ca_file: str | None
    nodes: Path
    """Where the certificates of the cluster's nodes are."""

    def __post_init__(self) -> None:
        if "!" not in self.token or "@" not in self.token:
            raise ValueError("the token is not of the form USER@REALM!NAME")
        if self.fingerprint and not _FINGERPRINT.fullmatch(self.fingerprint):
            raise ValueError("the fingerprint is not 32 bytes in hex with colons between them")
        self._of_thread = threading.local()

    @property
    def api(self) -> Any:
        """The API's root, as proxmoxer has it: ``api.nodes("pve1").qemu.get()``."""
        if not hasattr(self._of_thread, "api"):
            self._of_thread.api = self._connect()
        return self._of_thread.api

    def _connect(self) -> Any:
        user, _, name = self.token.partition("!")
        backend = Backend(
            self.host,
            user=user,
            port=self.port,
            token_name=name,
            token_value=self.secret,
            verify_ssl=False if self.fingerprint else self.ca_file or True,
            timeout=_SECONDS,
        )
        session = backend.get_session()
        session.trust_env = False  # REQUESTS_CA_BUNDLE would win over what is configured
        configured = Pinned(self.fingerprint) if self.fingerprint else HTTPAdapter()
        session.hooks["response"] = [look_at]
        session.mount("https://", Trusting(configured, lambda: installed(self.nodes)))
        return ProxmoxResource(
            base_url=backend.get_base_url(), session=session, serializer=Answers()
        )

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what the libraries raise into what the contract promises."""
        try:
            yield
        except ResourceException as error:
            raise self._refused(error) from error
        except requests.exceptions.SSLError as error:
            raise self._not_trusted(error) from error
        except requests.exceptions.RequestException as error:
            reason = in_plain_words(error, _SECONDS)
            raise NoAnswer(f"{self.host}:{self.port}: {reason}") from error

    def _refused(self, error: ResourceException) -> ProviderError:
        words = " ".join(str(error.content or error.status_message or "").split())
        if error.errors:
            words += f" ({in_words(error.errors)})"
        message = f"{words} ({error.status_code})"
        if error.status_code in (401, 403):
            hint = f"Check the token {self.token}, its secret and its permissions; see the README."
            return CredentialsRejected(message, hint=hint)
        if error.status_code in _AWAY:
            return Unavailable(message)
        if "hostname lookup" in words:
            hint = "The cluster has no node of that name: set node, where this host was renamed."
            return ProviderError(message, hint=hint)
        return (
            Unsupported(message)
            if error.status_code == requests.codes.not_implemented
            else (ProviderError(message))
        )

    def _not_trusted(self, error: requests.exceptions.SSLError) -> ProviderError:
        where, why = f"{self.host}:{self.port}", in_plain_words(error, _SECONDS)
        if self.fingerprint is None:
            return ProviderError(
                f"{where}: its certificate is not trusted: {why}",
                hint="Set ca_file to /etc/pve/pve-root-ca.pem, or fingerprint.",
            )
        match = re.search(r'got "([0-9a-f]{64})"', str(error))
        if match is None:
            return ProviderError(f"{where}: no encrypted connection: {why}")
        shown = ":".join(re.findall("..", match[1].upper()))
        return ProviderError(
            f"{where}: its certificate has another fingerprint: {shown}",
            hint="If it was renewed, set ca_file instead of fingerprint, or fingerprint to the new "
            "one; otherwise somebody may be intercepting the connection.",
        )
