"""``pvefw task``: the history of tasks and their logs."""

from datetime import UTC, datetime
from typing import Any

import click

from pvefw.cli.framework import App, Group, output_option, pass_app
from pvefw.cli.output import show_rows, show_value

task = Group("task", help="The history of tasks and their logs.")

COLUMNS = ["upid", "type", "id", "user", "starttime", "endtime", "status"]


@task.command("list")
@click.option("--errors", is_flag=True, help="Only tasks that did not end well.")
@click.option("--vmid", type=int, help="Only tasks of this guest.")
@click.option("--limit", type=click.IntRange(0), default=50, show_default=True, help="At most.")
@click.option("--start", type=click.IntRange(0), default=0, help="Leave out so many.")
@click.option("--since", type=int, metavar="EPOCH", help="Only tasks that started since.")
@click.option("--until", type=int, metavar="EPOCH", help="Only tasks that started until.")
@click.option(
    "--source",
    type=click.Choice(["archive", "active", "all"]),
    default="archive",
    show_default=True,
    help="Ended tasks, recent and running ones, or all.",
)
@click.option("--typefilter", metavar="TYPE", help="Only tasks of this type.")
@click.option("--statusfilter", metavar="STATUS,…", help="Of ok, error, warning, unknown, running.")
@click.option("--userfilter", metavar="TEXT", help="Only tasks of users with this in the name.")
@output_option
@pass_app
def list_(app: App, /, statusfilter: str | None, limit: int, start: int, **filters: Any) -> None:
    """List tasks, latest first."""
    from pvefw.tasks import history

    wanted = history.Filter(
        source=filters["source"],
        errors=filters["errors"],
        vmid=filters["vmid"],
        since=filters["since"],
        until=filters["until"],
        type=filters["typefilter"],
        states=frozenset(one.strip().lower() for one in (statusfilter or "").split(",") if one),
        user=filters["userfilter"],
    )
    found = history.tasks(app.paths, wanted, start=start, limit=limit)
    if app.output_format != "text":
        show_rows(app, [history.as_dict(one) for one in found], [])
        return
    rows = [
        {
            **history.as_dict(one),
            "starttime": _time(one.upid.start),
            "endtime": _time(one.end),
            "status": history.state(one),
        }
        for one in found
    ]
    show_rows(app, rows, COLUMNS)


def _time(seconds: int | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


@task.command()
@click.argument("upid")
@click.option("--start", type=click.IntRange(0), default=0, help="Leave out so many lines.")
@pass_app
def log(app: App, upid: str, start: int) -> None:
    """Print a task's log."""
    from pvefw.tasks import history
    from pvefw.tasks.upid import Upid

    for line in history.log(app.paths, Upid.parse(upid), start=start):
        click.echo(line)


@task.command()
@click.argument("upid")
@output_option
@pass_app
def status(app: App, upid: str) -> None:
    """Show whether a task runs, or how it ended."""
    from pvefw.tasks import history
    from pvefw.tasks.upid import Upid

    found = history.status(app.paths, Upid.parse(upid))
    state = history.state(found)
    ended = {} if state == "RUNNING" else {"exitstatus": found.status or state.lower()}
    show_value(
        app,
        {
            **history.as_dict(found),
            "status": "running" if state == "RUNNING" else "stopped",
            **ended,
        },
    )
