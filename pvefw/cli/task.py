"""``pvefw task``: the history of tasks and their logs."""

import contextlib
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from pvefw.cli import candidates, watching
from pvefw.cli.framework import App, Group, ListOption, output_option, pass_app
from pvefw.cli.moments import Moment
from pvefw.cli.output import ago, duration, on_terminal, show_rows, show_value
from pvefw.cli.streams import say
from pvefw.cli.tasks import run_task
from pvefw.core import text
from pvefw.core.errors import PvefwError, UsageError

if TYPE_CHECKING:
    from pvefw.core.model import Task
    from pvefw.tasks.registry import TaskEntry

task = Group("task", help="The history of tasks and their logs.")

_STATES = ("ok", "warning", "error", "unknown", "running")
_PATIENCE = 30.0
"""Seconds."""
COLUMNS = ["upid", "type", "id", "user", "starttime", "endtime", "status"]


@task.command("list")
@click.option("--errors", is_flag=True, help="Only tasks that failed.")
@click.option("--vmid", type=int, help="Only tasks of this guest.")
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=50,
    show_default=True,
    help="Show at most this many tasks.",
)
@click.option("--start", type=click.IntRange(0), default=0, help="Skip this many tasks.")
@click.option(
    "--since",
    type=Moment(),
    metavar="TIME",
    help="Only tasks that started at or after this time: 2h, yesterday, 2026-11-25T14:00 or EPOCH.",
)
@click.option(
    "--until", type=Moment(), metavar="TIME", help="Only tasks that started at or before this time."
)
@click.option(
    "--source",
    type=click.Choice(["archive", "active", "all"]),
    default="archive",
    show_default=True,
    help="Ended tasks, recent and running ones, or all.",
)
@click.option("--typefilter", metavar="TYPE", help="Only tasks of this type.")
@click.option(
    "--statusfilter",
    cls=ListOption,
    metavar="STATUS,…",
    help="Of ok, error, warning, unknown, running.",
)
@click.option("--userfilter", metavar="TEXT", help="Only tasks of users with this in the name.")
@click.option("--grep", metavar="TEXT", help="Only tasks whose logs contain this text.")
@watching.watch_option
@output_option
@pass_app
def list_(
    app: App, /, statusfilter: str | None, limit: int, start: int, watch: int | None, **filters: Any
) -> None:
    """List tasks, latest first."""
    from pvefw.core.errors import StoreError
    from pvefw.tasks import history, registry

    with contextlib.suppress(StoreError):  # who may not write can read all the same
        registry.settle(app.paths)
    wanted = history.Filter(
        source=filters["source"],
        errors=filters["errors"],
        vmid=filters["vmid"],
        since=filters["since"],
        until=filters["until"],
        type=filters["typefilter"],
        states=_states(statusfilter),
        user=filters["userfilter"],
        text=filters["grep"],
    )

    def show() -> None:
        entries = history.tasks(app.paths, wanted, start=start, limit=limit, note=_note)
        if app.output_format != "text":
            show_rows(app, [history.as_dict(task_) for task_ in entries], [])
            return
        rows = [
            {**history.as_dict(task_), **_times(app, task_), "status": history.state(task_)}
            for task_ in entries
        ]
        show_rows(app, rows, COLUMNS)

    show() if watch is None else watching.repeat(watch, show)


def _states(listed: str | None) -> frozenset[str]:
    """Those of ``--statusfilter``.

    :raises UsageError: one is none.
    """
    from pvefw.store.section_config import split

    given = frozenset(map(str.lower, split(listed or "")))
    for word in sorted(given - {*_STATES}):
        raise UsageError(
            f"task list: --statusfilter: '{word}' is not a status",
            hint=f"They are {', '.join(_STATES)}.",
        )
    return given


def _note(text: str) -> None:
    say(text, err=True)


def _times(app: App, entry: "TaskEntry") -> dict[str, str]:
    """When a task began and ended; on a terminal how long ago, and how long it took."""
    if not app.printing.human_readable:
        return {}
    if not on_terminal(app):
        return {"starttime": _time(entry.upid.start), "endtime": _time(entry.end)}
    from pvefw.host.clock import SystemClock

    began = ago(SystemClock().now().timestamp() - entry.upid.start)
    took = "" if entry.end is None else f"after {duration(entry.end - entry.upid.start)}"
    return {"starttime": began, "endtime": took}


def _time(seconds: int | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


@task.command()
@click.argument("upid", shell_complete=candidates.upids)
@click.option("--start", type=click.IntRange(0), default=0, help="Skip this many lines.")
@click.option(
    "--limit", type=click.IntRange(0), default=0, help="Print at most this many lines; 0 for all."
)
@click.option("--follow", is_flag=True, help="Follow it until the task has ended.")
@output_option
@pass_app
def log(app: App, /, upid: str, start: int, limit: int, follow: bool) -> None:
    """Print a task's log."""
    from pvefw.tasks import control, history
    from pvefw.tasks.upid import Upid

    read = control.follow if follow else history.log
    lines = islice(read(app.paths, Upid.parse(upid), start=start), limit or None)
    if app.output_format != "text":
        show_rows(app, [{"n": n, "t": line} for n, line in enumerate(lines, start + 1)], [])
        return
    for line in lines:
        say(text.one_line(line))


@task.command()
@click.argument("upid", shell_complete=candidates.upids)
@pass_app
def stop(app: App, upid: str) -> None:
    """Ask a task to end, and wait half a minute for that; it cleans up first."""
    from pvefw.tasks import control, history
    from pvefw.tasks.upid import Upid

    entry = control.stop(app.paths, Upid.parse(upid), _PATIENCE)
    if history.state(entry) == "RUNNING":
        raise PvefwError(
            f"task stop: {upid}: the task is still cleaning up",
            hint=f"See how far it is: pvefw task log --follow {upid}",
        )
    say(f"The task has ended: {text.one_line(entry.status or history.state(entry).lower())}")


@task.command()
@click.argument("upid", shell_complete=candidates.upids)
@output_option
@pass_app
def status(app: App, upid: str) -> None:
    """Show whether a task runs, or how it ended."""
    from pvefw.tasks import history
    from pvefw.tasks.upid import Upid

    entry = history.status(app.paths, Upid.parse(upid))
    state = history.state(entry)
    ended = {} if state == "RUNNING" else {"exitstatus": entry.status or state.lower()}
    if explanation := history.explanation(entry):
        ended["explanation"] = explanation
    show_value(
        app,
        {
            **history.as_dict(entry),
            "status": "running" if state == "RUNNING" else "stopped",
            **ended,
        },
    )


@task.command("index")
@click.option("--rebuild", is_flag=True, help="Rebuild the index.")
@pass_app
def index_(app: App, rebuild: bool) -> None:
    """Bring the index of the history up to date."""
    from pvefw.tasks import archive

    count = archive.bring_up_to_date(app.paths, rebuild=rebuild)
    say(f"{count} ended tasks are in the index.")


@task.command()
@click.option("--dry-run", is_flag=True, help="Only print how many.")
@pass_app
def prune(app: App, dry_run: bool) -> None:
    """Remove the ended tasks that retention does not keep."""
    from pvefw.host.clock import SystemClock
    from pvefw.tasks import retention

    now = SystemClock().now()
    if dry_run:
        say(f"{retention.prune(app.paths, now, dry_run=True)} tasks would be removed.")
        return

    def work(running: "Task") -> None:
        running.log(f"{retention.prune(app.paths, now)} tasks removed.")

    run_task(app, retention.TYPE, work)
