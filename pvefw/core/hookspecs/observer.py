"""The observer family: notified of what happened, never asked.

Observers run only where an instance of them is configured. Each is called alone; whatever it raises
is a warning of the task, and keeps neither another observer nor the work from going on.
"""

from collections.abc import Sequence

from pvefw.core.hookspecs import optional
from pvefw.core.model import (
    BootSyncedEvent,
    CertificateEvent,
    GuestPowerEvent,
    NoticeEvent,
    RenewalFailedEvent,
    RenewalsEvent,
    ServedEvent,
    Task,
    TaskEvent,
)


class ObserverSpec:
    """Implements any number of these; a plugin with none of them is refused.

    ``event`` says what happened, ``task`` writes to the log of the task in which it happened.
    """

    @optional
    def on_certificate(self, event: CertificateEvent, task: Task) -> None:
        """A new certificate is installed; deploy it. Called again by ``cert deploy --retry``.

        Never called twice at once on an instance. It may take 300 seconds. Since 1.0.

        :raises ProviderError: it is not deployed; core keeps it for a retry.
        """

    @optional
    def certificate_plan(self, event: CertificateEvent) -> Sequence[str]:
        """What :meth:`on_certificate` would do with this certificate, a line each; nothing is changed.

        A plugin that has this hook is a target: it puts certificates somewhere, and is called only for
        those whose ``targets`` name it. The settings that name the files it writes are declared with
        ``writes=True``, so that no two targets get the same file; one that has room for several
        certificates has ``{name}`` in them, which stands for the certificate's.

        Never called twice at once on an instance. It may take 300 seconds. Since 1.1.
        """

    @optional
    def on_renewal_failed(self, event: RenewalFailedEvent, task: Task) -> None:
        """A renewal failed; tell somebody.

        Called for the first failure, whenever ``event.urgency`` rises, and while it goes on failing:
        every third day at first, daily when a fifth of the lifetime is left.

        Never called twice at once on an instance. It may take 300 seconds. Since 1.0.
        """

    @optional
    def on_renewal_recovered(self, event: CertificateEvent, task: Task) -> None:
        """A renewal succeeded after :meth:`on_renewal_failed` was called: all is well again.

        Never called twice at once on an instance. It may take 300 seconds. Since 1.0.
        """

    @optional
    def on_served(self, event: ServedEvent, task: Task) -> None:
        """Something else is served than what is installed: tell somebody; or it is over.

        Called once a day at most for each address, and when it is over.

        Never called twice at once on an instance. It may take 300 seconds. Since 1.1.
        """

    @optional
    def on_notice(self, event: NoticeEvent, task: Task) -> None:
        """Something happened that a person should know; tell them.

        Called beside the hooks for what happened, for what is in :data:`~pvefw.api.NOTICES`. Nothing is
        told twice a day, unless it gets worse, and nothing that was acknowledged.

        Never called twice at once on an instance. It may take 300 seconds. Since 1.1.
        """

    @optional
    def on_renewals(self, event: RenewalsEvent) -> None:
        """``pvefw renew`` started, or ended, four times a day, whether or not anything was due.

        Never called twice at once on an instance. It may take 300 seconds. Since 1.1.
        """

    @optional
    def on_boot_synced(self, event: BootSyncedEvent, task: Task) -> None:
        """The ESPs were refreshed.

        Never called twice at once on an instance. It may take 300 seconds. Since 1.0.
        """

    @optional
    def on_guest(self, event: GuestPowerEvent, task: Task) -> None:
        """A bulk action is done with one guest.

        Never called twice at once on an instance. It may take 300 seconds. Since 1.0.
        """

    @optional
    def on_task(self, event: TaskEvent) -> None:
        """A task ended; its log is closed.

        Never called twice at once on an instance. It may take 300 seconds. Since 1.0.
        """
