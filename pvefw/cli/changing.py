"""Commands that change files of the configuration: they say whether something changed, or would."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import click

from pvefw.cli.framework import App, output_option
from pvefw.cli.output import show_value
from pvefw.cli.streams import say


def changing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--dry-run``, and ``--output-format`` for whether it changed something.

    As text, it says what a script would not expect: that nothing changed, or would change. Its first
    argument is the :class:`App`. What it returns is part of the JSON: ``changed`` where more than files
    decides.
    """

    @click.option("--dry-run", is_flag=True, help="Only say whether something would change.")
    @output_option
    @functools.wraps(function)
    def watched(app: App, /, *arguments: Any, dry_run: bool, **options: Any) -> None:
        from pvefw.store import rehearsal

        with rehearsal.watching(dry=dry_run) as watch:
            more = function(app, *arguments, **options)
        _report(app, {"changed": bool(watch.changed), "dry-run": dry_run, **(more or {})})

    return watched


@contextlib.contextmanager
def removing() -> Iterator[None]:
    """Tell nobody who removes something that does not exist how it could be added.

    :raises NotFound: as the body does.
    """
    from pvefw.core.errors import NotFound

    try:
        yield
    except NotFound as error:
        error.hint = error.hint.partition(" Add it")[0]
        raise


def remark(app: App, line: str) -> None:
    """Say what follows from a change, to people, if it was made."""
    from pvefw.store import rehearsal

    if app.output_format == "text" and not rehearsal.is_dry():
        say(line)


def _report(app: App, outcome: dict[str, Any]) -> None:
    if app.caller is not None:
        return  # Proxmox VE's API answers nothing here
    if app.output_format != "text":
        show_value(app, outcome)
    elif not outcome["changed"]:
        say("unchanged", err=True)
    elif outcome["dry-run"]:
        say("would change", err=True)
