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


class _Program(Group):
    """The first level. ``version`` is a command, too, for those who do not think of ``--version``."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _version if cmd_name == "version" else super().get_command(ctx, cmd_name)


@click.command("version")
def _version() -> None:
    """Show the version."""
    click.echo(f"{tree.NAME} {__version__}")


PVEFW = _Program(tree.NAME, help=tree.SUMMARY, commands_of="")
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
