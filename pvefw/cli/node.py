"""``pvefw node``: empty this node, bring its guests back, and do so host by host."""

from typing import TYPE_CHECKING, Any

import click

from pvefw.cli import candidates, exit_codes
from pvefw.cli.framework import App, Group, ListOption, output_option, pass_app
from pvefw.cli.guests import Terminal, bulk_of, show_plan
from pvefw.cli.output import show_rows, show_value
from pvefw.cli.streams import say
from pvefw.cli.tasks import run_task
from pvefw.core.errors import UsageError

if TYPE_CHECKING:
    from pvefw.core.model import Task
    from pvefw.guests.bulk import Bulk
    from pvefw.node.maintenance import Maintenance

node = Group("node", help="Maintenance: empty this node, bring its guests back, host by host.")
_to = click.option(
    "--to",
    cls=ListOption,
    metavar="NODE,…",
    help="Where guests go, by free memory.",
    shell_complete=candidates.several(candidates.other_nodes),
)
_spread = click.option("--spread", is_flag=True, help="To all other nodes (the default).")
_disks = click.option("--with-local-disks", is_flag=True, help="Copy disks that only one node has.")
_rsh = click.option(
    "--rsh", metavar="COMMAND", default="", help="How to reach other hosts (default: ssh)."
)


def _names(text: str | None) -> list[str]:
    from pvefw.store.section_config import split

    return list(dict.fromkeys(split(text or "")))


def _targets(app: App, to: str | None, *, spread: bool) -> list[str]:
    """The nodes that guests go to: those that are named, or all others."""
    from pvefw.store import nodes

    named = _names(to)
    if named and spread:
        raise UsageError("node drain: give either --to or --spread")
    if app.paths.node in named:
        raise UsageError(f"node drain: {app.paths.node} is this node", hint="Name another one.")
    targets = named or [name for name in nodes.names(app.paths) if name != app.paths.node]
    if not targets:
        raise UsageError("node drain: no other node is known", hint="Name one with --to.")
    return targets


@node.command()
@_to
@_spread
@click.option("--wait", is_flag=True, help="Try again until no guest runs here.")
@_disks
@click.option("--max-workers", type=click.IntRange(1, 64), help="How many guests at once.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@output_option
@pass_app
def drain(
    app: App,
    /,
    to: str | None,
    spread: bool,
    wait: bool,
    with_local_disks: bool,
    max_workers: int | None,
    dry_run: bool,
) -> int:
    """Move all guests that run here to other nodes, with the guests they depend on."""
    from pvefw.guests import draining

    targets = _targets(app, to, spread=spread)

    def made(task: "Task") -> "Bulk":
        bulk = bulk_of(app, task, "node drain", max_workers, needed=False)
        bulk.with_local_disks = with_local_disks
        return bulk

    if dry_run:
        draining.check_alone(app.paths)
        bulk = made(Terminal())
        jobs, failures = draining.to_drain(bulk, targets, named=bool(to))
        show_plan(app, jobs, bulk.workers)
        return exit_codes.FAILED if failures else exit_codes.DONE
    run_task(
        app,
        "nodedrain",
        lambda task: draining.drain(made(task), targets, wait=wait, named=bool(to)),
    )
    return exit_codes.DONE


@node.command("return")
@click.option("--leave", is_flag=True, help="Leave the guests where they are.")
@_rsh
@click.option("--dry-run", is_flag=True, help="Only show which guests would come back.")
@output_option
@pass_app
def return_(app: App, /, leave: bool, rsh: str, dry_run: bool) -> None:
    """Bring the guests back that a drain has moved away."""
    from pvefw.guests import draining
    from pvefw.host.remote import SSH, Remote

    if leave and dry_run:
        raise UsageError("node return: --leave moves no guest; leave out --dry-run")
    if dry_run:
        bulk = bulk_of(app, Terminal(), "node return", None, needed=False)
        show_rows(app, draining.to_return(bulk), ["id", "name", "from", "note"])
        return
    if leave:
        draining.leave(app.paths)
        say(f"{app.paths.node} is no longer drained; its guests stay where they are.")
        return

    def work(task: "Task") -> None:
        bulk = bulk_of(app, task, "node return", None, needed=False)
        draining.bring_back(bulk, Remote(rsh or SSH))

    run_task(app, "nodereturn", work)


@node.command()
@output_option
@pass_app
def status(app: App) -> None:
    """Show whether this node is drained, and where a maintenance that it runs is."""
    from pvefw.guests import draining
    from pvefw.node import maintenance

    note = maintenance.read(app.paths)
    value = draining.state(app.paths)
    if app.output_format == "text":
        away = [f"{id_} on {host}" for id_, host in value["guests-away"].items()]
        value["guests-away"] = ", ".join(away)
        show_value(app, {**value, "maintenance": note.where if note else ""})
        return
    place = {"host": note.host, "step": note.step, "since": note.since} if note else {}
    lists = {"hosts": list(note.hosts), "done": list(note.done)} if note else {}
    show_value(app, {**value, "maintenance": {**place, **lists}})


@node.command()
@click.option("--hosts", cls=ListOption, metavar="HOST,…", help="The hosts, in this order.")
@_to
@_disks
@click.option(
    "--restart", metavar="COMMAND", help="What restarts a host (default: systemctl reboot)."
)
@click.option(
    "--timeout",
    type=click.IntRange(1, 86400),
    default=1800,
    show_default=True,
    help="Seconds until a host must be back.",
)
@_rsh
@click.option("--resume", is_flag=True, help="Continue the maintenance that was stopped.")
@click.option("--forget", is_flag=True, help="Abandon the maintenance that was stopped.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@pass_app
def maintain(app: App, /, resume: bool, forget: bool, hosts: str | None, **options: Any) -> None:
    """Empty each host, run COMMAND on it, restart it, and bring its guests back.

    One host at a time; it stops at the first problem. `pvefw node status` says where it is.
    """
    from pvefw.node import maintenance

    if forget:
        maintenance.forget(app.paths)
        say("No maintenance is in progress now. Check each host: pvefw node status")
    elif resume:
        run_task(app, "nodemaintain", lambda task: maintenance.resume(app.paths, task))
    else:
        wanted = _wanted(app, _names(hosts), **options)
        run_task(app, "nodemaintain", lambda task: maintenance.begin(app.paths, wanted, task))


def _wanted(
    app: App,
    hosts: list[str],
    *,
    to: str | None,
    with_local_disks: bool,
    restart: str | None,
    timeout: int,
    rsh: str,
    command: tuple[str, ...],
) -> "Maintenance":
    """What the options ask for."""
    from pvefw.host.remote import SSH
    from pvefw.node.maintenance import RESTART, Maintenance

    if not hosts or not command:
        raise UsageError(
            "node maintain: it needs --hosts and a command",
            hint="For example: pvefw node maintain --hosts pve1,pve2 -- apt-get -y full-upgrade",
        )
    if app.paths.node in hosts:
        raise UsageError(
            f"node maintain: {app.paths.node} is this node, and would restart under the command",
            hint="Run it on another host.",
        )
    return Maintenance(
        hosts, command, _names(to), with_local_disks, restart or RESTART, timeout, rsh or SSH
    )
