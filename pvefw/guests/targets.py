"""Where guests can move to: everything that can be known is looked at before anything moves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pvefw.core.errors import PvefwError
from pvefw.core.model import GuestState, MigrateTarget
from pvefw.guests import plan
from pvefw.guests.backends import Backends
from pvefw.guests.plan import Listed
from pvefw.guests.scheduler import Job
from pvefw.store.guest_reference import Reference


@dataclass
class _Room:
    """A target, and the memory that is still free when all that is planned has arrived."""

    name: str
    known: Mapping[Reference, MigrateTarget | None]
    """What the backend of each guest knows of it."""
    taken: int = 0

    def free(self, id_: Reference) -> float:
        target = self.known[id_]
        return float("inf") if target is None else target.free_memory - self.taken


def to_migrate(
    backends: Backends,
    listed: Sequence[Listed],
    chosen: Sequence[Listed],
    targets: Sequence[str],
    with_local_disks: bool,
    without: Callable[[PvefwError], None] | None = None,
) -> list[Job]:
    """Jobs that move guests; those that cannot move are blocked, with the reasons.

    Guests with most memory choose first, each the target with most free memory that takes it. A guest and
    what it is after go to one target, if one takes them all; who goes apart has a note.

    :param listed: all guests of this node.
    :param chosen: those that move.
    :param without: told of each target that cannot be reached, where one is enough that can.
    :raises ProviderError: a target cannot be reached: nothing is moved.
    """
    rooms = _rooms(backends, chosen, targets, without)
    targets = [room.name for room in rooms]
    places: dict[Reference, str] = {}
    reasons: dict[Reference, str] = {}
    for bundle in _bundles(chosen):
        place, _ = _place(backends, bundle, rooms, with_local_disks)
        for entry in bundle:
            alone, why = (
                (place, "") if place else _place(backends, [entry], rooms, with_local_disks)
            )
            places[entry.id] = alone or targets[0]
            if not alone:
                reasons[entry.id] = why
    jobs = plan.to_migrate(chosen, places)
    here = {entry.id: "" for entry in listed}
    going = {id_: place for id_, place in places.items() if id_ not in reasons}
    return [
        replace(
            job,
            blocked=reasons.get(job.id, ""),
            note=_apart(Listed(job.id, job.guest), {**here, **going}),
        )
        for job in jobs
    ]


def _rooms(
    backends: Backends,
    chosen: Sequence[Listed],
    targets: Sequence[str],
    without: Callable[[PvefwError], None] | None,
) -> list[_Room]:
    rooms = []
    for name in targets:
        try:
            rooms.append(_Room(name, _known(backends, chosen, name)))
        except PvefwError as error:
            if without is None or (not rooms and name == targets[-1]):
                raise
            without(error)
    return rooms


def _bundles(chosen: Sequence[Listed]) -> list[list[Listed]]:
    """Guests and what they are after, which belong together; those with most memory first."""
    bundles: dict[Reference, list[Listed]] = {entry.id: [entry] for entry in chosen}
    for entry in chosen:
        for needed in entry.needs:
            mine, theirs = bundles[entry.id], bundles.get(needed, bundles[entry.id])
            if mine is not theirs:
                mine += theirs
                bundles |= dict.fromkeys((other.id for other in theirs), mine)
    unique = {id(bundle): sorted(bundle, key=lambda entry: entry.id) for bundle in bundles.values()}

    def size(bundle: Sequence[Listed]) -> tuple[int, Reference]:
        return -sum(entry.guest.memory for entry in bundle), bundle[0].id

    return sorted(unique.values(), key=size)


def _apart(entry: Listed, places: Mapping[Reference, str]) -> str:
    """That a guest goes where not all is that it is after; empty where nothing is apart.

    :param places: where the guests of this node go; empty for those that stay.
    """
    away = [
        f"{id_}, which {f'moves to {places[id_]}' if places[id_] else 'stays'}"
        for id_ in entry.needs
        if id_ in places and places[id_] != places[entry.id]
    ]
    return f"it is after {' and '.join(away)}" if places[entry.id] and away else ""


def _known(
    backends: Backends, chosen: Sequence[Listed], target: str
) -> dict[Reference, MigrateTarget | None]:
    """What the backend of each guest knows of a target; each backend is asked once."""
    answers: dict[str, MigrateTarget | None] = {}
    rooms = {}
    for entry in chosen:
        backend = backends.of(entry.id).name
        if backend not in answers:
            answers[backend] = backends.target(entry.id, target)
        rooms[entry.id] = answers[backend]
    return rooms


def _place(
    backends: Backends, bundle: Sequence[Listed], rooms: Sequence[_Room], with_local_disks: bool
) -> tuple[str, str]:
    """Where guests go together, or why nowhere."""
    for entry in bundle:
        if problem := plan.unreadable(entry.guest):
            return "", problem
    needed = sum(
        entry.guest.memory for entry in bundle if entry.guest.state is not GuestState.STOPPED
    )
    whys = []
    for room in sorted(rooms, key=lambda room: -room.free(bundle[0].id)):
        free = room.free(bundle[0].id)
        if needed > free:
            whys.append(
                f"{room.name}: it needs {needed >> 20} MiB of memory, "
                f"{max(int(free), 0) >> 20} MiB are free"
            )
            continue
        obstacles = [_obstacles(backends, entry, room, with_local_disks) for entry in bundle]
        if not any(obstacles):
            room.taken += needed
            return room.name, ""
        whys.append(f"{room.name}: {', '.join(line for lines in obstacles for line in lines)}")
    return "", "; ".join(whys)


def _obstacles(
    backends: Backends, entry: Listed, room: _Room, with_local_disks: bool
) -> Sequence[str]:
    options = plan.migrate_options(entry.guest.state, with_local_disks)
    try:
        return backends.obstacles(entry, room.name, options)
    except PvefwError as error:
        return [error.message]
