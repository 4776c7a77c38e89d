"""What the commands of ``pvefw boot`` share: the machine they work on, and the refresh of its ESPs."""

from typing import TYPE_CHECKING

from pvefw.cli.framework import App
from pvefw.cli.streams import say
from pvefw.cli.tasks import run_task
from pvefw.core import text

if TYPE_CHECKING:
    from pvefw.boot.context import Context
    from pvefw.boot.machine import Machine
    from pvefw.core.model import Task


def machine(app: App) -> "Machine":
    """The disks that commands work on."""
    from pvefw.boot.machine import Host

    return Host(app.paths)


def context(app: App, task: "Task") -> "Context":
    """What a use case of ``boot`` needs."""
    from pvefw.boot.context import Context
    from pvefw.boot.loaders import Loaders

    return Context(app.paths, machine(app), Loaders.load(app.paths), task)


class Silent:
    """Stands in for a task where nothing is changed."""

    cancelled = False

    def log(self, message: str) -> None:
        """Not shown."""

    def warn(self, message: str) -> None:
        """Shown."""
        say(text.one_line(f"WARN: {message}"), err=True)

    def secret(self, value: str) -> None:
        """The guard of the plugin masks it."""

    def wait(self, seconds: float) -> None:
        """Never needed."""
        raise AssertionError(f"nothing here waits {seconds} s")


def refresh_esps(app: App, installing: str = "", *, take_over: bool = False) -> None:
    """Bring every ESP up to date, as a task.

    :param installing: the version whose package is being installed, or empty.
    :param take_over: whether what another tool has left, and what was chosen in the firmware, gives way.
    """
    from pvefw.boot import refresh as refreshing

    def work(task: "Task") -> None:
        refreshing.refresh(context(app, task), installing=installing, take_over=take_over)

    run_task(app, "bootrefresh", work)
