"""``pvefw dns``: try DNS plugins out, and remove records that were left behind."""

from typing import TYPE_CHECKING

import click

from pvefw.cli import candidates
from pvefw.cli.framework import App, Group, pass_app
from pvefw.cli.streams import say
from pvefw.cli.tasks import run_task
from pvefw.core.errors import ProviderError, UsageError

if TYPE_CHECKING:
    from pvefw.core.model import Task

dns = Group("dns", help="Try DNS plugins out; remove records that were left behind.")


@dns.command()
@click.argument("plugin", shell_complete=candidates.plugin_ids)
@click.argument("domain", shell_complete=candidates.domains)
@click.option(
    "--alias", metavar="DOMAIN", default="", help="Put the record below this domain instead."
)
@pass_app
def test(app: App, plugin: str, domain: str, alias: str) -> None:
    """Add a test record for DOMAIN through the instance PLUGIN, watch it appear, remove it."""
    from pvefw.dns import instances
    from pvefw.dns.probe import ProbeStep, probe
    from pvefw.dns.resolver import Resolver
    from pvefw.store.node import Node

    def work(task: "Task") -> None:
        def tell(step: ProbeStep) -> None:
            task.log(f"{step.seconds:8.3f} s  {step.line}")

        node = Node.open(app.paths)
        route = instances.route(node, plugin, domain, alias)
        probe(app.paths, route, Resolver.configured(node), task, tell)

    _check_order(app, plugin, domain)
    run_task(app, "acmednstest", work, plugin, refusable=True)


def _check_order(app: App, plugin: str, domain: str) -> None:
    """Refuse a domain and an instance in the wrong order.

    :raises UsageError: they are.
    """
    from pvefw import instances
    from pvefw.store.node import Node

    known = {instance.id for instance in instances.load_all(Node.open(app.paths), "dns")}
    if domain in known and plugin not in known:
        raise UsageError(
            f"dns test: {plugin} is not a plugin instance, but {domain} is",
            hint=f"In this order: pvefw dns test {domain} {plugin}",
        )


@dns.command()
@click.option(
    "--forget",
    metavar="PLUGIN",
    shell_complete=candidates.plugin_ids,
    help="Remove this instance's records from the journal only: they were deleted by hand.",
)
@pass_app
def cleanup(app: App, forget: str | None) -> None:
    """Remove what interrupted orders left in DNS: exactly what the journal names."""
    from functools import partial

    from pvefw.dns import cleanup, instances
    from pvefw.store.node import Node

    def work(task: "Task") -> None:
        left = cleanup.cleanup(app.paths, partial(instances.bind, Node.open(app.paths)), task)
        if left:
            raise ProviderError(
                f"dns cleanup: {len(left)} TXT records still exist, see above",
                hint="Fix the plugin instance and try again, or delete them by hand and --forget.",
            )

    if not forget:
        run_task(app, "acmednscleanup", work)
        return
    forgotten = cleanup.forget(app.paths, forget)
    for entry in forgotten:
        say(f"forgotten: {entry}")
    if not forgotten:
        say(f"The journal names no record of {forget}.")
