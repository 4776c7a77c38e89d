"""``pvefw store``: the files that nodes share through a store."""

import contextlib

import click

from pvefw.cli.framework import App, Group, pass_app
from pvefw.cli.streams import say


@click.group("store", cls=Group)
def store() -> None:
    """Share files with other nodes where there is no cluster file system."""


@store.command("join")
@pass_app
def join(app: App) -> None:
    """Fetch what the others share, and add what only this node has.

    /etc/pvefw/store.cfg says which store. Where systemd is installed, a unit runs `pvefw store watch`.
    """
    from pvefw.certs import following
    from pvefw.store import joining, units

    for path in joining.join(app.paths):
        say(f"Added {path}")
    say(f"{app.paths.etc_pve} is now a copy of what the store has.")
    if units.has_systemd(app.paths):
        following.install(app.paths, say)


@store.command("watch")
@pass_app
def watch(app: App) -> None:
    """Take over shared certificates as soon as another node has them (run by systemd)."""
    from pvefw.certs import following
    from pvefw.core.errors import Cancelled
    from pvefw.host.clock import SystemClock

    with contextlib.suppress(Cancelled):  # told to end while it takes something over: no failure
        following.follow(app.paths, say, say, SystemClock())
