"""``pvefw ksm``: kernel samepage merging."""

from typing import TYPE_CHECKING, Any

import click

from pvefw.cli.framework import App, Group, output_option, pass_app
from pvefw.cli.output import show_value
from pvefw.cli.streams import say
from pvefw.cli.tasks import run_task

if TYPE_CHECKING:
    from pvefw.core.model import Task

ksm = Group("ksm", help="Kernel samepage merging: equal pages of guests, kept once.")


@ksm.command()
@output_option
@pass_app
def status(app: App) -> None:
    """Show whether the kernel merges pages, what that saves, and the services that control it."""
    from pvefw.node import ksm as merging

    state = merging.status(app.paths)
    if app.output_format != "text":
        show_value(app, state)
        return
    show_value(app, _readable(state))
    say(f"Note: {merging.NOTE}")


def _readable(state: dict[str, Any]) -> dict[str, object]:
    from pvefw.node.ksm import mebibytes

    services = {
        name: f"{service['active']}, {service['enabled']}"
        for name, service in state["services"].items()
    }
    sizes = {
        key: "" if state[key] is None else f"{mebibytes(state[key])} MiB"
        for key in ("saved", "profit")
    }
    return {**state, **sizes, "services": services or "none is installed"}


@ksm.command()
@click.option("--unmerge", is_flag=True, help="Also undo what is merged; this needs free memory.")
@pass_app
def disable(app: App, unmerge: bool) -> None:
    """Turn merging off, persistently."""
    from pvefw.node import ksm as merging

    run_task(app, "ksmdisable", lambda task: merging.disable(app.paths, task, unmerge=unmerge))


@ksm.command()
@pass_app
def enable(app: App) -> None:
    """Turn merging on: through the service if there is one, else until the next boot."""
    from pvefw.node import ksm as merging

    def work(task: "Task") -> None:
        merging.enable(app.paths, task)
        task.log(f"Note: {merging.NOTE}")

    run_task(app, "ksmenable", work)


@ksm.command()
@pass_app
def unmerge(app: App) -> None:
    """Undo all merging, and turn it off."""
    from pvefw.node import ksm as merging

    run_task(app, "ksmunmerge", lambda task: merging.unmerge(app.paths, task))
