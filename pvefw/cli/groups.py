"""The groups that have nothing but other commands in them, made from the tree."""

from typing import Any

import click

from pvefw import __version__
from pvefw.cli import tree
from pvefw.cli.framework import Group

ACME = Group(
    "acme",
    help="Accounts, plugins and certificates of an ACME authority such as Let's Encrypt.",
    commands_of="acme",
)


def _show_version(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"{tree.NAME} {__version__}")
        ctx.exit()


PVEFW = Group(tree.NAME, help=tree.SUMMARY, commands_of="")
PVEFW.params.append(
    click.Option(
        ["--version"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_show_version,
        help="Show the version and exit.",
    )
)
