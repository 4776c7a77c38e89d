"""Which boot of this host this is."""

from pathlib import Path

from pvefw.store import files
from pvefw.store.paths import Paths

_FILE = "/proc/sys/kernel/random/boot_id"


def id_(paths: Paths) -> str:
    """What tells one boot of this host from the next, random(4)."""
    data = files.read_if_exists(paths.below(_FILE)) or files.read(Path(_FILE))
    return data.decode().strip()
