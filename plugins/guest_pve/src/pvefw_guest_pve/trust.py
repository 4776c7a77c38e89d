"""Which certificates of the API are trusted, and what a failed connection means in plain words."""

import hashlib
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

_OWN = ("*/pveproxy-ssl.pem", "*/pve-ssl.pem")
"""The certificates that a cluster's nodes serve the API with, below ``/etc/pve/nodes``."""


def fingerprint(certificate: bytes) -> str:
    """The SHA-256 of a certificate in DER, as ``pvefw cert info`` shows it."""
    digest = hashlib.sha256(certificate).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def installed(nodes: Path) -> list[str]:
    """The fingerprints of the certificates that are installed on the cluster's nodes at the moment.

    :param nodes: the directory with one folder for each; where it is missing there are none.
    """
    fingerprints = []
    for path in sorted(path for pattern in _OWN for path in nodes.glob(pattern)):
        try:
            text = path.read_text(encoding="ascii", errors="replace")
            leaf = text[: text.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)]
            fingerprints.append(
                fingerprint(ssl.PEM_cert_to_DER_cert(leaf[leaf.index(ssl.PEM_HEADER) :]))
            )
        except (OSError, ValueError):  # being replaced just now, or not ours to read
            continue
    return list(dict.fromkeys(fingerprints))


class Pinned(HTTPAdapter):
    """Trusts the one certificate with this fingerprint, no matter who signed it."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """As the library's, with the fingerprint."""
        super().init_poolmanager(*arguments, **options, assert_fingerprint=self._fingerprint)


class Trusting(HTTPAdapter):
    """Trusts what is configured, else the certificates that are installed at the moment.

    Those are renewed without anybody touching a configuration: a pin from before, or a CA that did not
    sign the new one, must not cut us off from our own node. The files are root's.
    """

    def __init__(self, configured: HTTPAdapter, own: Callable[[], Sequence[str]]) -> None:
        super().__init__()
        self._adapter = configured
        self._own = own

    def send(
        self, request: requests.PreparedRequest, *arguments: Any, **options: Any
    ) -> requests.Response:
        """As the library's. Nothing has been sent where the certificate is not trusted."""
        try:
            return self._adapter.send(request, *arguments, **options)
        except requests.exceptions.SSLError:
            for pin in self._own():
                adapter = Pinned(pin)
                try:
                    response = adapter.send(request, *arguments, **{**options, "verify": False})
                except requests.exceptions.SSLError:
                    continue
                self._adapter = _Unverified(adapter)
                return response
            raise

    def close(self) -> None:
        """Close the connections."""
        self._adapter.close()


class _Unverified(HTTPAdapter):
    """Checks nothing but the fingerprint, whatever the session says."""

    def __init__(self, pinned: Pinned) -> None:
        super().__init__()
        self._pinned = pinned

    def send(
        self, request: requests.PreparedRequest, *arguments: Any, **options: Any
    ) -> requests.Response:
        return self._pinned.send(request, *arguments, **{**options, "verify": False})

    def close(self) -> None:
        self._pinned.close()


# --- in plain words -------------------------------------------------------------------------------


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it, also where a library only hands it on as an argument."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            reason = getattr(cause, "reason", None)
            waiting += [*cause.args, reason, cause.__cause__, cause.__context__]


def in_plain_words(error: requests.exceptions.RequestException, seconds: float) -> str:
    """Why there was no answer, without the names of libraries.

    :param seconds: the limit for one request.
    """
    if isinstance(error, requests.exceptions.Timeout):
        return f"no answer within {seconds:g} seconds"
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return str(cause.verify_message)
        if isinstance(cause, ssl.SSLError):
            return str(cause.reason or "the TLS handshake failed").replace("_", " ").lower()
        if isinstance(cause, TimeoutError):
            return f"no answer within {seconds:g} seconds"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return "the connection was closed before an answer came"
