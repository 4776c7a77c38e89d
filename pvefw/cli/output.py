"""How results are printed: tables for people, JSON and YAML for programs."""

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from pvefw.cli.framework import App, Printing
from pvefw.core import text as texts

_NOT_ASCII = r"[^\n\x20-\x7e]"
"""What JSON may hold as it is, and a terminal may obey; as an escape it means the same."""


def show_rows(app: App, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print a list: as a table of these columns, or whole as JSON or YAML."""
    if app.printing.quiet:
        return
    if app.output_format == "text":
        words = _words(app.printing)
        cells = [[_cell(row.get(column), words) for column in columns] for row in rows]
        _table(cells, columns, app.printing)
    else:
        show_data(app, list(rows))


def show_value(app: App, value: Mapping[str, Any]) -> None:
    """Print one thing: as a table of keys and values, or as JSON or YAML."""
    if app.printing.quiet:
        return
    if app.output_format == "text":
        words = _words(app.printing)
        cells = [[key, _cell(text, words)] for key, text in value.items()]
        _table(cells, ["key", "value"], app.printing)
    else:
        show_data(app, value)


def show_data(app: App, value: Any) -> None:
    """Print a value as JSON or YAML, or hand it to the program that called the command."""
    if app.caller is not None:
        app.caller.show(value)
    elif app.output_format == "yaml":
        import yaml

        shown = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
        if not all(map(str.isprintable, shown.split("\n"))):
            shown = yaml.safe_dump(value, sort_keys=False)  # as escapes
        click.echo(shown, nl=False)
    else:
        import json

        indent = 2 if app.output_format == "json-pretty" else None
        shown = json.dumps(value, indent=indent, ensure_ascii=False)
        click.echo(re.sub(_NOT_ASCII, _escaped, shown))


def _escaped(match: re.Match[str]) -> str:
    """A character as JSON has it: as it is where it can be seen."""
    import json

    return match[0] if match[0].isprintable() else json.dumps(match[0])[1:-1]


def _words(printing: Printing) -> Sequence[str]:
    """What false and true are called."""
    return ("no", "yes") if printing.human_readable else ("0", "1")


def _cell(value: Any, words: Sequence[str]) -> str:
    match value:
        case None:
            return ""
        case bool():
            return words[value]
        case str():
            return value
        case Mapping():
            cells = ((key, _cell(text, words).replace("\n", ", ")) for key, text in value.items())
            return "\n".join(f"{key}={cell}" for key, cell in cells)
        case Sequence():
            return "\n".join(_cell(item, words) for item in value)
    return str(value)


def _clean(text: str) -> str:
    """Without control characters: names come from elsewhere, and a terminal obeys them."""
    return texts.lines(text)


def _width(text: str) -> int:
    """The columns that a text takes on a terminal; East Asian characters take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _table(rows: Sequence[Sequence[str]], columns: Sequence[str], printing: Printing) -> None:
    """Borders on a terminal; when piped, plain aligned columns that line tools can cut."""
    cleaned = [[_clean(cell) for cell in row] for row in rows]
    if sys.stdout.isatty() and printing.borders:
        _bordered(cleaned, columns, header=printing.header)
    else:
        _plain([columns, *cleaned] if printing.header else cleaned)


# --- on a terminal --------------------------------------------------------------------------------

_WHOLE = ("upid", "fingerprint")
"""Columns whose values are copied, so that no line may end within one of them."""
_STATES = ("state", "status")
_COLOURS = {
    "green": {"ok", "active", "enabled", "valid"},
    "yellow": {"warning", "warnings", "attention", "paused", "drift", "disabled"},
    "red": {"error", "failed", "broken", "missing", "unknown", "unexpected", "expired"},
    "cyan": {"running"},
}
"""By the first word, in lower case."""
_NARROW = 12
"""A column is not made narrower than this, if it is wider at all."""


_SYMBOLS = {"green": "✔", "yellow": "!", "red": "✘", "cyan": "▶", "": "·"}
"""Before a state, by its colour, for those who do not see colours."""


def on_terminal(app: App) -> bool:
    """Whether a list is shown to a person: as a table with borders."""
    return app.output_format == "text" and app.printing.borders and sys.stdout.isatty()


def ago(seconds: float) -> str:
    """A time that has passed, as people say it: ``5 min ago``."""
    return "just now" if seconds < 1 else f"{duration(seconds)} ago"


def duration(seconds: float) -> str:
    """How long something took, in the largest unit that fits: ``5 min``."""
    for name, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length or (name != "d" and seconds >= length):
            return f"{seconds // length:.0f} {name}"
    return f"{max(seconds, 0):.0f} s"


def _styled(column: str, cell: str) -> Any:
    """A cell; a state in its colour, behind its symbol."""
    from rich.text import Text

    colour = _colour(column, cell)
    if column not in _STATES or not cell or not _shows_symbols():
        return Text(cell, style=colour)
    return Text.assemble((f"{_SYMBOLS[colour]} ", colour), (cell, colour))


def _shows_symbols() -> bool:
    try:
        "".join(_SYMBOLS.values()).encode(sys.stdout.encoding or "ascii")
    except UnicodeError:
        return False
    return True


def _colour(column: str, cell: str) -> str:
    """The colour of a state; none of anything else."""
    if column not in _STATES:
        return ""
    word = cell.replace(":", " ").partition(" ")[0].lower()
    return next((colour for colour, words in _COLOURS.items() if word in words), "")


def _bordered(rows: Sequence[Sequence[str]], columns: Sequence[str], *, header: bool) -> None:
    """A table that fits; where values that must stay whole leave no room, each on a line of its own."""
    from rich.console import Console

    console = Console()  # it knows the width, and NO_COLOR
    if set(columns).isdisjoint(_WHOLE) or _needed(rows, columns) <= console.width:
        console.print(grid(rows, columns, header=header))
    else:
        _records(rows, columns)


def _records(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    """Each row as a line of its short values, and a line for each that must stay whole."""
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)  # the terminal itself may go on in its next line: no line end
    for row in rows:
        cells = dict(zip(columns, row, strict=True))
        short = [
            _styled(column, cell) for column, cell in cells.items() if cell and column not in _WHOLE
        ]
        console.print(Text("  ").join(short))
        for cell in (cells[column] for column in columns if column in _WHOLE):
            console.print(Text(cell))


def _needed(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> int:
    """How wide a table is at least."""
    widths = []
    for number, column in enumerate(columns):
        width = max(_width(cell) for row in [columns, *rows] for cell in row[number].split("\n"))
        widths.append(width if column in _WHOLE else min(width, _NARROW))
    return sum(width + 3 for width in widths) + 1


def grid(rows: Sequence[Sequence[str]], columns: Sequence[str], *, header: bool) -> Any:
    from rich.box import SQUARE
    from rich.table import Table

    table = Table(box=SQUARE, header_style="bold", show_header=header)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
    for row in rows:
        cells = zip(columns, row, strict=True)
        table.add_row(*(_styled(column, cell) for column, cell in cells))
    return table


# --- for other programs ---------------------------------------------------------------------------


def _plain(rows: Sequence[Sequence[str]]) -> None:
    lines = [[cell.replace("\n", " ") for cell in row] for row in rows]
    widths = [max(_width(cell) for cell in column) for column in zip(*lines, strict=True)]
    for row in lines:
        padded = (
            f"{cell}{' ' * (width - _width(cell))}" for cell, width in zip(row, widths, strict=True)
        )
        click.echo("  ".join(padded).rstrip())
