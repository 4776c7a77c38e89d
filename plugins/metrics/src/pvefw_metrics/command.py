"""``pvefw metrics``: the figures as text, or in a file for the textfile collector of node_exporter."""

from pathlib import Path

import click

from pvefw.cli.framework import App, Command, pass_app


@click.command(cls=Command)
@click.option(
    "--textfile",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Replace this file as a whole, instead of printing; its name ends with .prom.",
)
@pass_app
def metrics(app: App, textfile: Path | None) -> None:
    """Show figures of this node in the text format of Prometheus."""
    from pvefw.cli.streams import say
    from pvefw.host.clock import SystemClock
    from pvefw.store import files
    from pvefw_metrics import figures

    text = figures.exposition(app.paths, SystemClock().now())
    if textfile is None:
        say(text.decode(), nl=False)
    else:
        files.replace(textfile.absolute(), text)
