"""Writes a certificate and its key where a service reads them, in the form that it wants."""

from collections.abc import Sequence
from dataclasses import dataclass

from pvefw.api import CertificateEvent, Task, hookimpl
from pvefw_observer_targets import placing
from pvefw_observer_targets.forms import Forms

__all__ = ["Files"]


@dataclass(kw_only=True)
class Files(Forms):
    """Writes files. Each is complete before it takes its place, and private from its first byte."""

    @hookimpl
    def certificate_plan(self, event: CertificateEvent) -> Sequence[str]:
        """Which files would be written."""
        return placing.plan(self.wanted(event))

    @hookimpl
    def on_certificate(self, event: CertificateEvent, task: Task) -> None:
        """Write the files, all or none."""
        with placing.placed(self.wanted(event), task):
            pass
