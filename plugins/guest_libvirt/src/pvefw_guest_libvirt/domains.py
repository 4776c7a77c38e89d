"""Single domains: what each of them is doing, and lists of them that one odd domain does not spoil."""

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import libvirt

from pvefw.api import Guest, GuestState, ProviderError
from pvefw_guest_libvirt.connections import concerns_all, is_gone
from pvefw_guest_libvirt.metadata import Definition, last_resort, numbered

Kind = Literal["vm", "container"]
_RUNNING = (
    libvirt.VIR_DOMAIN_RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED,
    libvirt.VIR_DOMAIN_SHUTDOWN,  # it is about to stop, but has not
)
_NO_ID = -1
"""Of a domain without a process."""
_PAUSED = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PMSUSPENDED)
_WHY_PAUSED: Mapping[int, str] = {
    libvirt.VIR_DOMAIN_PAUSED_USER: "by a user",
    libvirt.VIR_DOMAIN_PAUSED_MIGRATION: "for a migration",
    libvirt.VIR_DOMAIN_PAUSED_SAVE: "to be saved",
    libvirt.VIR_DOMAIN_PAUSED_DUMP: "for a dump of its memory",
    libvirt.VIR_DOMAIN_PAUSED_IOERROR: "after an I/O error",
    libvirt.VIR_DOMAIN_PAUSED_WATCHDOG: "by its watchdog",
    libvirt.VIR_DOMAIN_PAUSED_FROM_SNAPSHOT: "since it was reverted to a snapshot",
    libvirt.VIR_DOMAIN_PAUSED_SHUTTING_DOWN: "as it shuts down",
    libvirt.VIR_DOMAIN_PAUSED_SNAPSHOT: "for a snapshot",
    libvirt.VIR_DOMAIN_PAUSED_CRASHED: "since it crashed",
    libvirt.VIR_DOMAIN_PAUSED_STARTING_UP: "as it starts",
    libvirt.VIR_DOMAIN_PAUSED_POSTCOPY: "for a migration",
    libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED: "as its migration failed half-way",
}
_MAY_ARRIVE = (
    libvirt.VIR_DOMAIN_PAUSED_STARTING_UP,
    libvirt.VIR_DOMAIN_PAUSED_MIGRATION,
    libvirt.VIR_DOMAIN_PAUSED_POSTCOPY,
)
_MAY_RESUME = (
    libvirt.VIR_DOMAIN_PAUSED_UNKNOWN,
    libvirt.VIR_DOMAIN_PAUSED_USER,
    libvirt.VIR_DOMAIN_PAUSED_IOERROR,
    libvirt.VIR_DOMAIN_PAUSED_WATCHDOG,
    libvirt.VIR_DOMAIN_PAUSED_FROM_SNAPSHOT,
)
"""Reasons that are no work of somebody else's under way."""
_AWAKE_SECONDS = 10.0
_LOOK_AGAIN = 0.05


def state(domain: Any) -> GuestState:
    """What a domain is doing.

    :raises libvirt.libvirtError: it cannot be found out; the domain may be gone.
    """
    return _meaning(domain.state()[0], domain.isActive)


def _meaning(now: int, is_active: Callable[[], bool]) -> GuestState:
    if now in _RUNNING:
        return GuestState.RUNNING
    if now in _PAUSED:
        return GuestState.PAUSED
    return GuestState.UNKNOWN if is_active() else GuestState.STOPPED


def why_paused(domain: Any) -> str:
    """For messages: ``by a user``; empty where it is not paused."""
    now, reason = domain.state()
    if now == libvirt.VIR_DOMAIN_PMSUSPENDED:
        return "in its own sleep state"
    if now != libvirt.VIR_DOMAIN_PAUSED:
        return ""
    return _WHY_PAUSED.get(reason, "for a reason that is not known")


def resume(domain: Any) -> bool:
    """Let a paused domain continue, unless somebody is working on it; whether it was resumed."""
    now, reason = domain.state()
    if now == libvirt.VIR_DOMAIN_PMSUSPENDED:
        domain.pMWakeup()
        _wait_until_awake(domain)
        return True
    if now == libvirt.VIR_DOMAIN_PAUSED and reason in _MAY_RESUME:
        domain.resume()
        return True
    return False


def _wait_until_awake(domain: Any) -> None:
    """The hypervisor is asked, and says a moment later that it is."""
    end = time.monotonic() + _AWAKE_SECONDS
    while domain.state()[0] == libvirt.VIR_DOMAIN_PMSUSPENDED and time.monotonic() < end:
        time.sleep(_LOOK_AGAIN)


def check_runs(domain: Any) -> None:
    """Make sure that it does what it was just made to do.

    :raises ProviderError: it does not run, and why.
    """
    if state(domain) is not GuestState.RUNNING:
        why = why_paused(domain)
        raise ProviderError(f"it is paused {why}" if why else "it ran, and has stopped again")


def act(domain: Any, wanted: GuestState, action: Callable[[], object]) -> None:
    """Do something to a domain, unless it is as wanted, or is so by the time that libvirt refuses."""
    if state(domain) is wanted:
        return
    try:
        action()
    except libvirt.libvirtError as error:
        invalid = error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID
        if not invalid or state(domain) is not wanted:
            raise


def is_arriving(domain: Any) -> bool:
    """Whether it comes from another node just now, and is not this node's guest yet."""
    now, reason = domain.state()
    if now != libvirt.VIR_DOMAIN_PAUSED or reason not in _MAY_ARRIVE:
        return False
    try:
        domain.jobStats()
    except libvirt.libvirtError as error:  # libvirt counts at the node that it comes from only
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_UNSUPPORTED:
            raise
        return True
    return False


# --- all of them ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unreadable:
    """A domain that is there and cannot be read."""

    domain: Any
    why: str


def definitions(connection: Any) -> tuple[list[tuple[Any, Definition]], list[Unreadable]]:
    """The definitions of all domains. One that vanishes meanwhile was none.

    :raises libvirt.libvirtError: the daemon cannot be asked.
    """
    readable: list[tuple[Any, Definition]] = []
    unreadable = []
    for domain in connection.listAllDomains():
        try:
            readable.append((domain, Definition.of(domain)))
        except libvirt.libvirtError as error:
            if concerns_all(error):
                raise
            if not is_gone(error):
                unreadable.append(Unreadable(domain, " ".join(str(error).split())))
    return readable, unreadable


def guests(connection: Any, first_vmid: int | None) -> Iterator[Guest]:
    """All guests, each with its VMID; those that are just arriving are not here yet.

    :param first_vmid: the lowest for those that have none; ``None`` to leave those out.
    :raises libvirt.libvirtError: the daemon cannot be asked.
    """
    kind: Kind = "container" if connection.getType() == "LXC" else "vm"
    readable, unreadable = definitions(connection)
    states = _states(connection)
    for domain, definition, vmid in _with_numbers(readable, first_vmid):
        try:
            now = states.get(definition.uuid) or state(domain)
            if now is not GuestState.PAUSED or not is_arriving(domain):
                yield _guest(kind, domain, definition, vmid, now)
        except libvirt.libvirtError as error:
            if concerns_all(error):
                raise
            if not is_gone(error):
                unreadable.append(Unreadable(domain, " ".join(str(error).split())))
    yield from (_odd_guest(kind, domain) for domain in unreadable)


def _states(connection: Any) -> Mapping[str, GuestState]:
    """What all domains are doing, by UUID, in one question; nothing of a driver that knows none such."""
    try:
        stats = connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        return {}
    return {
        domain.UUIDString(): _meaning(
            definition["state.state"], functools.partial(_had_a_process, domain)
        )
        for domain, definition in stats
    }


def _had_a_process(domain: Any) -> bool:
    """Whether it had one when it was listed: a number that libvirt need not be asked for."""
    return bool(domain.ID() != _NO_ID)


def _with_numbers(
    readable: Sequence[tuple[Any, Definition]], first_vmid: int | None
) -> Iterable[tuple[Any, Definition, int]]:
    if first_vmid is not None:
        return numbered(readable, first_vmid)
    return [
        (domain, definition, definition.vmid)
        for domain, definition in readable
        if definition.vmid is not None
    ]


def _guest(kind: Kind, domain: Any, definition: Definition, vmid: int, now: GuestState) -> Guest:
    return Guest(
        vmid=vmid,
        name=definition.name,
        kind=kind,
        state=now,
        onboot=definition.values.get("onboot") == "1",
        order=definition.number("order"),
        up=definition.number("up"),
        down=definition.number("down"),
        ready=definition.values.get("ready", ""),
        after=definition.after,
        memory=definition.memory,
        backend_id=definition.uuid,
        saved=now is GuestState.STOPPED and has_saved_image(domain),
    )


def _odd_guest(kind: Kind, odd: Unreadable) -> Guest:
    try:
        now = state(odd.domain)
    except libvirt.libvirtError:
        now = GuestState.UNKNOWN
    uuid = odd.domain.UUIDString()
    return Guest(last_resort(uuid), odd.domain.name(), kind, now, backend_id=uuid, problem=odd.why)


def has_saved_image(domain: Any) -> bool:
    """Whether its memory is on disk ("managed save"); containers have none."""
    try:
        return bool(domain.hasManagedSaveImage() == 1)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
            return False
        raise


def others(connection: Any, uuid: str) -> Sequence[Definition]:
    """The definitions of all domains but one."""
    return [definition for _, definition in definitions(connection)[0] if definition.uuid != uuid]
