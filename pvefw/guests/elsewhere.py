"""Guests of other nodes: what runs there counts for those of this node that are after it.

Nodes that share configuration are asked, and only where this node does not have what a guest is after.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from pvefw.core.errors import PvefwError
from pvefw.core.model import Guest, GuestState
from pvefw.guests.backends import Backends
from pvefw.guests.plan import Listed
from pvefw.store import nodes
from pvefw.store.guest_reference import Reference
from pvefw.store.paths import Paths


@dataclass
class Elsewhere:
    """What other nodes have of the guests that some of this node are after."""

    whereabouts: dict[Reference, tuple[str, Guest]] = field(default_factory=dict)
    """The node of each, and the guest."""
    silent: dict[str, str] = field(default_factory=dict)
    """The nodes that could not be asked, and why."""

    def absence(self, id_: Reference) -> str:
        """Why a guest that this node does not have is no help; empty where it runs on another one."""
        if id_ in self.whereabouts:
            node, guest = self.whereabouts[id_]
            running = guest.state is GuestState.RUNNING
            return "" if running else f"it waits for {id_}, which is {guest.state.value} on {node}"
        if self.silent:
            asked = ", ".join(
                f"{node} could not be asked: {why}" for node, why in self.silent.items()
            )
            return f"it waits for {id_}, which this node does not have; {asked}"
        return f"it waits for {id_}, which does not exist"


def look(paths: Paths, backends: Backends, listed: Sequence[Listed]) -> Elsewhere:
    """Ask the other nodes for what guests of this node are after, and it does not have.

    :param listed: the guests of this node.
    """
    here = {entry.id for entry in listed}
    missing = {needed for entry in listed for needed in entry.needs} - here
    made = Elsewhere()
    if not missing:
        return made
    try:
        known = nodes.names(paths)
    except PvefwError as error:  # a guest that waits for nothing of theirs must start all the same
        made.silent["other nodes"] = error.message
        return made
    for node in known:
        if node != paths.node:
            _ask(made, backends, node, missing)
    return made


def _ask(made: Elsewhere, backends: Backends, node: str, missing: Collection[Reference]) -> None:
    for name in {backends.of(id_).name for id_ in missing}:
        try:
            there = backends.elsewhere(name, node)
        except PvefwError as error:
            made.silent[node] = error.message
            continue
        known = {backends.id(name, guest.vmid): guest for guest in there}
        made.whereabouts |= {id_: (node, known[id_]) for id_ in known.keys() & missing}
