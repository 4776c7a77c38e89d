"""What every piece of work on ESPs needs: this host's files, its disks, its boot loaders, and a task."""

from collections.abc import Callable
from dataclasses import dataclass, field

from pvefw.boot.esp_files import EspFiles
from pvefw.boot.loaders import Loaders
from pvefw.boot.machine import Machine
from pvefw.core.model import Task
from pvefw.store.paths import Paths

LOCK = "boot"
WAIT = 1800.0
"""Seconds that a refresh waits for another one: of a hook, or of an administrator."""
MakeFiles = Callable[..., EspFiles]


@dataclass
class Context:
    """What a refresh works with."""

    paths: Paths
    machine: Machine
    loaders: Loaders
    task: Task
    files: MakeFiles = EspFiles
    unfit: set[str] = field(default_factory=set)
    """Loaders whose new files did not pass their probe on one ESP: the other ESPs keep the old ones."""
