"""``pvefw wakeonlan``: start another node."""

import re

import click

from pvefw.cli import candidates
from pvefw.cli.framework import App, Command, pass_app
from pvefw.cli.streams import say
from pvefw.core.errors import PvefwError, UsageError

_WEB_INTERFACE = 8006


@click.command(cls=Command)
@click.argument("target", metavar="NODE", shell_complete=candidates.other_nodes)
@click.option(
    "--wait",
    "seconds",
    type=click.IntRange(1, 86400),
    metavar="SECONDS",
    help="Seconds to wait at most until the node answers.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=_WEB_INTERFACE,
    show_default=True,
    help="The TCP port that shows that it is up.",
)
@click.option("--address", help="Where it answers (default: the cluster's address, else its name).")
@pass_app
def wakeonlan(
    app: App, /, target: str, seconds: int | None, port: int, address: str | None
) -> None:
    """Wake NODE by Wake-on-LAN."""
    from pvefw.host.clock import SystemClock
    from pvefw.node import wakeonlan as waking
    from pvefw.store import nodes

    if re.fullmatch("([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}", target):
        mac = target.replace("-", ":")
        raise UsageError(
            f"wakeonlan: {target} is a MAC address, and nodes are woken by name",
            hint=f"The node's address, once: pvefw --node NAME config set --wakeonlan {mac}",
        )
    magic = waking.prepare(app.paths, target)
    host = "" if seconds is None else address or nodes.address(app.paths, target)
    waking.send(magic)
    through = f" through {magic.interface}" if magic.interface else ""
    say(f"Wake-on-LAN packet for {target} ({magic.mac}) sent to {magic.broadcast}{through}")
    if seconds is None:
        return
    took = waking.wait(host, port, seconds, SystemClock())
    if took is None:
        raise PvefwError(
            f"wakeonlan: {target}: no answer from {host} port {port} within {seconds} seconds",
            hint="See whether its firmware allows waking, and whether the packet reaches its network.",
        )
    say(f"{target} answers on {host} port {port} after {took:.1f} s")
