"""Bulk guest power on the command line: ``startall``, ``stopall``, ``migrateall``, ``guest``."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pvefw.cli import candidates, exit_codes
from pvefw.cli.changing import changing
from pvefw.cli.framework import App, Command, Group, ListOption, YesOrNo, output_option, pass_app
from pvefw.cli.instances import instance_commands
from pvefw.cli.output import show_rows, show_value
from pvefw.cli.streams import say
from pvefw.cli.tasks import run_task
from pvefw.core import text
from pvefw.core.errors import UsageError

if TYPE_CHECKING:
    from pvefw.core.model import Task
    from pvefw.guests.bulk import Bulk
    from pvefw.guests.plan import Listed
    from pvefw.guests.scheduler import Job, Outcome

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])
_COLUMNS = ["second", "latest", "action", "id", "name", "pause", "timeout", "target", "note"]
_LIST = [
    *("id", "name", "kind", "backend", "state", "onboot", "order", "up", "down", "ready"),
    *("needs", "blocked-by", "note"),
]


def _bulk_options(function: _Decorated) -> _Decorated:
    """What all bulk actions accept."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Only show what would be done, and when."),
        click.option("--max-workers", type=click.IntRange(1, 64), help="How many guests at once."),
        click.option(
            "--vms",
            cls=ListOption,
            metavar="ID,…",
            help="Only these guests: numbers, ranges as 100-103, or names.",
            shell_complete=candidates.several(candidates.guests),
        ),
    ):
        function = option(function)
    return output_option(function)


def _ids(named: str | None) -> list[str] | None:
    """The ids in ``--vms``, each once; ``None`` where all guests are meant."""
    if named is None:
        return None
    ids = [part.strip() for part in named.replace(";", ",").split(",") if part.strip()]
    if not ids:
        raise UsageError("--vms names no guest", hint="For example: --vms 100,101")
    return list(dict.fromkeys(ids))


def bulk_of(
    app: App, task: "Task", command: str, max_workers: int | None, *, needed: bool = True
) -> "Bulk":
    from pvefw.guests import bulk
    from pvefw.guests.backends import Backends
    from pvefw.store.node import Node

    node = Node.open(app.paths)
    workers, backends = bulk.workers(node, max_workers), Backends.load(node, needed=needed)
    only_known = app.known_guests_only
    return bulk.Bulk(node, backends, workers, task, command, only_known=only_known)


class Terminal:
    """Stands in for a task where nothing is done: warnings go to the terminal."""

    cancelled = False

    def log(self, message: str) -> None:
        say(text.one_line(message), err=True)

    def warn(self, message: str) -> None:
        say(text.one_line(f"WARN: {message}"), err=True)

    def secret(self, value: str) -> None:
        """The guard of the plugin masks it."""

    def wait(self, seconds: float) -> None:
        raise AssertionError(f"a dry run waits {seconds} s")


def show_plan(app: App, jobs: "Sequence[Job]", workers: int) -> None:
    from pvefw.guests import dry_run

    show_rows(app, dry_run.planned(jobs, workers), _COLUMNS)


def _show_planned(
    app: App,
    made: "Bulk",
    wanted: list[str] | None,
    jobs_of: "Callable[[Sequence[Listed], list[str] | None], Sequence[Job]]",
) -> int:
    """Show what would be done to the guests that can be listed.

    :returns: the exit status; that of a failure where others cannot be.
    """
    listed, words, failures = made.selected(wanted)
    show_plan(app, jobs_of(listed, words), made.workers)
    return exit_codes.FAILED if failures else exit_codes.DONE


@click.command(cls=Command)
@click.option("--force", is_flag=True, help="Also those that do not start at boot.")
@_bulk_options
@pass_app
def startall(
    app: App, /, force: bool, vms: str | None, max_workers: int | None, dry_run: bool
) -> int:
    """Start guests that start at boot, in their order."""
    from pvefw.guests import actions

    wanted = _ids(vms)
    if dry_run:
        made = bulk_of(app, Terminal(), "startall", max_workers)
        return _show_planned(
            app,
            made,
            wanted,
            lambda listed, words: actions.to_start(made, listed, words, force=force),
        )

    def work(task: "Task") -> None:
        actions.wait_for_quorum(app.paths, task)
        actions.start_all(bulk_of(app, task, "startall", max_workers), wanted, force=force)

    run_task(app, "startall", work, refusable=bool(vms))
    return exit_codes.DONE


@click.command(cls=Command)
@click.option(
    "--timeout",
    type=click.IntRange(0, 7200),
    default=180,
    show_default=True,
    help="Seconds that a shutdown may take, for guests without a setting of their own.",
)
@click.option(
    "--force-stop",
    type=YesOrNo(),
    default=True,
    show_default=True,
    help="Force-stop guests that have not shut down by then.",
)
@_bulk_options
@pass_app
def stopall(
    app: App,
    /,
    timeout: int,
    force_stop: bool,
    vms: str | None,
    max_workers: int | None,
    dry_run: bool,
) -> int:
    """Stop guests, in the reverse order of their start."""
    from pvefw.guests import actions, plan

    wanted, options = _ids(vms), plan.StopOptions(float(timeout), force_stop)
    if dry_run:
        made = bulk_of(app, Terminal(), "stopall", max_workers)
        return _show_planned(
            app, made, wanted, lambda listed, words: plan.to_stop(listed, words, options)
        )

    def work(task: "Task") -> None:
        actions.stop_all(bulk_of(app, task, "stopall", max_workers), wanted, options)

    run_task(app, "stopall", work, refusable=bool(vms))
    return exit_codes.DONE


@click.command(cls=Command)
@click.option(
    "--to",
    type=click.Choice(["disk", "memory"]),
    default="disk",
    show_default=True,
    help="Where their memory is kept: on disk they survive a reboot of the host.",
)
@_bulk_options
@pass_app
def suspendall(
    app: App, /, to: str, vms: str | None, max_workers: int | None, dry_run: bool
) -> int:
    """Suspend guests that run, in the reverse order of their start."""
    from pvefw.guests import actions

    wanted, to_disk = _ids(vms), to == "disk"
    if dry_run:
        made = bulk_of(app, Terminal(), "suspendall", max_workers)
        return _show_planned(
            app,
            made,
            wanted,
            lambda listed, words: actions.to_suspend(made, listed, words, to_disk=to_disk),
        )

    def work(task: "Task") -> None:
        actions.suspend_all(bulk_of(app, task, "suspendall", max_workers), wanted, to_disk=to_disk)

    run_task(app, "suspendall", work, refusable=bool(vms))
    return exit_codes.DONE


@click.command(cls=Command)
@_bulk_options
@pass_app
def resumeall(app: App, /, vms: str | None, max_workers: int | None, dry_run: bool) -> int:
    """Resume guests that are paused or saved on disk, in the order of their start."""
    from pvefw.guests import actions

    wanted = _ids(vms)
    if dry_run:
        made = bulk_of(app, Terminal(), "resumeall", max_workers)
        return _show_planned(
            app, made, wanted, lambda listed, words: actions.to_resume(made, listed, words)
        )

    def work(task: "Task") -> None:
        actions.resume_all(bulk_of(app, task, "resumeall", max_workers), wanted)

    run_task(app, "resumeall", work, refusable=bool(vms))
    return exit_codes.DONE


@click.command(cls=Command)
@click.argument("target", required=False, shell_complete=candidates.other_nodes)
@click.option(
    "--spread",
    cls=ListOption,
    metavar="NODE,…",
    help="Several targets, chosen by free memory.",
    shell_complete=candidates.several(candidates.other_nodes),
)
@click.option("--with-local-disks", is_flag=True, help="Copy disks that only this node has.")
@_bulk_options
@exit_codes.detailed_option
@pass_app
def migrateall(
    app: App,
    /,
    target: str | None,
    spread: str | None,
    with_local_disks: bool,
    vms: str | None,
    max_workers: int | None,
    dry_run: bool,
    detailed: bool,
) -> int:
    """Move guests to the node TARGET, or spread them over several nodes."""
    from pvefw.guests import actions, plan
    from pvefw.guests import targets as checks

    wanted, targets = _ids(vms), _targets(app, target, spread)

    def made_for(task: "Task") -> "Bulk":
        made = bulk_of(app, task, "migrateall", max_workers)
        made.with_local_disks = with_local_disks
        return made

    if dry_run:
        made = made_for(Terminal())
        listed, words, failures = made.selected(wanted)
        chosen = plan.named(listed, words, "migrateall")
        jobs = checks.to_migrate(made.backends, listed, chosen, targets, with_local_disks)
        show_plan(app, jobs, made.workers)
        code = exit_codes.PENDING if jobs else exit_codes.NOTHING
        return exit_codes.FAILED if failures else exit_codes.status(code, detailed=detailed)
    moved: list[Outcome] = []

    def work(task: "Task") -> None:
        moved.extend(actions.migrate_all(made_for(task), wanted, targets))

    run_task(app, "migrateall", work, refusable=bool(vms))
    code = exit_codes.DONE if moved or app.detach else exit_codes.NOTHING
    return exit_codes.status(code, detailed=detailed)


def _targets(app: App, target: str | None, spread: str | None) -> list[str]:
    """The nodes to move to."""
    from pvefw.store.section_config import split

    if (target is None) == (spread is None):
        raise UsageError(
            "migrateall: give either TARGET or --spread",
            hint="For example: pvefw migrateall --spread pve2,pve3",
        )
    named = [target] if target else [*split(spread or "")]
    names = list(dict.fromkeys(name for name in named if name))
    if not names:
        raise UsageError("migrateall: --spread names no node")
    for name in names:
        app.paths.node_dir(name)  # a name that is none is no part of a hypervisor's address
    if app.paths.node in names:
        raise UsageError(f"migrateall: {app.paths.node} is this node", hint="Name another one.")
    return names


# --- boot and shutdown ------------------------------------------------------------------------------


@click.command("boot-guests", cls=Command)
@pass_app
def boot_guests(app: App) -> None:
    """Wait startall-onboot-delay, then start guests. The boot-time unit runs it."""
    from pvefw.guests import actions, host_power

    def work(task: "Task") -> None:
        actions.wait_for_quorum(app.paths, task)
        host_power.boot(bulk_of(app, task, "boot-guests", None, needed=False))

    try:
        run_task(app, "startall", work)
    finally:
        from pvefw.cli import attention

        attention.tell(app.paths, say)


@click.command("shutdown-guests", cls=Command)
@click.option("--suspend", is_flag=True, help="Suspend guests to disk where possible.")
@pass_app
def shutdown_guests(app: App, /, suspend: bool) -> None:
    """Stop all guests before the host goes down. The shutdown unit runs it."""
    from pvefw.guests import host_power, plan

    def work(task: "Task") -> None:
        made = bulk_of(app, task, "shutdown-guests", None, needed=False)
        host_power.shut_down(made, plan.StopOptions(), suspend=suspend)

    run_task(app, "stopall", work)


@click.command("install-units", cls=Command)
@pass_app
def install_units(app: App) -> None:
    """Install the systemd units that start guests after boot and stop them at shutdown."""
    from pvefw.guests import units
    from pvefw.store import units as has_units

    for path in units.install(app.paths):
        say(f"Wrote {path}")
    if has_units.runs_systemd(app.paths):  # pragma: no cover - it needs a running systemd
        say(f"Enabled {units.START} and {units.STOP}")
    for other in units.other_managers(app.paths):
        advice = units.advice(other)
        say(f"WARN: {other} starts and stops guests, too. Disable it: {advice}", err=True)


# --- single guests ----------------------------------------------------------------------------------

guest = Group("guest", help="Guests of this node, and how they start and stop.")


@guest.command("list")
@output_option
@pass_app
def list_(app: App) -> None:
    """List the guests of all backends."""
    from pvefw.guests import backends, elsewhere
    from pvefw.store.node import Node

    loaded = backends.Backends.load(Node.open(app.paths))
    listed, failures = loaded.list()
    backends.note(app.paths, listed)
    absence = elsewhere.look(app.paths, loaded, listed).absence
    rows = [
        backends.described(entry, listed, loaded.of(entry.id).name, absence) for entry in listed
    ]
    show_rows(app, rows, _LIST)
    if failures:
        raise failures[0]


@guest.command()
@click.argument("id_", metavar="ID", shell_complete=candidates.guests)
@output_option
@pass_app
def show(app: App, id_: str) -> None:
    """Show what is known of a guest."""
    from pvefw.guests import backends, elsewhere
    from pvefw.store.node import Node

    loaded = backends.Backends.load(Node.open(app.paths))
    entry, listed = backends.find_among(loaded, id_)
    absence = elsewhere.look(app.paths, loaded, listed).absence
    show_value(app, backends.described(entry, listed, loaded.of(entry.id).name, absence))


@guest.command("set")
@click.argument("id_", metavar="ID", shell_complete=candidates.guests)
@click.option("--vmid", metavar="VMID", help="The guest's number.")
@click.option("--onboot", metavar="0|1", help="Whether it starts at boot.")
@click.option("--order", metavar="N", help="Its place in the order of start.")
@click.option("--up", metavar="SECONDS", help="Wait after its start before the next one.")
@click.option("--down", metavar="SECONDS", help="Seconds its shutdown may take.")
@click.option("--ready", metavar="agent|tcp:HOST:PORT", help="What shows that it is ready.")
@click.option(
    "--after", cls=ListOption, metavar="VMID,…", help="Guests that must be ready before it starts."
)
@click.option("--delete", cls=ListOption, metavar="KEY,…", help="Settings to delete.")
@pass_app
@changing
def set_(app: App, /, id_: str, delete: str | None, **values: str | None) -> dict[str, object]:
    """Set how a guest starts and stops."""
    from pvefw.guests import backends
    from pvefw.store.node import Node
    from pvefw.store.section_config import split

    given = {key: value for key, value in values.items() if value is not None}
    for key in split(delete or ""):
        if key not in backends.KEYS:
            known = ", ".join(backends.KEYS)
            raise UsageError(f"guest set: --delete {key}: no such setting", hint=f"Known: {known}.")
        given[key] = ""
    if not given:
        raise UsageError("guest set: nothing to set", hint="See pvefw guest set --help.")
    loaded = backends.Backends.load(Node.open(app.paths))
    return {"changed": backends.change(loaded, id_, given)}


# --- backends ---------------------------------------------------------------------------------------

backend = Group("backend", help="The hypervisors that run this node's guests.")
instance_commands(backend, "guest")
guest.add_command(backend)
