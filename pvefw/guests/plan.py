"""Which guests a bulk action is about, and in which order: from what they say of themselves, to jobs."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pvefw.core.errors import ConfigError, NotFound
from pvefw.core.model import Guest, GuestState, MigrateOptions
from pvefw.guests.scheduler import Action, Job
from pvefw.store.guest_reference import Reference

START_SECONDS = 300.0
DEFAULT_UP = {"vm": 3.0, "container": 0.0}
LONGEST = 86400.0
"""Seconds: whatever a hypervisor says of a guest, nothing waits longer for it."""
_LAST = float("inf")
_RANGE = re.compile(r"(\d{1,9})-(\d{1,9})")
_OPEN = re.compile(r"\d{1,9}-|-\d{1,9}")
_SHOWN = "See: pvefw guest list"
Absence = Callable[[Reference], str]
"""Why a guest that this node does not have is no help to who waits for it; empty where it is."""


def nowhere(id_: Reference) -> str:
    """Where nobody else is asked, what this node does not have does not exist."""
    return f"it waits for {id_}, which does not exist"


class NoSuchGuest(NotFound):
    """A word fits no guest."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A guest, and how the user calls it."""

    id: Reference
    guest: Guest

    @property
    def needs(self) -> list[Reference]:
        """What must be ready before it starts."""
        return [self.id.sibling(vmid) for vmid in self.guest.after]


@dataclass(frozen=True, slots=True)
class StopOptions:
    """How guests are stopped."""

    timeout: float = 180.0
    """Seconds for those that do not say themselves how long they need."""
    force_stop: bool = True


def named(listed: Sequence[Listed], wanted: Sequence[str] | None, command: str) -> Sequence[Listed]:
    """The guests that were named, or all where ``wanted`` is ``None``.

    :raises NotFound: as :func:`by_id`.
    """
    return listed if wanted is None else by_id(listed, wanted, command)


def by_id(listed: Sequence[Listed], wanted: Sequence[str], command: str) -> list[Listed]:
    """The guests that were named: by id, by a VMID or name that only one has, or as ``100-103``.

    :raises NoSuchGuest: a word fits no guest.
    :raises NotFound: several guests have that VMID or name.
    """
    chosen = {entry.id for word in wanted for entry in _meant(listed, word, command)}
    return [entry for entry in listed if entry.id in chosen]


def _meant(listed: Sequence[Listed], word: str, command: str) -> list[Listed]:
    """The guests that one word names. An id goes before a number, and that before a name."""
    for names in (_ids, _numbers, _names):
        matches = [entry for entry in listed if word in names(entry)]
        if len(matches) > 1:
            several = " and ".join(str(entry.id) for entry in matches)
            raise NotFound(f"{command}: {word}: this may be {several}", hint="Give the whole id.")
        if matches:
            return matches
    numbers = _RANGE.fullmatch(word)
    if numbers:
        first, last = int(numbers[1]), int(numbers[2])
        matches = [entry for entry in listed if first <= entry.guest.vmid <= last]
        if matches:
            return matches
        raise NoSuchGuest(
            f"{command}: {word}: no guest of this node has such a number", hint=_SHOWN
        )
    if _OPEN.fullmatch(word):
        raise NotFound(
            f"{command}: {word}: a range needs both its ends", hint="For example: --vms 100-103"
        )
    raise NoSuchGuest(f"{command}: {word}: there is no such guest on this node", hint=_SHOWN)


def _ids(entry: Listed) -> tuple[str]:
    return (str(entry.id),)


def _numbers(entry: Listed) -> tuple[str]:
    return (str(entry.guest.vmid),)


def _names(entry: Listed) -> tuple[str, str]:
    return entry.guest.name, entry.id.qualify(entry.guest.name)


def waits_for(
    entry: Listed, listed: Sequence[Listed], absence: Absence = nowhere
) -> list[Reference]:
    """The guests that keep one from starting at boot: missing, or stopped and not started before it."""
    known = {other.id: other for other in listed}
    return [
        id_
        for id_ in entry.needs
        if (not _will_run(known[id_].guest) if id_ in known else absence(id_))
    ]


# --- start and stop -------------------------------------------------------------------------------


def to_start(
    listed: Sequence[Listed],
    wanted: Sequence[str] | None = None,
    *,
    force: bool = False,
    also: Collection[Reference] = (),
    absence: Absence = nowhere,
    serve_others: bool = False,
) -> list[Job]:
    """Jobs that start guests: those with onboot, or all with ``force``; never a template.

    One whose settings could not be read is blocked: it may be one with onboot.

    Guests that the HA manager looks after are left to it, unless they are named.

    :param wanted: only these; ``None`` for all.
    :param also: ids of guests that start without onboot, too.
    :param absence: asked about guests that this node does not have.
    :param serve_others: whether a dependency cycle only blocks the guests in it.
    :raises NotFound: one of them does not exist.
    :raises ConfigError: a dependency cycle.
    """
    chosen = named(listed, wanted, "startall")
    guests = [
        entry
        for entry in chosen
        if not entry.guest.template
        and (force or entry.guest.onboot or entry.guest.problem or entry.id in also)
        and (wanted is not None or not entry.guest.managed_by_ha)
        and entry.guest.state is not GuestState.RUNNING
    ]
    known = {entry.id: entry.guest for entry in listed}
    circles = _circles(guests)
    if circles and not serve_others:
        raise ConfigError(
            f"guests: {next(iter(circles.values()))}",
            hint="Nothing was done. Change one: pvefw guest set ID --after VMID",
        )
    groups = _groups(guests)
    guests.sort(key=lambda entry: (groups[entry.id], entry.id))
    among = {entry.id for entry in guests}
    reasons = {
        id_: absence(id_) if id_ not in known else _stopped(id_, known[id_])
        for id_ in {needed for entry in guests for needed in entry.needs} - among
    }
    return [_start(entry, groups[entry.id], reasons, circles.get(entry.id, "")) for entry in guests]


def _start(entry: Listed, group: float, reasons: Mapping[Reference, str], circle: str) -> Job:
    guest = entry.guest
    absent = [reasons[id_] for id_ in entry.needs if reasons.get(id_)]
    return Job(
        id=entry.id,
        guest=guest,
        action=Action.START,
        group=_number(group),
        timeout=START_SECONDS,
        pause=_seconds(DEFAULT_UP.get(guest.kind, 0.0) if guest.up is None else guest.up),
        probe=bool(guest.ready),
        after=entry.needs,
        needs=True,
        blocked=unreadable(guest) or circle or (absent[0] if absent else ""),
    )


def _seconds(given: float) -> float:
    """What a hypervisor says of a guest, as a time that can be waited for."""
    return min(max(given, 0.0), LONGEST)


def unreadable(guest: Guest) -> str:
    """What keeps a guest from being started or moved; empty where its settings could be read."""
    return f"its settings could not be read: {guest.problem}" if guest.problem else ""


def _stopped(id_: Reference, guest: Guest) -> str:
    return "" if _runs(guest) else f"it waits for {id_}, which is stopped and not selected"


def _will_run(guest: Guest) -> bool:
    """Whether it runs, or starts at boot."""
    startable = guest.onboot and not guest.template and not guest.managed_by_ha
    return _runs(guest) or (startable and not guest.problem)


def _runs(guest: Guest) -> bool:
    return guest.state is GuestState.RUNNING


def to_stop(
    listed: Sequence[Listed], wanted: Sequence[str] | None, options: StopOptions
) -> list[Job]:
    """Jobs that stop guests that are not stopped, in the reverse order of their start.

    One whose settings could not be read stops, too: as one without order, so among the first.

    :param wanted: only these; ``None`` for all that are no templates and not looked after by HA.
    :raises NotFound: one of them does not exist.
    """
    guests = [
        entry
        for entry in _chosen(listed, wanted, "stopall")
        if entry.guest.state is not GuestState.STOPPED
    ]
    return [
        replace(
            job,
            timeout=options.timeout if job.guest.down is None else _seconds(job.guest.down),
            hard=options.force_stop,
        )
        for job in _in_reverse(guests, Action.SHUTDOWN)
    ]


def _in_reverse(guests: Sequence[Listed], action: Action) -> list[Job]:
    """Jobs in the reverse order of their start: first those that others need last."""
    groups, needs = _groups(guests), _order(guests)[1]
    dependents: dict[Reference, list[Reference]] = {}
    for entry in guests:
        for needed in needs[entry.id]:
            dependents.setdefault(needed, []).append(entry.id)
    return [
        Job(
            id=entry.id,
            guest=entry.guest,
            action=action,
            group=-_number(groups[entry.id]),
            after=dependents.get(entry.id, ()),
        )
        for entry in sorted(guests, key=lambda entry: (groups[entry.id], entry.id), reverse=True)
    ]


# --- suspend and resume ---------------------------------------------------------------------------


def to_suspend(
    listed: Sequence[Listed], wanted: Sequence[str] | None, *, to_disk: bool, timeout: float
) -> list[Job]:
    """Jobs that suspend guests that run, in the reverse order of their start; paused ones to disk, too.

    :param wanted: only these; ``None`` for all that are no templates and not looked after by HA.
    :param timeout: seconds for each.
    :raises NotFound: one of them does not exist.
    """
    states = (GuestState.RUNNING, GuestState.PAUSED) if to_disk else (GuestState.RUNNING,)
    guests = [
        entry for entry in _chosen(listed, wanted, "suspendall") if entry.guest.state in states
    ]
    jobs = _in_reverse(guests, Action.SUSPEND)
    return [replace(job, timeout=timeout, to_disk=to_disk) for job in jobs]


def to_resume(
    listed: Sequence[Listed], wanted: Sequence[str] | None, *, timeout: float
) -> list[Job]:
    """Jobs that let suspended guests continue, in the order of their start.

    :param wanted: only these; ``None`` for all that are no templates and not looked after by HA.
    :param timeout: seconds for each.
    :raises NotFound: one of them does not exist.
    """
    guests = [
        entry
        for entry in _chosen(listed, wanted, "resumeall")
        if entry.guest.state is GuestState.PAUSED or entry.guest.saved
    ]
    groups, needs = _groups(guests), _order(guests)[1]
    return [
        Job(
            id=entry.id,
            guest=entry.guest,
            action=Action.RESUME,
            group=_number(groups[entry.id]),
            timeout=timeout,
            after=needs[entry.id],
        )
        for entry in sorted(guests, key=lambda entry: (groups[entry.id], entry.id))
    ]


def _chosen(listed: Sequence[Listed], wanted: Sequence[str] | None, command: str) -> list[Listed]:
    """Those that were named, or all that are left to us; never a template."""
    chosen = named(listed, wanted, command)
    return [
        entry
        for entry in chosen
        if not entry.guest.template and (wanted is not None or not entry.guest.managed_by_ha)
    ]


def _number(group: float) -> int:
    return 1 << 40 if group == _LAST else int(group)


def _groups(guests: Sequence[Listed]) -> dict[Reference, float]:
    """Each guest's group: its order, or that of what it waits for, where that is later."""
    order, waits = _order(guests)
    groups = {
        entry.id: _LAST if entry.guest.order is None else entry.guest.order for entry in guests
    }
    for id_ in order:
        groups[id_] = max([groups[id_], *(groups[other] for other in waits[id_])])
    return groups


def _order(
    guests: Sequence[Listed],
) -> tuple[Sequence[Reference], Mapping[Reference, Sequence[Reference]]]:
    """Guests, each behind what it needs; and what each of these needs of the others.

    Guests in a dependency cycle do not wait for each other: they must stop in some order.
    """
    from graphlib import TopologicalSorter

    among = {entry.id for entry in guests}
    circles = _circles(guests)
    waits = {
        entry.id: [
            other
            for other in entry.needs
            if other in among and not (entry.id in circles and other in circles)
        ]
        for entry in guests
    }
    return list(TopologicalSorter(waits).static_order()), waits


def _circles(guests: Sequence[Listed]) -> dict[Reference, str]:
    """The guests that are in dependency cycles, and what to say of each."""
    from graphlib import CycleError, TopologicalSorter

    among = {entry.id for entry in guests}
    waits = {entry.id: {id_ for id_ in entry.needs if id_ in among} for entry in guests}
    circles: dict[Reference, str] = {}
    while True:
        try:
            TopologicalSorter(waits).prepare()
        except CycleError as error:
            circle = list(reversed(error.args[1][1:]))
            first = circle.index(min(circle))
            circle = [*circle[first:], *circle[: first + 1]]
            circles |= dict.fromkeys(circle, f"{' → '.join(map(str, circle))}: dependency cycle")
            for id_ in circle:
                waits[id_] -= set(circle)
        else:
            return circles


def in_circles(guests: Sequence[Listed]) -> Sequence[str]:
    """The dependency cycles, in words."""
    return list(dict.fromkeys(_circles(guests).values()))


# --- move -----------------------------------------------------------------------------------------


def to_migrate(chosen: Sequence[Listed], targets: Mapping[Reference, str]) -> list[Job]:
    """Jobs that move guests, all at once: those of the lowest order first, then by VMID.

    :param targets: where each guest goes.
    """

    def place(entry: Listed) -> tuple[float, Reference]:
        order = entry.guest.order
        return (_LAST if order is None else order, entry.id)

    return [
        Job(entry.id, entry.guest, Action.MIGRATE, target=targets.get(entry.id, ""))
        for entry in sorted(chosen, key=place)
    ]


def migrate_options(state: GuestState, with_local_disks: bool) -> MigrateOptions:
    """How a guest moves: running, if it runs."""
    return MigrateOptions(with_local_disks=with_local_disks, online=state is GuestState.RUNNING)
