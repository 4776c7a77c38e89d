"""Runs a command's work as a task, its log on the terminal as it grows."""

from collections.abc import Callable

import click

from pvefw.cli.framework import App
from pvefw.model import Task


def run_task(app: App, type_: str, work: Callable[[Task], object], id_: str = "") -> None:
    """Run the work; the terminal shows its log, then how it ended."""
    from pvefw.tasks.task import run_task as running

    app.error_prefix = "Task ERROR"
    with running(app.paths, type_, id_, echo=click.echo) as task:
        work(task)
    click.echo(f"Task WARNINGS: {task.warnings}" if task.warnings else "Task OK")
