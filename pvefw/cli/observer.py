"""``pvefw observer``: who is told of new certificates, failures and the like."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from pvefw.cli import candidates
from pvefw.cli.framework import App, Group, output_option, pass_app
from pvefw.cli.output import show_rows, show_value
from pvefw.cli.tasks import run_task

observer = Group("observer", help="Who is told of new certificates, failed renewals and the like.")

_data = click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File with the settings, a KEY=VALUE a line.",
)


def _read(data: Path | None) -> dict[str, str]:
    from pvefw.certs import instances

    return instances.read_data(data) if data else {}


@observer.command()
@click.argument("id_", metavar="ID")
@click.option("--api", required=True, metavar="NAME", help="The plugin's name: exec, mail.")
@_data
@click.option("--disable", is_flag=True, help="Do not use it yet.")
@pass_app
def add(app: App, id_: str, api: str, data: Path | None, disable: bool) -> None:
    """Add an observer named ID."""
    from pvefw.core.hookspecs.observer import OBSERVER
    from pvefw.store import instances

    instances.add(app.paths, OBSERVER, instances.Instance(id_, api, _read(data), disable))


@observer.command("set")
@click.argument("id_", metavar="ID", shell_complete=candidates.observers)
@click.option("--api", metavar="NAME", help="The plugin's name.")
@_data
@click.option("--disable/--no-disable", default=None, help="Whether to leave it unused.")
@pass_app
def set_(app: App, /, id_: str, data: Path | None, **options: Any) -> None:
    """Change an observer."""
    from pvefw.core.hookspecs.observer import OBSERVER
    from pvefw.store import instances

    changes = {key: value for key, value in options.items() if value is not None}
    if data:
        changes["data"] = _read(data)
    instances.change(app.paths, OBSERVER, id_, lambda one: replace(one, **changes))


@observer.command()
@click.argument("id_", metavar="ID", shell_complete=candidates.observers)
@output_option
@pass_app
def config(app: App, id_: str) -> None:
    """Show an observer's configuration."""
    from pvefw.core.hookspecs.observer import OBSERVER
    from pvefw.store import instances

    found = instances.load(app.paths, OBSERVER, id_)
    show_value(app, instances.describe(OBSERVER, found))


@observer.command("list")
@output_option
@pass_app
def list_(app: App) -> None:
    """List the observers."""
    from pvefw.core.hookspecs.observer import OBSERVER
    from pvefw.store import instances

    rows = [instances.describe(OBSERVER, one) for one in instances.load_all(app.paths, OBSERVER)]
    show_rows(app, rows, ["id", "api", "disable"])


@observer.command()
@click.argument("id_", metavar="ID", shell_complete=candidates.observers)
@pass_app
def remove(app: App, id_: str) -> None:
    """Remove an observer."""
    from pvefw.core.hookspecs.observer import OBSERVER
    from pvefw.store import instances

    instances.remove(app.paths, OBSERVER, id_)


@observer.command()
@click.argument("id_", metavar="ID", shell_complete=candidates.observers)
@pass_app
def test(app: App, id_: str) -> None:
    """Tell an observer of a failed renewal that never was, to see that it arrives."""
    from pvefw.certs import alarm

    run_task(app, "observertest", lambda task: alarm.test(app.paths, id_, task), id_)
