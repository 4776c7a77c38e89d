"""Deploys new certificates to HAProxy, for pvefw."""

from dataclasses import dataclass
from pathlib import Path

from pvefw.api import ProviderError, hookimpl, replace_file, run, setting

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
            content = event.certificate.read_bytes() + event.key.read_bytes()
            replace_file(self.target, content, mode=0o600)  # a key is in it
        except OSError as error:
            raise ProviderError(f"{self.target}: {error.strerror}") from error
        run(self.reload, timeout=_SECONDS)  # what it raises says what the program said
        task.log(f"HAProxy has the certificate for {', '.join(event.names)}")
