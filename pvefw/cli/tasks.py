"""Runs a command's work as a task, its log on the terminal as it grows."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from pvefw.cli.framework import App
from pvefw.cli.streams import leave_standard_output
from pvefw.core.errors import PvefwError
from pvefw.host.clock import SystemClock

if TYPE_CHECKING:
    from pvefw.core.model import Task

_SILENCE = 1.0
"""Seconds without a line after which the terminal shows that something is waited for."""
_CLEAR_LINE = "\r\x1b[K"


def run_task(
    app: App,
    type_: str,
    work: "Callable[[Task], object]",
    id_: str = "",
    *,
    quiet: bool = False,
    refusable: bool = False,
) -> None:
    """Run the work; the terminal shows its log, then how it ended. With ``--detach`` it shows the id.

    :param quiet: show nothing: standard output is for a result.
    :param refusable: forget the task where the command was mistyped, as nothing has begun then.
    """
    from pvefw.tasks.task import run_task as running

    if app.caller is not None:
        app.caller.run(type_, work, id_)
        return
    program, app.error_prefix = app.error_prefix, "Task ERROR"
    echoing = contextlib.nullcontext() if app.detach or quiet else _echo()
    refusable = refusable and not app.detach  # who has been given its id may ask for it
    task = None
    try:
        with (
            echoing as echo,
            running(app.paths, type_, id_, echo=echo, refusable=refusable) as task,
        ):
            if app.detach:
                from pvefw.cli import detached

                detached.leave(task.upid)
            work(task)
    except PvefwError:
        if task and task.refused:
            app.error_prefix = program
        raise
    if not quiet:
        _say(f"Task WARNINGS: {task.warnings}" if task.warnings else "Task OK")


def _say(line: str, *, nl: bool = True) -> None:
    """Print a line. Where nobody can have it any more, the work goes on: the log has it all."""
    try:
        click.echo(line, nl=nl)
    except (OSError, ValueError):  # the reader has left, the disk is full, a plugin has closed it
        leave_standard_output()


def _echo() -> contextlib.AbstractContextManager[Callable[[str], None]]:
    if sys.stdout.isatty():
        return _lively()
    return contextlib.nullcontext(_say)


@contextlib.contextmanager
def _lively() -> Iterator[Callable[[str], None]]:
    """Echo for people: while no line comes, a last one that counts the seconds and leaves no trace."""
    done, lock, clock = threading.Event(), threading.RLock(), SystemClock()
    last = clock.monotonic()

    def echo(line: str) -> None:
        nonlocal last
        with lock:
            _say(_CLEAR_LINE + line)
            last = clock.monotonic()

    def count() -> None:
        while not clock.wait(done, _SILENCE):
            with lock:
                silent = clock.monotonic() - last
                if silent >= _SILENCE and not done.is_set():
                    _say(f"{_CLEAR_LINE}… {silent:.0f} s", nl=False)

    counter = threading.Thread(target=count, daemon=True)
    counter.start()
    try:
        yield echo
    finally:
        done.set()
        counter.join()
        _say(_CLEAR_LINE, nl=False)
