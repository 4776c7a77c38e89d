"""Deploys new certificates to HAProxy, for pvefw."""

import os
from dataclasses import dataclass
from pathlib import Path

from pvefw.api import ProviderError, hookimpl, run, setting

_SECONDS = 60


@dataclass
class Haproxy:
    """Deploys new certificates to HAProxy."""

    target: Path = setting(help="The file of HAProxy's 'crt': certificate chain, then key.")
    reload: list[str] = setting(
        help="What lets HAProxy read it: a program and its arguments, with commas between them.",
        default=["systemctl", "reload", "haproxy"],
    )

    @hookimpl
    def on_certificate(self, event, task):
        try:
            self._replace(event.certificate.read_bytes() + event.key.read_bytes())
        except OSError as error:
            raise ProviderError(f"{self.target}: {error.strerror}") from error
        run(self.reload, timeout=_SECONDS)  # what it raises says what the program said
        task.log(f"HAProxy has the certificate for {', '.join(event.names)}")

    def _replace(self, content):
        """Replace the file: HAProxy sees the old one or the new one, and nobody else sees the key."""
        new = self.target.with_name(f".{self.target.name}.new")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fsync(file.fileno())
        new.replace(self.target)
