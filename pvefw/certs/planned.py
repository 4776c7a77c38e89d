"""What is decided for a certificate, and in which words: :mod:`pvefw.certs.renewal_plan` decides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pvefw.certs import renewal_rule
from pvefw.certs.certificate import Certificate
from pvefw.certs.chain import CertificateInfo
from pvefw.certs.renewal_rule import Decision, Record
from pvefw.core.errors import PvefwError
from pvefw.core.model import Task, Urgency


def _nothing(_task: Task) -> None:
    """The work where there is none."""


@dataclass(frozen=True)
class Planned:
    """One certificate, and what is to happen with it."""

    path: Path
    info: CertificateInfo
    record: Record
    decision: Decision | None
    """``None`` where it is not for us to renew."""
    note: str = ""
    """Why not, or what beside the date decides; may be empty."""
    task_type: str = ""
    work: Callable[[Task], object] = _nothing
    doubt: str = ""
    """Why the authority would refuse the order."""
    certificate: Certificate | None = None
    """Which one it is of those that are ordered; ``None`` for those of the cluster's CA."""
    differences: Sequence[str] = ()
    """What is wanted otherwise than it is, a clause each."""
    pinned_by: Sequence[str] = ()
    """Who trusts its fingerprint, and so not its successor."""
    copied: bool = False
    """A partner has it: no order is placed, and no failure of one is a reason to wait."""
    revoked: bool = False
    """Nobody should use it any more."""
    unusable: str = ""
    """Why no service can use it, a clause."""

    @property
    def task_id(self) -> str:
        """What its task has as its id."""
        return self.certificate.task_id if self.certificate else ""

    def line(self, now: datetime) -> str:
        """What is decided and why, and what the renewal breaks, for people."""
        return f"{self._decided(now)}{self._pins()}"

    def _decided(self, now: datetime) -> str:
        names = self.info.san[0] if self.info.san else self.info.subject
        more = f" and {len(self.info.san) - 1} more" if len(self.info.san) > 1 else ""
        head = f"{self.info.filename} ({names}{more}): "
        doubt = f"; {self.doubt}" if self.doubt else ""
        if self.info.not_after <= now:
            head += f"expired since {self.info.not_after:%Y-%m-%d %H:%M} UTC; "
        if self.decision is None:
            unusable = f"; {self.unusable}" if self.unusable else ""
            return f"{head}not renewed: {self.note}{unusable}{doubt}"
        if self.held_back(now):
            until = f"{self.record.next_try:%Y-%m-%d %H:%M}"
            now_ = (
                f"; to try now: {self.certificate.settings.renew_command}"
                if self.certificate
                else ""
            )
            state = f"due, but the last try failed; next at {until} UTC: {self.record.reason}"
            return f"{head}{state}{now_}"
        when = (
            "due"
            if self.decision.due <= now
            else f"not due until {self.decision.due:%Y-%m-%d %H:%M} UTC"
        )
        note = f" ({self.note})" if self.note else ""
        return f"{head}{when}: {self.decision.reason}{note}{doubt}"

    def _pins(self) -> str:
        if not self.pinned_by:
            return ""
        who = ", ".join(self.pinned_by)
        return (
            f"; {who}: its fingerprint is pinned and changes then; configure a CA to trust instead"
        )

    def issue(self, now: datetime) -> str:
        """What needs attention, in words that stay the same as long as it does; empty for nothing."""
        urgency = renewal_rule.urgency(self.info, now)
        facts = [
            *([urgency.value] if urgency is not Urgency.NOTICE else []),
            *(["its renewal fails"] if self.record.failures and not self.is_early(now) else []),
            *([self.doubt] if self.doubt else []),
            *self.differences,
            *([self.unusable] if self.unusable else []),
            *(["revoked"] if self.revoked else []),
            *(f"pinned by {pin}" for pin in self.pinned_by),
        ]
        return f"{self.info.filename}: {', '.join(facts)}" if facts else ""

    def due(self, now: datetime) -> bool:
        """Whether to renew it now."""
        return bool(self.decision and self.decision.due <= now and not self.held_back(now))

    def is_early(self, now: datetime) -> bool:
        """Whether it is not due; what failed before was at a clock that was wrong."""
        return self.decision is not None and self.decision.due > now

    def held_back(self, now: datetime) -> bool:
        """Whether a failure is too recent to try again."""
        due = self.decision is not None and self.decision.due <= now and not self.copied
        return due and self.record.held_back(now)


@dataclass(frozen=True)
class Missing:
    """A certificate that is wanted and is not there: the first order is not ours to place."""

    certificate: Certificate
    removed: bool = False
    """It was there, and nothing takes its place: services go on using what they have loaded."""

    def line(self, _now: datetime) -> str:
        """That, for people."""
        settings = self.certificate.settings
        name = self.certificate.files.certificate.name
        state = "not ordered yet"
        if self.removed:
            state = "revoked or removed, and services may go on using it until it is replaced"
        return f"{name} ({settings.names()[0].name}): {state}: {settings.order_command}"

    def issue(self) -> str:
        """What needs attention, in words that stay the same as long as it does; empty for nothing."""
        name = self.certificate.files.certificate.name
        return f"{name}: revoked or removed, and not replaced" if self.removed else ""


@dataclass(frozen=True)
class Undecided:
    """A certificate of which nothing can be decided; the others get their turn."""

    file: Path
    error: PvefwError

    def line(self, _now: datetime) -> str:
        """Why, for people."""
        return f"{self.file.name}: not renewed: {self.error.message}"
