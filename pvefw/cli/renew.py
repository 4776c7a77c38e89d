"""``pvefw renew``: what the timer runs."""

import contextlib

import click

from pvefw.cli import exit_codes
from pvefw.cli.framework import App, Group, pass_app, recover_first
from pvefw.cli.streams import offer, say
from pvefw.core.errors import PvefwError


@click.group("renew", cls=Group, invoke_without_command=True)
@click.option("--dry-run", is_flag=True, help="Only show the decision for each certificate.")
@exit_codes.detailed_option
@click.pass_context
def renew(ctx: click.Context, dry_run: bool, detailed: bool) -> int | None:
    """Renew what is due: every certificate of this node, and what is not deployed yet."""
    if ctx.invoked_subcommand:
        return None
    from pvefw.certs import renew as renewing
    from pvefw.certs import timer
    from pvefw.host.clock import SystemClock

    app = ctx.ensure_object(App)
    recover_first(app)
    if timer.hand_over(app.paths):
        say("Scripts may be needed: pvefw-renew-scripts.service renews.")
        return 0
    effect = renewing.Effect()
    good = renewing.run(app.paths, say, say, SystemClock(), dry_run=dry_run, effect=effect)
    if not dry_run:
        from pvefw.cli import attention

        attention.tell(app.paths, say)
    if not good:
        return exit_codes.FAILED
    done = exit_codes.DONE if effect.done else exit_codes.NOTHING
    return exit_codes.status(exit_codes.PENDING if effect.pending else done, detailed=detailed)


@renew.command("install-timer")
@click.option(
    "--cron/--systemd", default=None, help="Which of the two (default: systemd if installed)."
)
@pass_app
def install_timer(app: App, cron: bool | None) -> None:
    """Run `pvefw renew` automatically, four times a day."""
    from pvefw.certs import timer

    timer.install(app.paths, say, cron=cron)


def offer_timer(app: App) -> None:
    """After an order: where nothing renews by itself, ask whether to change that, or say how to.

    The certificate is there, whatever comes of it: what goes wrong here is no failure of the order.
    """
    from pvefw.certs import timer
    from pvefw.cli import placement

    with contextlib.suppress(PvefwError):
        placement.check(app.paths, "renew install-timer")
        if not timer.is_installed(app.paths):
            _offer_timer(app)


def _offer_timer(app: App) -> None:
    from pvefw.certs import timer

    say("Nothing runs `pvefw renew` by itself.", err=True)
    if not offer("Install the timer now?", default=True):
        say("Install the timer: pvefw renew install-timer", err=True)
        return
    try:
        timer.install(app.paths, say)
    except PvefwError as error:
        say(f"The timer is not installed: {error.message}", err=True)
