"""The guest-power family: virtual machines and containers of one hypervisor."""

from collections.abc import Iterator, Mapping, Sequence

from pvefw.core.hookspecs import optional, required
from pvefw.core.model import Guest, GuestEvent, MigrateOptions, MigrateTarget, Task


class GuestSpec:
    """Starts, stops and moves guests. Core decides which, in what order, and how many at once.

    Unlike the hooks of other families, these are called from several threads at once, for different
    guests. Core calls them in worker threads that it keeps: a backend may hold a connection per thread.
    Core waits a few seconds longer than a hook's time-out, and then goes on without it.

    Where a hook raises :class:`~pvefw.api.Unavailable` or :class:`~pvefw.api.RateLimited` before
    its time is over (the daemon restarts, say), core calls it again with the time that is left.
    """

    @required
    def guest_list(self) -> Sequence[Guest]:
        """All guests of this node, with their state now.

        May be called while other hooks run, from another thread. Since 1.0.

        :raises NothingRuns: it cannot be asked because it does not run, and certainly none of its guests
            does: ``shutdown-guests`` has nothing to do there. Since 1.1.
        :raises ProviderError: when the hypervisor cannot be asked.
        """

    @required
    def guest_start(self, guest: Guest, timeout: float, task: Task) -> None:
        """Start a guest; return once it runs. A running guest is not an error.

        Called from several threads at once, for different guests. Since 1.0.

        :param guest: from :meth:`guest_list`.
        :param timeout: seconds until the attempt counts as failed.
        :param task: for messages and cancellation.
        :raises ProviderError: when it does not run; the hypervisor's own words.
        """

    @required
    def guest_shutdown(self, guest: Guest, timeout: float, task: Task) -> None:
        """Ask a guest to shut down; return once it has stopped. A stopped guest is not an error.

        It is never force-stopped: that is core's decision and :meth:`guest_stop`.

        Called from several threads at once, for different guests. Since 1.0.

        :param timeout: seconds to wait for it.
        :raises Unavailable: it is still running after ``timeout``.
        :raises ProviderError: it could not be asked.
        """

    @required
    def guest_stop(self, guest: Guest, timeout: float, task: Task) -> None:
        """Force-stop a guest, as by pulling the plug; return once it has stopped.

        Called from several threads at once, for different guests. Since 1.0.

        :raises ProviderError: it still runs after ``timeout`` seconds, or cannot be stopped.
        """

    @required
    def guest_migrate(self, guest: Guest, target: str, options: MigrateOptions, task: Task) -> None:
        """Move a guest to another node; return once it is there, running if it was.

        Called from several threads at once, for different guests. Since 1.0.

        :param target: the node's name.
        :param options: whether its disks move with it, and whether it runs meanwhile.
        :raises Unsupported: this backend, or this guest, cannot move.
        :raises ProviderError: it did not move, and goes on where it was.
        """

    @optional
    def guest_suspend(self, guest: Guest, to_disk: bool, timeout: float, task: Task) -> None:
        """Suspend a guest that runs; return once it is. Since 1.1.

        To memory, it is then paused; to disk, stopped with ``Guest.saved`` set. A guest
        that is so already is not an error. Core calls it only where the backend has it.

        Called from several threads at once, for different guests.

        :param to_disk: whether its memory is written to disk.
        :param timeout: seconds until the attempt counts as failed; the guest then runs on.
        :raises Unsupported: this guest cannot be suspended in this way.
        :raises ProviderError: it runs on, or has stopped; the hypervisor's own words.
        """

    @optional
    def guest_resume(self, guest: Guest, timeout: float, task: Task) -> None:
        """Let a suspended guest continue, from memory or disk; return once it runs. Since 1.1.

        A guest that runs is not an error. Core calls it only where the backend has it.

        Called from several threads at once, for different guests.

        :param timeout: seconds until the attempt counts as failed.
        :raises ProviderError: it does not run, or was not suspended; the hypervisor's own words.
        """

    @optional
    def guest_target(self, target: str) -> MigrateTarget | None:
        """What is known of a node before guests are sent there.

        May be called while other hooks run, from another thread. Since 1.0.

        :raises ProviderError: it cannot be reached.
        """

    @optional
    def guest_migrate_check(
        self, guest: Guest, target: str, options: MigrateOptions
    ) -> Sequence[str] | None:
        """Why this guest cannot move to this node: one sentence each, none where it can.

        Called from several threads at once, for different guests. Since 1.0.

        :raises ProviderError: it cannot be found out.
        """

    @optional
    def guest_elsewhere(self, node: str) -> Sequence[Guest] | None:
        """The guests of another node, with their state now: one of ours may be ``after`` one of them.

        Asked only where this node does not have what a guest is after. Nothing is changed there: a guest
        without a number may be left out. May be called while other hooks run. Since 1.1.

        :param node: its name.
        :raises ProviderError: it cannot be asked.
        """

    @optional
    def guest_ready(self, guest: Guest, timeout: float, task: Task) -> bool | None:
        """Wait until the agent inside a running guest answers. Asked for where ``ready`` is ``agent``.

        Called from several threads at once, for different guests. Since 1.0.

        :param timeout: seconds to wait for it.
        :returns: whether it answers; ``None`` where that cannot be known: the guest has no agent.
        :raises ProviderError: it cannot be asked; core then waits for the guest's ``up``.
        """

    @optional
    def guest_set(self, guest: Guest, values: Mapping[str, str]) -> None:
        """Keep what :class:`~pvefw.core.model.Guest` says of a guest, with the guest, all or nothing.

        Called from several threads at once, for different guests. Since 1.0.

        :param values: checked by core: ``vmid``, ``onboot`` (``0``, ``1``), ``order``, ``up``, ``down``,
            ``ready``, ``after`` (VMIDs, comma-separated); an empty text removes the setting.
        :raises Unsupported: this backend cannot keep one of them.
        :raises ProviderError: it was not kept.
        """

    @optional
    def guest_watch(self, timeout: float) -> Iterator[GuestEvent] | None:
        """Changes of state as they happen, for at most ``timeout`` seconds; core polls without it.

        May be called while other hooks run, from another thread. Since 1.0.

        :raises ProviderError: the connection broke; core polls, then watches again.
        """
