"""What the options that every command accepts have decided: commands get it first.

Nothing is imported here but click: ``--help`` must be quick.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import click

from pvefw.cli.streams import say

if TYPE_CHECKING:
    from pvefw.core.model import Task
    from pvefw.store.paths import Paths


@dataclass
class Printing:
    """How results are printed as text, where a caller wants that otherwise."""

    borders: bool = True
    """Borders on a terminal."""
    header: bool = True
    """The names of the columns."""
    quiet: bool = False
    """Nothing at all."""
    human_readable: bool = True
    """Times as dates and booleans as words, rather than as numbers."""


class Caller(Protocol):
    """A program that calls a command, in place of a terminal."""

    def show(self, value: Any) -> None:
        """Take what the command would print as JSON."""

    def run(self, type_: str, work: "Callable[[Task], object]", id_: str) -> None:
        """Take the task that the command would run."""


class App:
    """What the options that every command accepts have decided; commands get it first."""

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        self.arguments = arguments
        """The command line."""
        self.root = os.environ.get("PVEFW_ROOT") or "/"
        self.node = os.environ.get("PVEFW_NODE", "")
        self.debug = False
        self.trace_plugins = os.environ.get("PVEFW_TRACE_PLUGINS", "") not in {"", "0"}
        self.detach = False
        self.output_format = "text"
        self.error_prefix = "pvefw"
        """What an error message begins with; a command that runs a task changes it."""
        self.known_guests_only = False
        """Whether numbers in ``--vms`` that are no guest's are left out, as Proxmox VE does."""
        self.heard = set[str]()
        """The warnings of odd files that were shown already."""
        self.printing = Printing()
        self.piped_answers = False
        """Whether questions are asked without a terminal, too, and answered through a pipe."""
        self.caller: Caller | None = None
        """Who gets what the command would show or run, where a program calls it."""

    def warn(self, message: str) -> None:
        """Tell of what does not keep the command from its work."""
        say(f"{self.error_prefix}: warning: {message}", err=True)

    @cached_property
    def paths(self) -> "Paths":
        """The tree and the node that the command works on.

        :raises UsageError: there is no such tree. None is begun: the name may be mistyped.
        """
        from pathlib import Path

        from pvefw.core.errors import UsageError
        from pvefw.store.paths import Paths

        root = Path(self.root).absolute()
        if not root.is_dir():
            raise UsageError(
                f"--root: {root}: there is no such directory",
                hint="To start a new tree, create it first: mkdir DIR",
            )
        node = self.node or os.uname().nodename.partition(".")[0]
        return Paths(root, node)


pass_app = click.make_pass_decorator(App, ensure=True)
