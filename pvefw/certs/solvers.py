"""Who answers the challenges of an order: each name's configured plugin instance, bound."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pvefw import plugins
from pvefw.dns.solver import DnsSolver
from pvefw.errors import ConfigError, NotFound
from pvefw.hookspecs.challenge import CHALLENGE
from pvefw.model import Challenge, Task
from pvefw.store import plugin_config
from pvefw.store.domains import DomainEntry
from pvefw.store.paths import Paths
from pvefw.store.plugin_config import PluginInstance


class Solver(Protocol):
    """What the order flow needs of whoever answers: the challenge family's hooks."""

    def challenge_types(self) -> Sequence[str]: ...

    def challenge_present(self, *, challenges: Sequence[Challenge], task: Task) -> None: ...

    def challenge_cleanup(self, *, challenges: Sequence[Challenge], task: Task) -> None: ...
