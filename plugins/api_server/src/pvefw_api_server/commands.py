"""``pvefw api serve`` and ``pvefw api helper``: the two processes of the service, and their units."""

from pathlib import Path

import click

from pvefw.cli.framework import App, Command, pass_app
from pvefw.cli.streams import say
from pvefw_api_server.wire import PORT

_socket = click.option(
    "--socket",
    "place",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the helper listens (default: /run/pvefw-api/helper.sock).",
)


@click.command(cls=Command)
@_socket
@click.option(
    "--listen", multiple=True, metavar="ADDRESS", help="Only on this address (repeatable)."
)
@click.option(
    "--port", type=click.IntRange(1, 65535), default=PORT, help=f"The port (default: {PORT})."
)
@click.option(
    "--page",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The page's folder, if it is not where packages install it.",
)
@pass_app
def serve(
    app: App, place: Path | None, listen: tuple[str, ...], port: int, page: Path | None
) -> None:
    """Serve the API and its page over HTTPS: the part without rights (run by systemd)."""
    from pvefw_api_server import place as where
    from pvefw_api_server import serving

    where.check(app.paths)
    serving.serve(place, listen, port, page)


@click.command(cls=Command)
@_socket
@click.option("--user", help="The user that api serve runs as (default: pvefw-api).")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=PORT,
    help=f"The port on which other nodes serve the API (default: {PORT}).",
)
@pass_app
def helper(app: App, place: Path | None, user: str | None, port: int) -> None:
    """Answer the calls that api serve passes on: root's part (run by systemd)."""
    from pvefw_api_server import helper as helping
    from pvefw_api_server import place as where
    from pvefw_api_server import wire

    where.check(app.paths)
    helping.run(place or wire.SOCKET, app.paths, user or where.USER, port)


@click.command("install-service", cls=Command)
@pass_app
def install_service(app: App) -> None:
    """Install the systemd units of the API over HTTPS, and start it."""
    from pvefw.store import units as has_units
    from pvefw_api_server import units

    for path in units.install(app.paths):
        say(f"Wrote {path}")
    if has_units.runs_systemd(app.paths):
        say(f"It is running: https://{app.paths.node}:{PORT}/")
    else:
        say(f"To start it: systemd-sysusers && systemctl enable --now {units.FRONT}")
