"""``/etc/pve/datacenter.cfg``: what Proxmox VE's cluster-wide options mean for us. It is only read."""

from pvefw.errors import ConfigError
from pvefw.store import files
from pvefw.store.node_config import NodeConfig
from pvefw.store.paths import Paths


def max_workers(paths: Paths) -> int | None:
    """How many guests may be worked on at once; ``None`` where that is not set.

    :raises ConfigError: it is not a whole number of at least 1, or the file is damaged.
    """
    path = paths.datacenter_cfg
    config = NodeConfig.parse(files.read_if_exists(path) or b"", str(path))
    value = config.values.get("max_workers")
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal()) or int(value) < 1:
        raise ConfigError(
            f"{path}: max_workers: '{value}' is not a number of guests", hint="It is at least 1."
        )
    return int(value)
