"""Where guests can move to: everything that can be known is looked at before anything moves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pvefw.core.errors import PvefwError
from pvefw.core.model import GuestState, MigrateTarget
from pvefw.guests import plan
from pvefw.guests.backends import Backends
from pvefw.guests.plan import Listed
from pvefw.guests.scheduler import Job


@dataclass
class _Room:
    """A target, and the memory that is still free when all that is planned has arrived."""

    name: str
    known: Mapping[str, MigrateTarget | None]
    """What each backend knows of it, by a guest's id."""
    taken: int = 0

    def free(self, id_: str) -> float:
        target = self.known[id_]
        return float("inf") if target is None else target.free_memory - self.taken


def to_migrate(
    backends: Backends,
    listed: Sequence[Listed],
    wanted: Sequence[str] | None,
    targets: Sequence[str],
    with_local_disks: bool,
) -> list[Job]:
    """Jobs that move guests; those that cannot move are blocked, with the reasons.

    Guests with most memory choose first, each the target with most free memory that takes it.

    :raises ProviderError: a target cannot be reached: nothing is moved.
    :raises NotFound: a guest that is named does not exist.
    """
    chosen = listed if wanted is None else plan.by_id(listed, wanted, "migrateall")
    rooms = [_Room(name, _known(backends, chosen, name)) for name in targets]
    places: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for one in sorted(chosen, key=lambda one: (-one.guest.memory, one.guest.vmid, one.id)):
        place, why = _place(backends, one, rooms, with_local_disks)
        places[one.id] = place or targets[0]
        if not place:
            reasons[one.id] = why
    jobs = plan.to_migrate(listed, wanted, places)
    return [replace(job, blocked=reasons.get(job.id, "")) for job in jobs]


def _known(
    backends: Backends, chosen: Sequence[Listed], target: str
) -> dict[str, MigrateTarget | None]:
    """What the backend of each guest knows of a target; each backend is asked once."""
    answers: dict[str, MigrateTarget | None] = {}
    found = {}
    for one in chosen:
        backend = backends.of(one.id).name
        if backend not in answers:
            answers[backend] = backends.target(one.id, target)
        found[one.id] = answers[backend]
    return found


def _place(
    backends: Backends, one: Listed, rooms: Sequence[_Room], with_local_disks: bool
) -> tuple[str, str]:
    """Where a guest goes, or why nowhere."""
    if problem := plan.unreadable(one.guest):
        return "", problem
    options = plan.migrate_options(one.guest.state, with_local_disks)
    needed = one.guest.memory if one.guest.state is not GuestState.STOPPED else 0
    whys = []
    for room in sorted(rooms, key=lambda room: -room.free(one.id)):
        if needed > room.free(one.id):
            whys.append(
                f"{room.name}: it needs {needed >> 20} MiB of memory, "
                f"{max(int(room.free(one.id)), 0) >> 20} MiB are free"
            )
            continue
        try:
            obstacles = backends.obstacles(one, room.name, options)
        except PvefwError as error:
            obstacles = [error.message]
        if not obstacles:
            room.taken += needed
            return room.name, ""
        whys.append(f"{room.name}: {', '.join(obstacles)}")
    return "", "; ".join(whys)
