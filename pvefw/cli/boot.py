"""``pvefw boot``: disks, and the ESPs that this host boots from."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pvefw.cli import boot_context, exit_codes
from pvefw.cli.boot_context import Silent, context, refresh_esps
from pvefw.cli.boot_kernel import cmdline, kernel
from pvefw.cli.framework import App, Group, check_place, output_option, pass_app, prepare
from pvefw.cli.instances import instance_commands
from pvefw.cli.output import show_rows, show_value
from pvefw.cli.streams import say
from pvefw.cli.tasks import run_task
from pvefw.core.errors import PvefwError, UsageError

if TYPE_CHECKING:
    from pvefw.boot.status import EspStatus, Status

NO_ESP, NOT_OK = 2, 1
boot = Group("boot", help="What this host boots: kernels, boot loaders, EFI system partitions.")
boot.add_command(kernel)
boot.add_command(cmdline)


def _confirm(lines: Sequence[str], *, yes: bool) -> None:
    """Show what is about to be done, and ask.

    :raises UsageError: nobody is there to answer.
    :raises PvefwError: the answer is no.
    """
    for line in lines:
        say(line)
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            "cannot ask for confirmation: not a terminal; nothing was changed", hint="Give --yes."
        )
    if not click.confirm("Do it?"):
        raise PvefwError("not confirmed; nothing was changed")


_yes = click.option("--yes", is_flag=True, help="Do not ask.")


# --- disks --------------------------------------------------------------------------------------------


@boot.command("format")
@click.argument("partition", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite an existing file system.")
@_yes
@pass_app
def format_(app: App, /, partition: Path, force: bool, yes: bool) -> None:
    """Make the FAT file system of an ESP on PARTITION."""
    from pvefw.boot import prepare

    planned = prepare.check_format(boot_context.machine(app).devices(), partition, force=force)
    _confirm(planned.lines, yes=yes)
    run_task(app, "bootformat", lambda task: prepare.format_(planned, task))


@boot.command()
@click.argument("disk", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite an existing partition table or file system.")
@_yes
@pass_app
def partition(app: App, /, disk: Path, force: bool, yes: bool) -> None:
    """Write the installer's partitions to DISK: BIOS boot, ESP, the rest."""
    from pvefw.boot import prepare

    planned = prepare.check_partition(boot_context.machine(app).devices(), disk, force=force)
    _confirm(planned.lines, yes=yes)
    run_task(app, "bootpartition", lambda task: prepare.partition(planned, task))


# --- ESPs ---------------------------------------------------------------------------------------------


@boot.command()
@click.argument("partition", type=click.Path(path_type=Path))
@click.argument("loader", required=False, default="", metavar="[LOADER]")
@click.option("--take-over", is_flag=True, help="Replace the boot loader of another system.")
@pass_app
def init(app: App, /, partition: Path, loader: str, take_over: bool) -> None:
    """Put a boot loader on PARTITION, manage it from now on, and refresh.

    LOADER is grub, systemd-boot or another plugin; without it, the one that fits this machine.
    """
    from pvefw.boot import registry

    run_task(
        app,
        "bootinit",
        lambda task: registry.init(context(app, task), partition, loader, take_over=take_over),
        refusable=True,
    )


@boot.command()
@pass_app
def reinit(app: App) -> None:
    """Put the boot loader on every ESP again, and refresh."""
    from pvefw.boot import registry

    run_task(app, "bootreinit", lambda task: registry.reinit(context(app, task)))


@boot.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@pass_app
def clean(app: App, dry_run: bool) -> None:
    """Remove missing ESPs from the list."""
    from pvefw.boot import registry

    gone = registry.clean(context(app, Silent()), dry_run=dry_run)
    for entry in gone:
        say(f"{'would be removed' if dry_run else 'removed'}: {entry}")
    if not gone:
        say("All ESPs on the list exist.")


@boot.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be changed.")
@click.option("--installing", metavar="VERSION", default="", help="Keep this kernel (for hooks).")
@click.option(
    "--hook",
    metavar="NAME",
    expose_value=False,
    help="For callers of proxmox-boot-tool; everything is refreshed.",
)
@click.option(
    "--take-over",
    is_flag=True,
    help="Also remove kernels that another tool has left, and a default chosen in the firmware.",
)
@exit_codes.detailed_option
@pass_app
def refresh(app: App, /, dry_run: bool, installing: str, take_over: bool, detailed: bool) -> int:
    """Bring every ESP up to date: kernels, configuration, default."""
    if dry_run:
        code = _show_changes(app, installing)
        detailed |= code == exit_codes.FAILED
        return exit_codes.status(code, detailed=detailed)
    refresh_esps(app, installing, take_over=take_over)
    return exit_codes.DONE


def _show_changes(app: App, installing: str) -> int:
    """Print what would be changed.

    :returns: the exit status for who tells all apart.
    """
    state = _status(app, installing)
    if not state.esps:
        say("No ESPs are managed; nothing to do.")
    for esp in state.esps:
        say(f"ESP {esp.uuid}{f' ({esp.device})' if esp.device else ''}:")
        for line in esp.problems or ["nothing to do"]:
            say(f"  {line}")
    for problem in state.problems:
        say(problem)
    states = {esp.state for esp in state.esps}
    if states & {"missing", "error"}:
        return exit_codes.FAILED
    behind = any(esp.is_behind for esp in state.esps)
    return exit_codes.PENDING if behind else exit_codes.NOTHING


def _status(app: App, installing: str = "") -> "Status":
    from pvefw.boot import status as looking

    return looking.status(context(app, Silent()), installing=installing)


@boot.command()
@click.option("--quiet", is_flag=True, help="Print nothing; see the exit status.")
@output_option
@pass_app
def status(app: App, quiet: bool) -> int:
    """Check every ESP: whether it exists, and whether every file on it is right.

    Exit status: 0 no problem, 1 at least one problem, 2 no ESP is configured.
    """
    state = _status(app)
    if not quiet and app.output_format != "text":
        show_value(app, state.as_dict())
    elif not quiet:
        _print_status(app, state)
    if not state.esps:
        return NO_ESP
    return 0 if state.ok else NOT_OK


def _print_status(app: App, state: "Status") -> None:
    if not state.esps:
        say("No ESPs are managed. To manage one: pvefw boot init PARTITION", err=True)
        return
    show_rows(app, [_row(esp) for esp in state.esps], ["uuid", "device", "loader", "state", "free"])
    say(f"kernels: {', '.join(state.kernels) or 'none'}; default: {state.default or 'none'}")
    if state.next_boot:
        say(f"once at the next boot: {state.next_boot}")
    for esp in state.esps:
        for problem in esp.problems:
            say(f"ESP {esp.uuid}: {problem}")
    for problem in state.problems:
        say(problem)
    if any(esp.is_behind for esp in state.esps):
        say("To bring the ESPs up to date: pvefw boot refresh")


def _row(esp: "EspStatus") -> dict[str, str]:
    loaders = [
        f"{name} {state['version']} ({', '.join(state['firmware'])})".replace("  ", " ")
        for name, state in esp.loaders.items()
    ]
    return {
        "uuid": esp.uuid,
        "device": esp.device,
        "loader": "; ".join(loaders),
        "state": esp.state,
        "free": f"{esp.free >> 20} of {esp.size >> 20} MiB" if esp.size else "",
    }


@boot.command("install-hooks")
@pass_app
def install_hooks(app: App) -> None:
    """Install hooks that refresh automatically."""
    from pvefw.boot import hooks

    for path in hooks.install(app.paths):
        say(f"Wrote {path}")
    for note in hooks.notes(app.paths):
        say(f"WARN: {note}", err=True)


@boot.group(invoke_without_command=True)
@output_option
@pass_app
@click.pass_context
def loader(ctx: click.Context, app: App) -> None:
    """Show which firmware and boot loader this host uses, and the evidence.

    Its commands manage the settings of boot loader plugins.
    """
    if ctx.invoked_subcommand is not None:
        return
    check_place(app, ctx)
    prepare(app)
    from pvefw.boot import firmware
    from pvefw.boot import status as looking

    detected = firmware.detect(app.paths)
    present, evidence = looking.present(context(app, Silent()))
    value: dict[str, Any] = {
        "firmware": detected.firmware.value,
        "secure-boot": detected.secure_boot,
        "loader": detected.loader or None,
        "entry": detected.entry or None,
        "on-esps": present,
        "suggested": firmware.suitable(app.paths),
        "evidence": [*detected.evidence, *evidence],
    }
    if app.output_format == "text":
        reasons = value.pop("evidence")
        show_value(app, value)
        for line in reasons:
            say(f"because: {line}")
    else:
        show_value(app, value)


instance_commands(loader, "bootloader")
