"""Which nodes are drained, and where their guests have gone: a file of each, which all nodes see."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pvefw.core.errors import StoreError, UsageError
from pvefw.host import remote
from pvefw.store import files, nodes
from pvefw.store.guest_reference import Reference
from pvefw.store.paths import Paths


@dataclass(frozen=True)
class Drained:
    """A node whose guests were moved away, to come back."""

    since: str
    """When that began: ISO 8601, UTC."""
    guests: Mapping[Reference, str] = field(default_factory=dict)
    """Each guest, and the node that it was sent to; it may not have arrived."""
    names: Mapping[Reference, str] = field(default_factory=dict)
    """Each guest's name: while it is away, another one may be given its number."""
    backend_ids: Mapping[Reference, str] = field(default_factory=dict)
    """What its backend calls it: whoever has this is the same guest, whatever its name is now."""
    with_local_disks: bool = False
    """Whether disks that only one node has were copied."""


def read(paths: Paths, node: str = "") -> Drained | None:
    """What is noted of a node, this one or the one that is named; ``None`` where it is not drained.

    :raises StoreError: it cannot be read, or is damaged.
    """
    if files.read_if_exists(paths.drained(node)) is None:
        return None
    note = files.read_object(paths.drained(node))
    try:
        guests = {Reference.parse(id_): host for id_, host in note["guests"].items()}
        names = {Reference.parse(id_): str(name) for id_, name in note.get("names", {}).items()}
        backend_ids = {
            Reference.parse(id_): str(own) for id_, own in note.get("backend_ids", {}).items()
        }
        for host in guests.values():
            remote.check_host(host)
    except (KeyError, AttributeError, TypeError, ValueError, UsageError) as error:
        raise StoreError(  # without it nobody knows whose guests are away
            f"{paths.drained(node)}: the note of where the guests have gone is damaged",
            hint="Move them back by hand, then: pvefw node return --leave",
        ) from error
    return Drained(
        since=str(note.get("since", "")),
        guests=guests,
        names=names,
        backend_ids=backend_ids,
        with_local_disks=bool(note.get("with_local_disks")),
    )


def others(paths: Paths) -> list[str]:
    """The other nodes that are drained.

    :raises StoreError: the nodes cannot be listed.
    """
    return [
        name
        for name in nodes.names(paths)
        if name != paths.node and files.exists(paths.drained(name))
    ]


def write(paths: Paths, note: Drained) -> None:
    """Note that this node is drained.

    :raises StoreError: it cannot be written.
    """
    guests = {str(guest): host for guest, host in note.guests.items()}
    names = {str(guest): name for guest, name in note.names.items()}
    own = {str(guest): id_ for guest, id_ in note.backend_ids.items()}
    value = {**vars(note), "guests": guests, "names": names, "backend_ids": own}
    files.replace(paths.drained(), json.dumps(value, sort_keys=True).encode())


def remove(paths: Paths) -> None:
    """This node is not drained any more.

    :raises StoreError: the note cannot be removed.
    """
    files.remove(paths.drained())
