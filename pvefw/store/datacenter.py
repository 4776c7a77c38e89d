"""``/etc/pve/datacenter.cfg``: Proxmox VE's options for the whole cluster.

It has the form of a node's configuration: ``key: value`` lines under a description.
"""

import re
from collections.abc import Mapping, Sequence

from pvefw.core.errors import UsageError
from pvefw.store import files, locks, oddities
from pvefw.store.node_config import NodeConfig
from pvefw.store.paths import Paths

DESCRIPTION = "description"
_LOCK = "file-datacenter_cfg"
"""The lock that Proxmox VE's own tools take."""

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


def load(paths: Paths) -> dict[str, str]:
    """Every option that is set, and ``description`` where there is one.

    :raises ConfigError: the file is damaged.
    """
    config = _read(paths)
    return dict(config.values) | ({DESCRIPTION: config.description} if config.description else {})


def change(paths: Paths, values: Mapping[str, str], delete: Sequence[str] = ()) -> None:
    """Set and delete options; whoever calls has checked the values. What is not set may be deleted.

    :raises UsageError: a value is not one line: the next would be another option.
    :raises ConfigError: the file is damaged.
    :raises Locked: another process or node is changing it.
    """
    for key, value in values.items():
        if key != DESCRIPTION and (not value.strip() or len(value.splitlines()) > 1):
            raise UsageError(f"{paths.datacenter_cfg.name}: {key}: it must be one line of text")
    with locks.cluster_lock(paths, _LOCK):
        config = _read(paths)
        options: dict[str, str | None] = {**dict.fromkeys(delete), **values}
        described = DESCRIPTION in options
        description = options.pop(DESCRIPTION, None) or ""
        changed = config.changed(options)
        if described:
            changed = changed.described(description)
        if changed != config:
            files.replace(paths.datacenter_cfg, changed.render())


def _read(paths: Paths) -> NodeConfig:
    path = paths.datacenter_cfg
    return NodeConfig.parse(files.read_if_exists(path) or b"", str(path))
