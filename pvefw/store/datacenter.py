"""``/etc/pve/datacenter.cfg``: Proxmox VE's options for the whole cluster. It is only read."""

import re

from pvefw.store import oddities

_MAX_WORKERS = re.compile(rb"^[ \t]*max_workers:[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
_NUMBER = re.compile(rb"[0-9]{1,6}")


def max_workers(data: bytes, what: str) -> int | None:
    """How many guests may be worked on at once; ``None`` where that is not set.

    What else is in the file, and whether it makes sense, is not our business.

    :param data: the file.
    :param what: names it in warnings.
    """
    match = _MAX_WORKERS.search(data)
    if match is None:
        return None
    if _NUMBER.fullmatch(match[1]) and int(match[1]) > 0:
        return int(match[1])
    line = data.count(b"\n", 0, match.start(1)) + 1
    value = oddities.readable(oddities.decoded(match[1]))
    why = f"max_workers: '{value}' is not a whole number of at least 1"
    oddities.report(what, line, why, "it counts as not set")
    return None
