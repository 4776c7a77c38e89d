"""The observer family: told of what happened, never asked.

Observers run only where an instance of them is configured. Each is called alone; whatever it raises
is a warning of the task, and keeps neither another observer nor the work from going on.
"""

from pvefw.core.hookspecs import optional
from pvefw.core.model import (
    BootSyncedEvent,
    CertificateEvent,
    GuestPowerEvent,
    RenewalFailedEvent,
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
    def on_renewal_failed(self, event: RenewalFailedEvent, task: Task) -> None:
        """A renewal failed; tell somebody.

        Called for the first failure, whenever ``event.urgency`` rises, and while it goes on failing:
        every third day at first, daily when a fifth of the lifetime is left, then four times a day.

        Never called twice at once on an instance. It may take 300 seconds. Since 1.0.
        """

    @optional
    def on_renewal_recovered(self, event: CertificateEvent, task: Task) -> None:
        """A renewal succeeded after :meth:`on_renewal_failed` was called: all is well again.

        Never called twice at once on an instance. It may take 300 seconds. Since 1.0.
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
