"""``pvefw metrics``: the figures as text, or in a file for the textfile collector of node_exporter."""

from pathlib import Path

import click

from pvefw.cli.framework import App, Group, pass_app

_path = click.Path(path_type=Path, dir_okay=False)


@click.group("metrics", cls=Group, invoke_without_command=True)
@click.option(
    "--textfile",
    type=_path,
    help="Replace this file as a whole, instead of printing; its name ends with .prom.",
)
@click.pass_context
def metrics(ctx: click.Context, textfile: Path | None) -> None:
    """Show figures of this node in the text format of Prometheus."""
    if ctx.invoked_subcommand:
        return
    from pvefw.cli import attention
    from pvefw.cli.streams import say
    from pvefw.core.errors import UsageError
    from pvefw.host.clock import SystemClock
    from pvefw.store import files
    from pvefw_metrics import figures

    app = ctx.ensure_object(App)
    if textfile is not None and textfile.suffix != ".prom":
        raise UsageError(
            f"metrics: --textfile: {textfile.name} does not end with .prom",
            hint="The textfile collector of node_exporter reads no other files.",
        )
    text = figures.exposition(app.paths, SystemClock().now())
    if textfile is None:
        say(text.decode(), nl=False)
        return
    files.replace(textfile.absolute(), text)
    # the timer runs this, so that somebody hears where nothing else runs by itself
    attention.tell(app.paths, say)


@metrics.command("install-timer")
@click.option("--textfile", type=_path, help="The file (default: where Debian's exporter reads).")
@click.option(
    "--cron/--systemd", default=None, help="Which of the two (default: systemd if installed)."
)
@pass_app
def install_timer(app: App, textfile: Path | None, cron: bool | None) -> None:
    """Write the figures to a file every five minutes, for node_exporter."""
    from pvefw.cli.streams import say
    from pvefw_metrics import timer

    timer.install(app.paths, textfile or timer.TEXTFILE, say, cron=cron)
