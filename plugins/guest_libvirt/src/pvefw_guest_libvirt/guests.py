"""Guests of one libvirt daemon, started and stopped; what they are doing comes as events."""

import contextlib
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import libvirt
import libvirt_qemu

from pvefw.api import (
    Guest,
    GuestEvent,
    GuestState,
    MigrateOptions,
    MigrateTarget,
    ProviderError,
    Task,
    Unavailable,
    Unsupported,
    hookimpl,
    setting,
)
from pvefw_guest_libvirt import domains, suspending
from pvefw_guest_libvirt.connections import Gone, Pool, explained
from pvefw_guest_libvirt.events import Events, Watch
from pvefw_guest_libvirt.files import Places
from pvefw_guest_libvirt.metadata import Definition, keep
from pvefw_guest_libvirt.migration import Migration
from pvefw_guest_libvirt.obstacles import Obstacles

__all__ = ["Libvirt"]

_ASK_AGAIN = {"vm": 10.0, "container": 2.0}
"""Seconds until a guest is asked again to shut down: one that was still booting has missed it."""
_WAYS_TO_ASK = {
    "vm": (libvirt.VIR_DOMAIN_SHUTDOWN_DEFAULT,),  # its agent, else the power button
    # an init that listens to initctl; one that does not, though libvirt takes it for asked
    "container": (libvirt.VIR_DOMAIN_SHUTDOWN_INITCTL, libvirt.VIR_DOMAIN_SHUTDOWN_SIGNAL),
}
_LAST_WORD_SECONDS = 1.0
_PING_SECONDS = 1.0
_PING = '{"execute": "guest-ping"}'
_UNCLEAN = (libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, libvirt.VIR_DOMAIN_SHUTOFF_FAILED)


@dataclass
class Libvirt:
    """Virtual machines and containers of a libvirt daemon."""

    uri: str = setting(
        help="The daemon: qemu:///system, or lxc:///system for containers.",
        default="qemu:///system",
    )
    target_uri: str = setting(
        help="The daemon of a node that guests move to, with {node} for its name.",
        default="qemu+ssh://{node}/system",
    )
    transfer_uri: str | None = setting(
        help="Where guests are sent, such as tcp://{node} (default: what libvirt chooses).",
        default=None,
    )
    shared: list[str] = setting(
        help="Directories that all nodes share, in addition to network file systems.", default=[]
    )
    bandwidth: int = setting(
        help="MiB per second that one moving guest may use; 0 for no limit.", default=0
    )
    first_vmid: int = setting(
        help="The lowest number for guests that have none; different on each node.", default=100
    )

    def __post_init__(self) -> None:
        self._pool = Pool(self.uri)
        self._events = Events(self.uri)
        self._vmids: dict[str, int] = {}
        """By UUID, as listed last."""
        self._places = Places(self.target_uri, self.transfer_uri, self.shared, self.bandwidth)

    # --- what is there -------------------------------------------------------------------------

    @hookimpl
    def guest_list(self) -> Sequence[Guest]:
        """All domains, each with its VMID."""
        with self._pool.connection() as connection:
            guests = list(domains.guests(connection, self.first_vmid))
        self._vmids = {guest.backend_id: guest.vmid for guest in guests}
        return guests

    @hookimpl
    def guest_set(self, guest: Guest, values: Mapping[str, str]) -> None:
        """Keep settings in the domain's metadata."""
        with self._pool.connection() as connection:
            if "vmid" in values:
                _claim(connection, guest, int(values["vmid"]))
            domain = _domain(connection, guest)
            keep(domain, {"vmid": str(guest.vmid), **Definition.of(domain).values, **values})

    @hookimpl
    def guest_watch(self, timeout: float) -> Iterator[GuestEvent]:
        """Lifecycle events; none is lost from the moment of the call."""
        stack = contextlib.ExitStack()
        watch = stack.enter_context(self._events.watch())

        def events() -> Iterator[GuestEvent]:
            with stack:
                end = time.monotonic() + timeout
                while (change := watch.next(end - time.monotonic())) is not None:
                    vmid = self._vmid(change.uuid)
                    if change.state is not None and vmid is not None:
                        yield GuestEvent(vmid, change.state, change.time, change.detail)

        return events()

    def _vmid(self, uuid: str) -> int | None:
        if uuid not in self._vmids:
            self.guest_list()  # it is new
        return self._vmids.get(uuid)

    # --- power ---------------------------------------------------------------------------------

    @hookimpl
    def guest_start(self, guest: Guest, task: Task) -> None:
        """Start it, or let it go on where it is paused."""
        with self._pool.connection() as connection:
            domain = _domain(connection, guest)
            domains.act(domain, GuestState.RUNNING, lambda: self._start(domain, guest, task))
            domains.check_runs(domain)

    def _start(self, domain: Any, guest: Guest, task: Task) -> None:
        if domains.resume(domain):
            return
        if why := domains.why_paused(domain):
            raise ProviderError(f"it is paused {why}")
        if guest.kind == "container" and not urlsplit(self.uri).hostname:
            from pvefw_guest_libvirt import containers  # libvirt has a library of its own for them

            containers.start(domain, self._events, f"{guest.vmid} ({guest.name})", task)
        else:
            domain.create()
            domains.resume(domain)  # a saved guest may have been paused

    @hookimpl
    def guest_shutdown(self, guest: Guest, timeout: float, task: Task) -> None:
        """Ask it to shut down, through its agent or the power button, and again from time to time."""
        with self._events.watch(guest.backend_id) as watch:
            self._ask_until_it_stops(guest, timeout, watch, task)
            if watch.moved_away:
                task.warn(f"{_who(guest)}: it has moved away to another node")

    def _ask_until_it_stops(self, guest: Guest, timeout: float, watch: Watch, task: Task) -> None:
        end = time.monotonic() + timeout
        ways = itertools.cycle(_WAYS_TO_ASK[guest.kind])
        while not self._ask_to_stop(guest, next(ways), watch, task):
            ask_again = min(end, time.monotonic() + _ASK_AGAIN[guest.kind])
            while change := watch.next(ask_again - time.monotonic(), task):
                if change.state is GuestState.STOPPED:
                    break
            if change is None and time.monotonic() >= end:
                raise Unavailable(self._still_there(guest, timeout))

    def _ask_to_stop(self, guest: Guest, way: int, watch: Watch, task: Task) -> bool:
        """Ask it, unless it has stopped; whether it has."""
        try:
            return self._ask_once(guest, way, task)
        except Unavailable:
            raise
        except ProviderError as error:
            if isinstance(error, Unsupported) and len(_WAYS_TO_ASK[guest.kind]) > 1:
                return False  # the next way may do
            # one that is just ending refuses in many ways; that it has ended is told a moment later
            change = watch.next(_LAST_WORD_SECONDS, task)
            if change is None or change.state is not GuestState.STOPPED:
                raise
            return self._ask_once(guest, way, task)

    def _ask_once(self, guest: Guest, way: int, task: Task) -> bool:
        try:
            with self._pool.connection() as connection:
                domain = _domain(connection, guest)
                now = domains.state(domain)
                if now is GuestState.PAUSED:
                    why = domains.why_paused(domain)
                    if domains.resume(domain):
                        task.log(f"{_who(guest)}: it was paused {why}, and continues to shut down")
                if now is not GuestState.STOPPED:
                    _ask(domain, way)
                    return False  # that it has stopped is told
                _say_how_it_stopped(domain, guest, task)
        except Gone:
            pass  # a transient domain that stops is no more
        return True

    def _still_there(self, guest: Guest, timeout: float) -> str:
        """Why a shutdown was in vain: a guest that is paused is not deaf."""
        with self._pool.connection() as connection:
            why = domains.why_paused(_domain(connection, guest))
        if why:
            return f"it is still paused {why} after {timeout:g} seconds"
        return f"it still runs after {timeout:g} seconds"

    @hookimpl
    def guest_stop(self, guest: Guest) -> None:
        """Stop it hard; libvirt returns when it has stopped."""
        with contextlib.suppress(Gone), self._pool.connection() as connection:
            domain = _domain(connection, guest)
            domains.act(domain, GuestState.STOPPED, domain.destroy)
            if domains.state(domain) is not GuestState.STOPPED:
                raise Unavailable("it still runs")

    @hookimpl
    def guest_suspend(self, guest: Guest, to_disk: bool, timeout: float, task: Task) -> None:
        """Pause it, or save its memory and stop it; libvirt returns when it has."""
        if guest.kind == "container" and to_disk:
            raise Unsupported("libvirt cannot suspend containers to disk")
        with self._pool.connection() as connection:
            domain = _domain(connection, guest)
            if to_disk:
                suspending.to_disk(domain, self._events, timeout, task)
            else:
                suspending.to_memory(domain)

    @hookimpl
    def guest_resume(self, guest: Guest) -> None:
        """Let it continue; libvirt returns when it runs."""
        with self._pool.connection() as connection:
            suspending.resume(_domain(connection, guest))

    @hookimpl
    def guest_ready(self, guest: Guest, timeout: float, task: Task) -> bool | None:
        """Whether QEMU's guest agent answers."""
        end = time.monotonic() + timeout
        with self._events.watch(guest.backend_id) as watch:
            while (left := end - time.monotonic()) > 0:
                with self._pool.connection() as connection:
                    domain = _domain(connection, guest)
                    if not Definition.of(domain, live=True).has_agent:
                        return None
                    if _answers(domain):
                        return True
                # its connecting is an event; that it answers is none
                change = watch.next(min(left, _PING_SECONDS), task)
                if change is not None and change.state is GuestState.STOPPED:
                    return False
        return False

    # --- migration -----------------------------------------------------------------------------

    @hookimpl
    def guest_target(self, target: str) -> MigrateTarget:
        """The memory that its host could give: what is free, and what is only a cache."""
        with explained(), self._places.connected(target) as there:
            memory = there.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)
        free = sum(int(memory.get(key, 0)) for key in ("free", "buffers", "cached"))
        return MigrateTarget(target, free << 10)

    @hookimpl
    def guest_elsewhere(self, node: str) -> Sequence[Guest]:
        """The domains of another node that have a VMID; none is given one from here."""
        with explained(), self._places.connected(node) as there:
            return list(domains.guests(there, None))

    @hookimpl
    def guest_migrate_check(
        self, guest: Guest, target: str, options: MigrateOptions
    ) -> Sequence[str]:
        """What can be known before anything moves."""
        return Obstacles(self._pool, self._places, guest, target, options).find()

    @hookimpl
    def guest_migrate(self, guest: Guest, target: str, options: MigrateOptions, task: Task) -> None:
        """Move it, with the disks that only this host has where that is wanted."""
        Migration(self._pool, self._events, self._places, guest, target, options).run(task)


# --- one domain -----------------------------------------------------------------------------------


def _claim(connection: Any, guest: Guest, vmid: int) -> None:
    """Make sure that nobody else has a VMID.

    :raises ProviderError: somebody has.
    """
    for other in domains.others(connection, guest.backend_id):
        if other.vmid == vmid:
            raise ProviderError(f"{other.name} has the VMID {vmid}")


def _domain(connection: Any, guest: Guest) -> Any:
    return connection.lookupByUUIDString(guest.backend_id)


def _who(guest: Guest) -> str:
    return f"{guest.vmid} ({guest.name})"


def _say_how_it_stopped(domain: Any, guest: Guest, task: Task) -> None:
    if guest.state is not GuestState.STOPPED and domain.state()[1] in _UNCLEAN:
        task.warn(f"{_who(guest)}: it has ended without shutting down")


def _ask(domain: Any, way: int) -> None:
    """Ask a domain to shut down. One that is just starting cannot be asked yet: it is asked again."""
    try:
        domain.shutdownFlags(way)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise


def _answers(domain: Any) -> bool:
    try:
        libvirt_qemu.qemuAgentCommand(domain, _PING, round(_PING_SECONDS), 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() in (
            libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
            libvirt.VIR_ERR_AGENT_UNSYNCED,
            libvirt.VIR_ERR_OPERATION_INVALID,  # it does not run (yet, or no longer)
        ):
            return False
        raise
    return True
