"""``pvefw acme cert``: order, renew and revoke the node's certificates."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from pvefw.cli import candidates
from pvefw.cli.framework import App, Group, pass_app
from pvefw.cli.tasks import run_task

if TYPE_CHECKING:
    from pvefw.certs.certificate import Certificate
    from pvefw.core.model import Task

cert = Group("cert", help="Order, renew and revoke this node's certificates.")
_name = click.argument(
    "name", metavar="[NAME]", default="pveproxy", shell_complete=candidates.certificates
)


def _run(app: App, type_: str, name: str, work: "Callable[[Certificate, Task], object]") -> None:
    from pvefw.certs.certificate import Certificate
    from pvefw.store.node import Node

    certificate = Certificate.load(Node.open(app.paths), name)
    run_task(app, type_, lambda task: work(certificate, task), certificate.task_id)


@cert.command()
@_name
@click.option("--force", is_flag=True, help="Replace an existing certificate.")
@pass_app
def order(app: App, name: str, force: bool) -> None:
    """Order a certificate for its configured names and install it.

    Without NAME, that of Proxmox VE's services; others are added with `cert add`.
    """
    from pvefw.certs import issue
    from pvefw.cli.renew import offer_timer

    _run(
        app,
        "acmenewcert",
        name,
        lambda certificate, task: issue.order(certificate, task, force=force),
    )
    offer_timer(app)


@cert.command()
@_name
@click.option("--force", is_flag=True, help="Renew even if it is not due.")
@pass_app
def renew(app: App, name: str, force: bool) -> None:
    """Renew a certificate, if it is due."""
    from pvefw.certs import renew as renewing
    from pvefw.host.clock import SystemClock

    _run(
        app,
        "acmerenew",
        name,
        lambda certificate, task: renewing.renew_one(certificate, task, SystemClock(), force=force),
    )


@cert.command()
@_name
@pass_app
def revoke(app: App, name: str) -> None:
    """Revoke a certificate at its authority and remove it."""
    from pvefw.certs import revoke as revoking

    _run(app, "acmerevoke", name, revoking.revoke)
