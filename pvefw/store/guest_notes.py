"""Notes about guests: which there were when a command last asked, and which were started at boot.

The former are for completion, and nothing else. On a node of Proxmox VE the cluster's own list is there,
too (``/etc/pve/.vmlist``). The latter end with the boot.
"""

import contextlib
import json
from collections.abc import Collection, Mapping

from pvefw.store import files, notes
from pvefw.store.guest_reference import Reference
from pvefw.store.paths import Paths


def write(paths: Paths, guests: Mapping[str, str]) -> None:
    """Note the guests, id and name. Where that cannot be done, the notes stay as they are."""
    notes.write(paths.guest_notes, guests)


def read(paths: Paths) -> list[tuple[str, str]]:
    """The guests that are noted or in Proxmox VE's list; id and name, by number."""
    theirs = files.read_object_if_possible(paths.vmlist).get("ids")
    names = {
        str(vmid): str(value.get("type", ""))
        for vmid, value in (theirs if isinstance(theirs, dict) else {}).items()
        if isinstance(value, dict) and value.get("node") == paths.node
    }
    names |= notes.read(paths.guest_notes)
    return sorted(names.items(), key=lambda item: (len(item[0]), item[0]))


def note_started(paths: Paths, guests: Collection[Reference], *, all_: bool) -> None:
    """Note which guests were started at boot.

    :param all_: whether these are all that were to start.
    :raises StoreError: it cannot be written.
    """
    note = {"started": _texts(guests), "all": all_}
    files.replace(paths.boot_guests, json.dumps(note).encode())


def note_stopped(paths: Paths, guests: Collection[Reference]) -> None:
    """Note that we have stopped guests, or moved them away.

    :raises StoreError: it cannot be written.
    """
    before = started(paths)
    if not before.isdisjoint(guests):
        note_started(paths, before.difference(guests), all_=have_started(paths) is not False)


def started(paths: Paths) -> set[Reference]:
    """The guests that were started at boot and that we have not stopped since."""
    return _references(files.read_object_if_possible(paths.boot_guests).get("started"))


def have_started(paths: Paths) -> bool | None:
    """Whether all guests that were to start at boot have done so; ``None`` while they are starting."""
    note = files.read_object_if_possible(paths.boot_guests)
    return bool(note.get("all")) if note else None


def note_suspended(paths: Paths, guests: Collection[Reference]) -> None:
    """Note which guests a shutdown has suspended: the next boot lets them continue.

    :raises StoreError: it cannot be written.
    """
    if guests or suspended(paths):
        files.replace(paths.suspended_guests, json.dumps(_texts(guests)).encode())


def suspended(paths: Paths) -> set[Reference]:
    """The guests that the last shutdown has suspended and that have not continued since."""
    try:
        noted = files.parse_json(files.read_if_exists(paths.suspended_guests) or b"[]")
    except ValueError:
        return set()
    return _references(noted)


def _texts(guests: Collection[Reference]) -> list[str]:
    return sorted(map(str, guests))


def _references(noted: object) -> set[Reference]:
    """The guests of a list; whatever is no id is left out: a damaged note keeps none from starting."""
    guests = set()
    for text in noted if isinstance(noted, list) else ():
        with contextlib.suppress(ValueError):
            guests.add(Reference.parse(str(text)))
    return guests
