"""``pvefw acme plugin``: plugin instances that answer challenges."""

import click

from pvefw.cli import candidates
from pvefw.cli.framework import App, Group, pass_app
from pvefw.cli.instances import instance_commands
from pvefw.cli.tasks import run_task

plugin = Group("plugin", help="Plugin instances that answer challenges.")
instance_commands(plugin, "dns", "challenge")


@plugin.command()
@click.argument("id_", metavar="ID", shell_complete=candidates.plugin_ids)
@pass_app
def login(app: App, id_: str) -> None:
    """Get the credentials that only a person can give: it shows a page to open, and waits."""
    from pvefw.certs import acme_plugin

    run_task(app, "acmepluginlogin", lambda task: acme_plugin.login(app.paths, id_, task), id_)
