"""``/etc/pve/datacenter.cfg``: Proxmox VE's options for the whole cluster. It is only read."""

import re

from pvefw.core.errors import ConfigError
from pvefw.store import files
from pvefw.store.paths import Paths

_MAX_WORKERS = re.compile(rb"^max_workers:[ \t]*(.*?)[ \t]*$", re.MULTILINE)


def max_workers(paths: Paths) -> int | None:
    """How many guests may be worked on at once; ``None`` where that is not set.

    What else is in the file, and whether it makes sense, is not our business.

    :raises ConfigError: it is not a whole number of at least 1.
    """
    path = paths.datacenter_cfg
    match = _MAX_WORKERS.search(files.read_if_exists(path) or b"")
    if match is None:
        return None
    value = match[1].decode(errors="replace")
    if not (value.isascii() and value.isdecimal()) or int(value) < 1:
        raise ConfigError(
            f"{path}: max_workers: '{value}' is not a number of guests", hint="It is at least 1."
        )
    return int(value)
