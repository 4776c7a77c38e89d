"""``pvefw cert``: the node's certificates."""

from datetime import UTC, datetime
from typing import Any

import click

from pvefw.cli.framework import App, Group, output_option, pass_app
from pvefw.cli.output import show_rows, show_value

cert = Group("cert", help="The node's certificates.")


@cert.command()
@output_option
@pass_app
def info(app: App) -> None:
    """Show every certificate of this node."""
    from pvefw.certs import chain

    found = [one.as_dict() for one in chain.of_node(app.paths)]
    if app.output_format != "text":
        show_rows(app, found, [])
        return
    for one in found:
        show_value(app, {key: _readable(key, value) for key, value in one.items() if key != "pem"})
    if not found:
        click.echo(f"Node {app.paths.node} has no certificates.", err=True)


def _readable(key: str, value: Any) -> Any:
    if key.startswith("not"):
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return value
