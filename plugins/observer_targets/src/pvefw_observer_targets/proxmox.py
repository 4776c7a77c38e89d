"""Proxmox Backup Server and Mail Gateway take a certificate through their API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import requests
from requests.adapters import HTTPAdapter

from pvefw.api import (
    CertificateEvent,
    CredentialsRejected,
    ProviderError,
    Task,
    Unavailable,
    cause_of,
    hookimpl,
    read_answer,
    setting,
)
from pvefw_observer_targets.forms import contents

__all__ = ["BackupServer", "MailGateway"]

_SECONDS = 60.0
_REFUSED = (401, 403)
_ERROR, _SERVER_ERROR = 400, 500
_SAID = 300
_LARGEST = 1 << 20
"""Bytes of an answer."""


class _Pinned(HTTPAdapter):
    """Trusts the one certificate with this fingerprint."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options, assert_fingerprint=self._fingerprint)


class _Server:
    """A server with Proxmox's API, and where it takes a certificate."""

    title: ClassVar[str] = ""
    host: str
    port: int
    node: str
    fingerprint: str | None
    ca_file: Path | None

    @hookimpl
    def certificate_plan(self, event: CertificateEvent) -> Sequence[str]:
        """Where it would be sent; the server is not asked."""
        return [f"send {event.name} to {self.title}: POST {self._url(self._place())}"]

    @hookimpl
    def on_certificate(self, event: CertificateEvent, task: Task) -> None:
        """Send it, and see that the server has it now."""
        known = contents(event)
        form = {
            "certificates": known["fullchain"].decode(),
            "key": known["key"].decode(),
            "force": "1",
            "restart": "1",
        }
        with requests.Session() as session:
            session.trust_env = False
            self._log_in(session)
            answer = self._post(session, self._place(), form)
        infos = answer if isinstance(answer, list) else [answer]
        shown = [str(info.get("fingerprint", "")) for info in infos if isinstance(info, Mapping)]
        if not any(fingerprint.upper() == event.fingerprint.upper() for fingerprint in shown):
            raise ProviderError(f"{self.host} took the certificate, and names another one")
        task.log(f"{self.host} has the certificate {event.name}")

    def _place(self) -> str:
        raise NotImplementedError

    def _log_in(self, session: requests.Session) -> None:
        """Let every request of the session say who we are."""
        raise NotImplementedError

    def _url(self, path: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}/api2/json{path}"

    def _post(self, session: requests.Session, path: str, form: Mapping[str, str]) -> Any:
        """The answer's data.

        :raises ProviderError: it cannot be asked, or refuses.
        """
        try:
            with self._sent(session, self._url(path), form) as answer:
                if not read_answer(answer, _LARGEST):
                    raise ProviderError(
                        f"{self.host}:{self.port}: the answer is larger than {_LARGEST} bytes"
                    )
        except requests.RequestException as error:
            raise Unavailable(f"{self.host}:{self.port}: {cause_of(error)}") from error
        if answer.status_code < _ERROR:
            try:
                return answer.json()["data"]
            except (ValueError, KeyError, TypeError):
                raise ProviderError(f"{self.host}: its answer is not that of the API") from None
        text = " ".join(f"{answer.reason or ''} {answer.text}"[:_SAID].split())
        words = f"{self.host}: status {answer.status_code}: {text}"
        if answer.status_code in _REFUSED:
            raise CredentialsRejected(words)
        raise (Unavailable if answer.status_code > _SERVER_ERROR else ProviderError)(words)

    def _sent(
        self, session: requests.Session, url: str, form: Mapping[str, str]
    ) -> requests.Response:
        """Nothing is sent to a server that is not trusted: by its CA, else by the fingerprint."""
        options: dict[str, Any] = {"data": form, "timeout": _SECONDS, "allow_redirects": False}
        options["stream"] = True
        trusted = str(self.ca_file) if self.ca_file else True
        try:
            return session.post(url, verify=trusted, **options)
        except requests.exceptions.SSLError:
            if not self.fingerprint:
                raise
            session.mount("https://", _Pinned(self.fingerprint))
            return session.post(url, verify=False, **options)


_HOST_HELP = "The server: a name that its certificate has, or an address."
_NODE_HELP = "The name of the node, as the API has it."
_FINGERPRINT_HELP = "SHA-256 of the certificate that it has now, if no CA can be trusted yet."
_CA_HELP = "Certificates to trust instead of the system's."


@dataclass(kw_only=True)
class BackupServer(_Server):
    """Gives the certificate to a Proxmox Backup Server, which uses it from then on.

    The token needs Sys.Modify on /system/certificates.
    """

    title = "Proxmox Backup Server"

    host: str = setting(help=_HOST_HELP)
    port: int = setting(help="The port of its API.", default=8007)
    token: str = setting(help="The name of the API token, USER@REALM!NAME.")
    secret: str = setting(help="The token's secret.", secret=True)
    node: str = setting(help=_NODE_HELP, default="localhost")
    fingerprint: str | None = setting(help=_FINGERPRINT_HELP, default=None)
    ca_file: Path | None = setting(help=_CA_HELP, default=None)

    def __post_init__(self) -> None:
        if "@" not in self.token or "!" not in self.token:
            raise ValueError("token is not of the form USER@REALM!NAME")

    def _place(self) -> str:
        return f"/nodes/{self.node}/certificates/custom"

    def _log_in(self, session: requests.Session) -> None:
        session.headers["Authorization"] = f"PBSAPIToken={self.token}:{self.secret}"


@dataclass(kw_only=True)
class MailGateway(_Server):
    """Gives the certificate to a Proxmox Mail Gateway, for its web interface or for SMTP.

    It has no API tokens: the user logs in with a password, and must not have a second factor.
    """

    title = "Proxmox Mail Gateway"

    host: str = setting(help=_HOST_HELP)
    port: int = setting(help="The port of its API.", default=8006)
    username: str = setting(help="The user to log in as, USER@REALM.", default="root@pam")
    password: str = setting(help="The password.", secret=True)
    use: str = setting(help="What it is used for.", default="api", choices=("api", "smtp"))
    node: str = setting(help=_NODE_HELP, default="localhost")
    fingerprint: str | None = setting(help=_FINGERPRINT_HELP, default=None)
    ca_file: Path | None = setting(help=_CA_HELP, default=None)

    def _place(self) -> str:
        return f"/nodes/{self.node}/certificates/custom/{self.use}"

    def _log_in(self, session: requests.Session) -> None:
        form = {"username": self.username, "password": self.password}
        ticket = self._post(session, "/access/ticket", form)
        if not ticket.get("CSRFPreventionToken"):
            raise CredentialsRejected(
                f"{self.host}: it requires a second factor for {self.username}"
            )
        session.cookies.set("PMGAuthCookie", ticket["ticket"])
        session.headers["CSRFPreventionToken"] = ticket["CSRFPreventionToken"]
