"""The way to the API: one keep-alive connection for each thread, a pinned certificate, clear errors."""

import contextlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import requests
from proxmoxer import ResourceException
from proxmoxer.backends.https import Backend
from proxmoxer.core import ProxmoxResource
from requests.adapters import HTTPAdapter

from pvefw.api import CredentialsRejected, ProviderError, Unavailable, Unsupported

_SECONDS = 30.0
_AWAY = {502, 503, 504, 595, 596, 597, 598, 599}
"""What pveproxy answers where the node behind it cannot be reached or does not answer."""
_FINGERPRINT = re.compile(r"(?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}")


class _Pinned(HTTPAdapter):
    """Trusts the one certificate with this fingerprint, whoever signed it."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """As the library's, with the fingerprint."""
        super().init_poolmanager(*arguments, **options, assert_fingerprint=self._fingerprint)


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
        if self.fingerprint:
            session.mount("https://", _Pinned(self.fingerprint))
        return ProxmoxResource(
            base_url=backend.get_base_url(), session=session, serializer=backend.get_serializer()
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
            raise Unavailable(f"{self.host}:{self.port}: {error}") from error

    def _refused(self, error: ResourceException) -> ProviderError:
        said = " ".join(str(error.content or error.status_message or "").split())
        if error.errors:
            said += f" ({error.errors})"
        message = f"{said} ({error.status_code})"
        if error.status_code in (401, 403):
            hint = f"Check the token {self.token}, its secret and its permissions; see the README."
            return CredentialsRejected(message, hint=hint)
        if error.status_code in _AWAY:
            return Unavailable(message)
        return (
            Unsupported(message)
            if error.status_code == requests.codes.not_implemented
            else (ProviderError(message))
        )

    def _not_trusted(self, error: requests.exceptions.SSLError) -> ProviderError:
        if self.fingerprint is None:
            return ProviderError(
                f"{self.host}:{self.port}: its certificate is not trusted: {error}",
                hint="Set fingerprint, or ca_file to /etc/pve/pve-root-ca.pem.",
            )
        found = re.search(r'got "([0-9a-f]{64})"', str(error))
        shown = ":".join(re.findall("..", found[1].upper())) if found else str(error)
        return ProviderError(
            f"{self.host}:{self.port}: its certificate has another fingerprint: {shown}",
            hint="If it was renewed, set fingerprint to the new one; else somebody is in between.",
        )
