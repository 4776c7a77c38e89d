"""The boot loaders that are installed as plugins."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pvefw.core import plugins
from pvefw.core.errors import NotFound, PvefwError
from pvefw.core.hookspecs.boot import BOOTLOADER, BootloaderSpec
from pvefw.core.model import BootState, Esp, Task
from pvefw.core.plugins import Bound

Loader = Bound[BootloaderSpec]


@dataclass(frozen=True)
class Found:
    """What lies on one ESP."""

    states: Mapping[str, BootState]
    """Loader to what it found of itself."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Loaders that could not say, and why, in the plugin's words."""


class Loaders:
    """Every boot loader that can be used. One that is broken does not keep the others from work."""

    def __init__(self, bound: Mapping[str, Loader], failures: Mapping[str, PvefwError]) -> None:
        self.bound = bound
        self.failures = failures

    @classmethod
    def load(cls) -> "Loaders":
        """Bind all that are installed."""
        bound: dict[str, Loader] = {}
        failures: dict[str, PvefwError] = {}
        for name in dict.fromkeys(one.name for one in plugins.installed(BOOTLOADER)):
            try:
                bound[name] = plugins.bind(BOOTLOADER, name, {})
            except PvefwError as error:
                failures[name] = error
        return cls(bound, failures)

    def get(self, name: str) -> Loader:
        """One loader.

        :raises PluginError: it is not installed, or broken.
        """
        if name in self.bound:
            return self.bound[name]
        if name in self.failures:
            raise self.failures[name]
        plugins.find(BOOTLOADER, name)  # says what there is
        raise NotFound(f"boot loader {name}: it is not loaded")

    def warn(self, task: Task) -> None:
        """Tell of the broken ones."""
        for error in self.failures.values():
            task.warn(f"a boot loader cannot be used: {error.message}")

    def probe(self, esp: Esp) -> Found:
        """Ask every loader whether it is on this ESP."""
        states: dict[str, BootState] = {}
        failures: dict[str, str] = {}
        for name, loader in self.bound.items():
            try:
                state = loader.hooks.boot_probe(esp=esp)
            except PvefwError as error:
                failures[name] = error.message
            else:
                if state is not None:
                    states[name] = state
        return Found(states, failures)
