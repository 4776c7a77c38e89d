"""Services of this host that read a certificate and its key as files.

All of them are one kind: the files take their places, the service's own check reads them, and then it
loads them. What it refuses is taken back, so that its next start finds what it had before.
"""

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pvefw.api import CertificateEvent, ProviderError, Task, hookimpl, run, setting
from pvefw_observer_targets import placing, shell
from pvefw_observer_targets.forms import Wanted, contents

__all__ = ["Apache", "Cockpit", "LibvirtTls", "Nginx", "is_stopped"]

_CERTIFICATE_HELP = "Where to write the certificate with its chain; {name} is the certificate's."
_KEY_HELP = "Where to write the private key; {name} is the certificate's."
_RELOAD_HELP = "The command line of sh(1) that makes it load them."
_CONFIG_HELP = "The configuration to check, if it is not the usual one."
_SECONDS = 90.0


def is_stopped(unit: str) -> bool:
    """Whether a unit of this host does not run, on purpose: it reads its files when it starts.

    One that failed, or that does not exist, is not.
    """
    if shutil.which("systemctl") is None:
        return False
    asked = ["systemctl", "show", "--property=LoadState,ActiveState", unit]
    output = run(asked, check=False).stdout
    return set(output.split()) == {"LoadState=loaded", "ActiveState=inactive"}


class Service:
    """What they have in common; each says where its files are, and how it is checked and reloaded."""

    unit: ClassVar[str] = ""
    """Its unit of systemd."""
    certificate: str
    key: str
    reload: str

    def __post_init__(self) -> None:
        for path in (self.certificate, self.key):
            if not Path(path).is_absolute():
                raise ValueError(f"{path} is not an absolute path")
        shell.check("reload", self.reload)

    def check(self) -> Sequence[str]:
        """The program that reads the configuration and the files; empty where there is none."""
        return ()

    def checked(self, path: Path, output: str) -> None:
        """Look at what the check said although it was content.

        :param path: the certificate.
        :raises ProviderError: the service would not use the files.
        """

    @hookimpl
    def certificate_plan(self, event: CertificateEvent) -> Sequence[str]:
        """Which files would be written, what checks them, and what is run then."""
        check = [f"check with {shlex.join(self.check())}"] if self.check() else []
        return [*placing.plan(self._wanted(event)), *check, f"run {self.reload}"]

    @hookimpl
    def on_certificate(self, event: CertificateEvent, task: Task) -> None:
        """Write the files, let the service check them, and reload it."""
        with placing.placed(self._wanted(event), task):
            self._check(self._path(self.certificate, event))
            self._load(task)

    def _wanted(self, event: CertificateEvent) -> list[Wanted]:
        known = contents(event)
        return [
            Wanted.of("key", self._path(self.key, event), known["key"]),
            Wanted.of("fullchain", self._path(self.certificate, event), known["fullchain"]),
        ]

    @staticmethod
    def _path(text: str, event: CertificateEvent) -> Path:
        return Path(text.replace("{name}", event.name))

    def _check(self, certificate: Path) -> None:
        if not self.check():
            return
        done = run(self.check(), timeout=_SECONDS, check=False)
        if done.returncode != 0:
            raise ProviderError(
                f"{self.unit} refuses its configuration with the new files: {done.last_words}",
                hint=f"The old files are back. See: {shlex.join(self.check())}",
            )
        self.checked(certificate, f"{done.stdout}{done.stderr}")

    def _load(self, task: Task) -> None:
        task.log(f"Running {self.reload}")
        done = run(["/bin/sh", "-c", self.reload], timeout=_SECONDS, check=False)
        if done.returncode == 0:
            return
        if not is_stopped(self.unit):
            raise ProviderError(
                f"{self.unit} does not load the new files: {done.last_words}",
                hint=f"The old files are back. Try it: {self.reload}",
            )
        task.log(f"{self.unit} is stopped; it reads the certificate when it starts")


@dataclass(kw_only=True)
class Nginx(Service):
    """Writes the files of nginx's ssl_certificate and ssl_certificate_key, and reloads it."""

    unit = "nginx"

    certificate: str = setting(
        help=_CERTIFICATE_HELP, default="/etc/nginx/ssl/{name}.pem", writes=True
    )
    key: str = setting(help=_KEY_HELP, default="/etc/nginx/ssl/{name}.key", writes=True)
    config: Path | None = setting(help=_CONFIG_HELP, default=None)
    reload: str = setting(help=_RELOAD_HELP, default="systemctl reload nginx")

    def check(self) -> Sequence[str]:
        """nginx(8)."""
        return ["nginx", "-t", "-q", *(["-c", str(self.config)] if self.config else [])]


@dataclass(kw_only=True)
class Apache(Service):
    """Writes the files of Apache's SSLCertificateFile and SSLCertificateKeyFile, and reloads it."""

    unit = "apache2"

    certificate: str = setting(
        help=_CERTIFICATE_HELP, default="/etc/apache2/ssl/{name}.pem", writes=True
    )
    key: str = setting(help=_KEY_HELP, default="/etc/apache2/ssl/{name}.key", writes=True)
    config: Path | None = setting(help=_CONFIG_HELP, default=None)
    reload: str = setting(help=_RELOAD_HELP, default="systemctl reload apache2")

    def check(self) -> Sequence[str]:
        """apachectl(8)."""
        return ["apachectl", "-t", *(["-f", str(self.config)] if self.config else [])]


@dataclass(kw_only=True)
class Cockpit(Service):
    """Writes the files of Cockpit's ws-certs.d, sees that Cockpit chooses them, and restarts it.

    Of all certificates there, Cockpit uses the last one by name.
    """

    unit = "cockpit"

    certificate: str = setting(
        help=_CERTIFICATE_HELP, default="/etc/cockpit/ws-certs.d/{name}.cert", writes=True
    )
    key: str = setting(
        help="Where to write the private key: the same path with .key at its end.",
        default="/etc/cockpit/ws-certs.d/{name}.key",
        writes=True,
    )
    helper: Path = setting(
        help="Cockpit's own program that finds the certificate to use.",
        default=Path("/usr/lib/cockpit/cockpit-certificate-ensure"),
    )
    reload: str = setting(help=_RELOAD_HELP, default="systemctl try-restart cockpit")

    def check(self) -> Sequence[str]:
        """The program that Cockpit's unit starts first."""
        return [str(self.helper), "--check"]

    def checked(self, path: Path, output: str) -> None:
        """It says which one it would use."""
        if str(path) not in output:
            raise ProviderError(
                f"Cockpit would not use {path}: {' '.join(output.split())}",
                hint="It uses the last one by name: set certificate and key, or remove the other one.",
            )


@dataclass(kw_only=True)
class LibvirtTls(Service):
    """Writes the files of libvirt's TLS socket, and lets the daemon load them: no connection is lost.

    The daemon refuses a certificate that is not of its own CA (``/etc/pki/CA/cacert.pem``), and whom it
    trusts as clients depends on that, too. For one of a public CA: ``tls_no_sanity_certificate = 1`` in
    ``libvirtd.conf``, and ``reload=systemctl restart libvirtd``, which no guest notices.
    """

    unit = "libvirtd"

    certificate: str = setting(
        help=_CERTIFICATE_HELP, default="/etc/pki/libvirt/servercert.pem", writes=True
    )
    key: str = setting(
        help=_KEY_HELP, default="/etc/pki/libvirt/private/serverkey.pem", writes=True
    )
    reload: str = setting(
        help=_RELOAD_HELP, default="virt-admin -c libvirtd:///system server-update-tls libvirtd"
    )
