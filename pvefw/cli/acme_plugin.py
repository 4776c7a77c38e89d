"""``pvefw acme plugin``: plugin instances that answer challenges."""

from typing import TYPE_CHECKING

import click

from pvefw.cli import candidates
from pvefw.cli.framework import App, Group, pass_app
from pvefw.cli.instances import instance_commands
from pvefw.cli.tasks import run_task

if TYPE_CHECKING:
    from pvefw.core.model import Task

plugin = Group("plugin", help="Plugin instances that answer challenges.")
instance_commands(plugin, "dns", "challenge")


@plugin.command()
@click.argument("id_", metavar="ID", shell_complete=candidates.plugin_ids)
@click.option(
    "--zone",
    "zones",
    metavar="ZONE",
    multiple=True,
    help="Ask for the rights on this zone only; may be repeated.",
)
@pass_app
def login(app: App, id_: str, zones: tuple[str, ...]) -> None:
    """Get the credentials that only a person can give: it shows a page to open, and waits."""
    from pvefw.certs import acme_plugin

    def work(task: "Task") -> None:
        acme_plugin.login(app.paths, id_, zones, task)

    run_task(app, "acmepluginlogin", work, id_)
