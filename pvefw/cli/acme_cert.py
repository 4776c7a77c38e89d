"""``pvefw acme cert``: order, renew and revoke this node's certificate."""

import click

from pvefw.cli.framework import App, Group, pass_app
from pvefw.cli.tasks import run_task

cert = Group("cert", help="Order, renew and revoke this node's certificate.")


@cert.command()
@click.option("--force", is_flag=True, help="Replace an existing certificate.")
@pass_app
def order(app: App, force: bool) -> None:
    """Order a certificate for the configured names and install it."""
    from pvefw.certs import issue

    run_task(app, "acmenewcert", lambda task: issue.order(app.paths, task, force=force))


@cert.command()
@click.option("--force", is_flag=True, help="Renew even if it is not due.")
@pass_app
def renew(app: App, force: bool) -> None:
    """Renew the certificate, if it is due."""
    from pvefw.certs import renew as renewing
    from pvefw.host.clock import SystemClock

    run_task(
        app,
        "acmerenew",
        lambda task: renewing.renew_service(app.paths, task, SystemClock(), force=force),
    )


@cert.command()
@pass_app
def revoke(app: App) -> None:
    """Revoke the certificate at its authority and remove it."""
    from pvefw.certs import revoke as revoking

    run_task(app, "acmerevoke", lambda task: revoking.revoke(app.paths, task))
