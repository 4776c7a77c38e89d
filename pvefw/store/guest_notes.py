"""Which guests there were when a command last asked the hypervisors: for completion, and nothing else.

On a node of Proxmox VE the cluster's own list is there, too (``/etc/pve/.vmlist``).
"""

import contextlib
import json
from collections.abc import Mapping

from pvefw.core.errors import StoreError
from pvefw.store import files
from pvefw.store.paths import Paths


def write(paths: Paths, guests: Mapping[str, str]) -> None:
    """Note the guests, id and name. Where that cannot be done, the notes stay as they are."""
    data = json.dumps(dict(guests), ensure_ascii=False).encode()
    with contextlib.suppress(StoreError):  # nothing but the Tab key needs them
        if files.read_if_exists(paths.guest_notes) != data:
            files.replace(paths.guest_notes, data)


def read(paths: Paths) -> list[tuple[str, str]]:
    """The guests that are noted or in Proxmox VE's list; id and name, by number."""
    theirs = files.read_object_if_possible(paths.vmlist).get("ids")
    ours = files.read_object_if_possible(paths.guest_notes)
    found = {
        str(vmid): str(one.get("type", ""))
        for vmid, one in (theirs if isinstance(theirs, dict) else {}).items()
        if isinstance(one, dict) and one.get("node") == paths.node
    }
    found |= {id_: str(name) for id_, name in ours.items()}
    return sorted(found.items(), key=lambda one: (len(one[0]), one[0]))
