"""The boot loaders that are installed as plugins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from pvefw import instances
from pvefw.core import finding
from pvefw.core.binding import Bound
from pvefw.core.errors import ConfigError, NotFound, PvefwError
from pvefw.core.families import BOOTLOADER
from pvefw.core.hookspecs.boot import BootloaderSpec
from pvefw.core.model import BootState, Esp, Task
from pvefw.instances import Instance
from pvefw.store.node import Node
from pvefw.store.paths import Paths

Loader = Bound[BootloaderSpec]


@dataclass(frozen=True)
class Probed:
    """What lies on one ESP."""

    states: Mapping[str, BootState]
    """Each loader, and what it found of its own."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Loaders that could not say, and why, in the plugin's words."""


class Loaders:
    """Every boot loader that can be used. One that is broken does not keep the others from work."""

    def __init__(
        self,
        bound: Mapping[str, Loader],
        failures: Mapping[str, PvefwError],
        unused: Mapping[str, PvefwError] = MappingProxyType({}),
        problems: Sequence[str] = (),
    ) -> None:
        self.bound = bound
        self.failures = failures
        self.unused = unused
        """Those that are disabled here, and how to enable them."""
        self.problems = problems
        """What concerns all of them, a sentence each."""

    @classmethod
    def load(cls, paths: Paths) -> "Loaders":
        """Bind all that are installed, each with the settings that it is configured with."""
        bound: dict[str, Loader] = {}
        failures: dict[str, PvefwError] = {}
        unused: dict[str, PvefwError] = {}
        node, configured, problems = _configured(paths)
        for name in dict.fromkeys(info.name for info in finding.installed(BOOTLOADER)):
            instance = configured.get(name) or Instance(BOOTLOADER.name, name, name)
            try:
                instances.check_used(node, instance)
            except ConfigError as error:
                unused[name] = error
                continue
            try:
                bound[name] = instances.bind(node, instance)
            except PvefwError as error:
                failures[name] = error
        return cls(bound, failures, unused, problems)

    def get(self, name: str) -> Loader:
        """One loader.

        :raises PluginError: it is not installed, or broken.
        """
        if name in self.bound:
            return self.bound[name]
        for errors in (self.failures, self.unused):
            if name in errors:
                raise errors[name]
        finding.find(BOOTLOADER, name)  # says what there is
        raise NotFound(f"boot loader {name}: it is not loaded")

    def warn(self, task: Task) -> None:
        """Tell of the broken ones."""
        for error in self.failures.values():
            task.warn(f"a boot loader cannot be used: {error.message}")
        for problem in self.problems:
            task.warn(problem)

    def probe(self, esp: Esp) -> Probed:
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
        return Probed(states, failures)


def _configured(paths: Paths) -> tuple[Node, dict[str, Instance], list[str]]:
    """The node, what is configured, by loader, and why that cannot be known.

    A damaged file must not keep a host from booting its new kernel: the loaders' defaults are used then.
    """
    try:
        node = Node.open(paths)
        return (
            node,
            {instance.id: instance for instance in instances.load_all(node, BOOTLOADER.name)},
            [],
        )
    except PvefwError as error:
        why = f"the settings of the boot loaders cannot be read: {error.message}"
        return Node.unread(paths), {}, [why]
