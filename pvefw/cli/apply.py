"""``pvefw apply``: make this node what a document says, or write its state as one."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pvefw.cli import boot_context, placement
from pvefw.cli.framework import App, Command, output_option, pass_app
from pvefw.cli.output import show_data
from pvefw.cli.streams import say
from pvefw.cli.tasks import run_task
from pvefw.core.errors import PvefwError, UsageError

if TYPE_CHECKING:
    from pvefw.core.model import Task
    from pvefw.wanted.apply import Outcome
    from pvefw.wanted.kind import Change, Context

DIFFERS = 1
_DOCUMENT = click.Path(path_type=Path, allow_dash=True, exists=True, dir_okay=False)


@click.command(cls=Command)
@click.argument("file", required=False, type=_DOCUMENT)
@click.option(
    "--check", is_flag=True, help="Only list the changes; exit status 1 if there are any."
)
@click.option("--diff", is_flag=True, help="Show the changes as differences of the document.")
@click.option("--prune", is_flag=True, help="Remove what the document does not name.")
@click.option("--export", is_flag=True, help="Print the state of this node as a document.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of the document.")
@output_option
@pass_app
def apply(
    app: App, /, file: Path | None, check: bool, diff: bool, prune: bool, export: bool, schema: bool
) -> int:
    """Make this node match FILE: a YAML document, `-` for standard input.

    Every change is listed before the first is made. What the document does not name stays as it is,
    unless --prune is given; that removes only things of the kinds that the document has.
    """
    if (file is not None) + export + schema != 1:
        raise UsageError(
            "apply: give either FILE, --export or --schema",
            hint="For example: pvefw apply --check FILE, or pvefw apply --export",
        )
    if schema:
        return _show_schema(app)
    if export:
        return _export(app)
    return _apply(app, str(file), check=check, diff=diff, prune=prune)


def _context(app: App, task: "Task") -> "Context":
    from pvefw.wanted.kind import Context

    return Context(app.paths, task, lambda: boot_context.machine(app))


def _is_here(app: App) -> bool:
    here = placement.this_machine(app.paths)
    return not here or here == app.paths.node


def _show_schema(app: App) -> int:
    from pvefw.wanted import document

    app.output_format = "json-pretty" if app.output_format == "text" else app.output_format
    show_data(app, document.schema())
    return 0


def _export(app: App) -> int:
    from pvefw.wanted import changes, document

    context = _context(app, boot_context.Silent())
    state = changes.export(context, here=_is_here(app))
    for reason in context.left_out:
        say(f"WARN: left out: {reason}", err=True)
    if app.output_format == "text":
        say(document.text(state), nl=False)
    else:
        show_data(app, state)
    return 0


def _apply(app: App, file: str, *, check: bool, diff: bool, prune: bool) -> int:
    from pvefw.wanted import apply as applying
    from pvefw.wanted import changes, document

    context = _context(app, boot_context.Silent())
    with _unlike_a_difference():
        wanted = document.read(_data(file), "standard input" if file == "-" else file)

        def compare() -> "Sequence[Change]":
            return changes.compare(context, wanted, prune=prune, here=_is_here(app))

        differences = compare()
        applying.rehearse(context, differences)
    outcome, lines = applying.Outcome(differences), list(_listed(differences, diff=diff))
    if check or not differences:
        for line in lines if app.output_format == "text" else ():
            say(line)
        return _end(app, outcome, check=check)
    _carry_out(app, outcome, lines, compare)
    return 0


@contextlib.contextmanager
def _unlike_a_difference() -> Iterator[None]:
    """Let what cannot be compared end with another exit status than what differs.

    :raises PvefwError: as the body does.
    """
    try:
        yield
    except PvefwError as error:
        error.exit_status = UsageError.exit_status
        raise


def _data(file: str) -> bytes:
    from pvefw.store import files

    return sys.stdin.buffer.read() if file == "-" else files.read_given(Path(file))


def _listed(differences: "Sequence[Change]", *, diff: bool) -> Iterator[str]:
    from pvefw.wanted import changes

    for change in differences:
        yield from changes.differences(change) if diff else changes.listed(change)


def _carry_out(
    app: App, outcome: "Outcome", lines: Sequence[str], again: "Callable[[], Sequence[Change]]"
) -> None:
    """Make the changes, unless others were made meanwhile.

    :param again: compares once more.
    """
    from pvefw.wanted import apply as applying

    def work(task: "Task") -> None:
        try:
            with applying.alone(app.paths):
                if again() != outcome.changes:
                    raise PvefwError(
                        f"apply: node {app.paths.node} has changed since the changes were listed",
                        hint="Nothing was changed. Run it again.",
                    )
                applying.carry_out(_context(app, task), outcome, lines)
        finally:
            _end(app, outcome, check=False)

    run_task(app, "apply", work, quiet=app.output_format != "text")


def _end(app: App, outcome: "Outcome", *, check: bool) -> int:
    """Say how it went; the exit status."""
    if app.output_format != "text":
        shown: dict[str, Any] = {
            "changed": bool(outcome.changes) if check else bool(outcome.done),
            "check": check,
            "changes": outcome.as_dict(),
        }
        show_data(app, shown)
    elif not outcome.changes:
        say("Nothing to change.")
    elif check:
        say(f"{_count(outcome.changes)} would be made; nothing was changed.")
    else:
        say(f"{_count(outcome.done)} made.")
    return DIFFERS if check and outcome.changes else 0


def _count(changes: Sequence[object]) -> str:
    return f"{len(changes)} change{'' if len(changes) == 1 else 's'}"
