"""How results are printed: tables for people, JSON and YAML for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from pvefw.cli.framework import App


def show_rows(app: App, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print a list: as a table of these columns, or whole as JSON or YAML."""
    if app.output_format == "text":
        _table([[_cell(row.get(column)) for column in columns] for row in rows], columns)
    else:
        _data(app, list(rows))


def show_value(app: App, value: Mapping[str, Any]) -> None:
    """Print one thing: as a table of keys and values, or as JSON or YAML."""
    if app.output_format == "text":
        _table([[key, _cell(one)] for key, one in value.items()], ["key", "value"])
    else:
        _data(app, value)


def _data(app: App, value: Any) -> None:
    if app.output_format == "yaml":
        import yaml

        click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), nl=False)
    else:
        indent = 2 if app.output_format == "json-pretty" else None
        click.echo(json.dumps(value, indent=indent, ensure_ascii=False))


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case Mapping():
            return "\n".join(f"{key}={one}" for key, one in value.items())
        case Sequence():
            return "\n".join(_cell(one) for one in value)
    return str(value)


def _table(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    """Borders on a terminal; when piped, plain aligned columns that line tools can cut."""
    if sys.stdout.isatty():
        _bordered(rows, columns)
    else:
        _plain([columns, *rows])


def _bordered(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    from rich.box import SQUARE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SQUARE, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def _plain(rows: Sequence[Sequence[str]]) -> None:
    lines = [[cell.replace("\n", " ") for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    for row in lines:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(padded).rstrip())
