"""HAProxy takes a certificate through its socket, and no connection notices."""

import hashlib
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pvefw.api import (
    CertificateEvent,
    CredentialsRejected,
    ProviderError,
    Task,
    Unavailable,
    hookimpl,
    setting,
)
from pvefw_observer_targets import placing
from pvefw_observer_targets.forms import Wanted, contents
from pvefw_observer_targets.services import is_stopped

__all__ = ["HAProxy"]

_PATH = re.compile(r"/[\w./{}@+:-]+")
_SECONDS = 30.0
_CHUNK = 1 << 16
_FINGERPRINT = re.compile(r"^SHA1 FingerPrint: ([0-9A-F]{40})$", re.MULTILINE)


@dataclass(kw_only=True)
class HAProxy:
    """Writes the file of HAProxy's ``crt`` for its next start, and gives the running one the same.

    The socket is that of ``stats socket PATH level admin`` in its section ``global``.
    """

    pem: str = setting(
        help="Where to write certificate, chain and key; {name} is the certificate's.",
        default="/etc/haproxy/ssl/{name}.pem",
        writes=True,
    )
    socket: Path = setting(
        help="The socket of its runtime API, level admin.", default=Path("/run/haproxy/admin.sock")
    )

    def __post_init__(self) -> None:
        if not _PATH.fullmatch(self.pem):
            raise ValueError(f"'{self.pem}' is not an absolute path of plain characters")

    @hookimpl
    def certificate_plan(self, event: CertificateEvent) -> Sequence[str]:
        """The file that would be written, and the commands for the socket."""
        wanted = self._wanted(event)
        commands = f"set ssl cert {wanted.path}, commit ssl cert {wanted.path}"
        return [*placing.plan([wanted]), f"tell {self.socket}: {commands}"]

    @hookimpl
    def on_certificate(self, event: CertificateEvent, task: Task) -> None:
        """Write the file, exchange the certificate of the running HAProxy, and see that it has it.

        A file that HAProxy does not use yet stays: its configuration can name it now.
        """
        wanted = self._wanted(event)
        used = self._is_used(wanted.path, task)
        with placing.placed([wanted], task):
            if used:
                self._exchange(wanted)
                task.log(f"HAProxy uses the new {wanted.path}")
        if used is False:
            raise ProviderError(
                f"HAProxy does not use {wanted.path}",
                hint=f"Add it to a bind line of its configuration: ssl crt {wanted.path}, and: "
                "systemctl reload haproxy",
            )

    def _wanted(self, event: CertificateEvent) -> Wanted:
        path = Path(self.pem.replace("{name}", event.name))
        return Wanted.of("combined", path, contents(event)["combined"])

    def _is_used(self, path: Path, task: Task) -> bool | None:
        """Whether the running HAProxy has a file loaded; ``None`` where none runs."""
        try:
            known = self._ask("show ssl cert")
        except OSError as error:
            if is_stopped("haproxy"):
                task.log("haproxy is stopped; it reads the certificate when it starts")
                return None
            raise Unavailable(
                f"{self.socket}: {error.strerror or error}", hint=self._hint()
            ) from error
        return str(path) in known.split()

    def _exchange(self, wanted: Wanted) -> None:
        pem = "\n".join(line for line in wanted.data.decode().splitlines() if line.strip())
        for command, good in (
            (f"set ssl cert {wanted.path} <<\n{pem}\n", "Transaction"),
            (f"commit ssl cert {wanted.path}", "Success"),
        ):
            reply = self._ask(command)
            if "Permission denied" in reply:
                raise CredentialsRejected(f"{self.socket}: Permission denied", hint=self._hint())
            if good not in reply:
                self._ask(f"abort ssl cert {wanted.path}")
                raise ProviderError(f"HAProxy refuses the certificate: {' '.join(reply.split())}")
        served = _FINGERPRINT.search(self._ask(f"show ssl cert {wanted.path}"))
        if served is None or served[1] != _fingerprint(pem):
            raise ProviderError("HAProxy says that it took the certificate, and shows another one")

    def _hint(self) -> str:
        return f"HAProxy's section global needs: stats socket {self.socket} level admin"

    def _ask(self, command: str) -> str:
        """One command of HAProxy's management guide, and the answer.

        :raises OSError: nobody answers.
        """
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_SECONDS)
            connection.connect(str(self.socket))
            connection.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: connection.recv(_CHUNK), b"")).decode(errors="replace")


def _fingerprint(pem: str) -> str:
    """The SHA-1 of the first certificate, as HAProxy shows it."""
    leaf = pem[: pem.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)]
    der = ssl.PEM_cert_to_DER_cert(leaf)
    return hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()
