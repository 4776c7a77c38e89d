"""``pvefw boot``: kernels, and the ESPs that this host boots from."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pvefw.cli import candidates
from pvefw.cli.framework import App, Group, output_option, pass_app
from pvefw.cli.output import show_rows, show_value
from pvefw.cli.tasks import run_task
from pvefw.errors import ConfigError, UsageError
from pvefw.model import Task

if TYPE_CHECKING:
    from pvefw.boot.machine import Machine
    from pvefw.boot.refresh import Context
    from pvefw.boot.status import EspStatus, Status

NO_ESP, NOT_OK = 2, 1
boot = Group("boot", help="What this host boots: kernels, boot loaders, EFI system partitions.")
kernel = Group("kernel", help="Which kernels the ESPs offer, and which one boots.")
cmdline = Group("cmdline", help="The kernel's command line.")
boot.add_command(kernel)
boot.add_command(cmdline)


def machine(app: App) -> "Machine":
    """The disks that commands work on."""
    from pvefw.boot.machine import Host

    return Host(app.paths)


def _context(app: App, task: Task) -> "Context":
    from pvefw.boot.loaders import Loaders
    from pvefw.boot.refresh import Context

    return Context(app.paths, machine(app), Loaders.load(), task)


class _Silent:
    """Stands in for a task where nothing is changed."""

    cancelled = False

    def log(self, message: str) -> None:
        """Not shown."""

    def warn(self, message: str) -> None:
        """Shown."""
        click.echo(f"WARN: {message}", err=True)

    def wait(self, seconds: float) -> None:
        """Never needed."""
        raise AssertionError(f"nothing here waits {seconds} s")


def _confirm(lines: Sequence[str], *, yes: bool) -> None:
    """Show what is about to be done, and ask.

    :raises UsageError: nobody is there to answer.
    :raises click.Abort: the answer is no.
    """
    for line in lines:
        click.echo(line)
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to be asked; nothing was done", hint="Give --yes.")
    click.confirm("Do it?", abort=True)


_yes = click.option("--yes", is_flag=True, help="Do not ask.")


# --- disks --------------------------------------------------------------------------------------------


@boot.command("format")
@click.argument("partition", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Also where there is a file system on it.")
@_yes
@pass_app
def format_(app: App, /, partition: Path, force: bool, yes: bool) -> None:
    """Make the FAT file system of an ESP on PARTITION."""
    from pvefw.boot import prepare

    planned = prepare.check_format(machine(app).devices(), partition, force=force)
    _confirm(planned.lines, yes=yes)

    def work(task: Task) -> None:
        task.log(f"{partition}: FAT32, volume id {prepare.format_(planned)}")

    run_task(app, "bootformat", work)


@boot.command()
@click.argument("disk", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Also where there is something on it.")
@_yes
@pass_app
def partition(app: App, /, disk: Path, force: bool, yes: bool) -> None:
    """Write the installer's partitions to DISK: BIOS boot, ESP, the rest."""
    from pvefw.boot import prepare

    planned = prepare.check_partition(machine(app).devices(), disk, force=force)
    _confirm(planned.lines, yes=yes)

    def work(task: Task) -> None:
        prepare.partition(planned)
        task.log(f"{disk}: partitioned")

    run_task(app, "bootpartition", work)


# --- ESPs ---------------------------------------------------------------------------------------------


@boot.command()
@click.argument("partition", type=click.Path(path_type=Path))
@click.argument("loader", required=False, default="", metavar="[LOADER]")
@pass_app
def init(app: App, /, partition: Path, loader: str) -> None:
    """Put a boot loader on PARTITION, keep it in step from now on, and refresh.

    LOADER is grub, systemd-boot or another plugin; without it, the one that fits this machine.
    """
    from pvefw.boot import registry

    run_task(app, "bootinit", lambda task: registry.init(_context(app, task), partition, loader))


@boot.command()
@pass_app
def reinit(app: App) -> None:
    """Put the boot loader on every ESP again, and refresh."""
    from pvefw.boot import registry

    run_task(app, "bootreinit", lambda task: registry.reinit(_context(app, task)))


@boot.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@pass_app
def clean(app: App, dry_run: bool) -> None:
    """Take ESPs that are not there from the list."""
    from pvefw.boot import registry

    gone = registry.clean(_context(app, _Silent()), dry_run=dry_run)
    for entry in gone:
        click.echo(f"{'would be removed' if dry_run else 'removed'}: {entry}")
    if not gone:
        click.echo("All ESPs of the list are there.")


@boot.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be changed.")
@click.option("--installing", metavar="VERSION", default="", help="Keep this kernel (for hooks).")
@click.option(
    "--hook",
    metavar="NAME",
    expose_value=False,
    help="For callers of proxmox-boot-tool; all is refreshed.",
)
@pass_app
def refresh(app: App, /, dry_run: bool, installing: str) -> None:
    """Bring every ESP up to date: kernels, configuration, default."""
    if dry_run:
        _show_changes(app, installing)
        return
    _refresh(app, installing)


def _refresh(app: App, installing: str = "") -> None:
    from pvefw.boot import refresh as refreshing

    def work(task: Task) -> None:
        refreshing.refresh(_context(app, task), installing=installing)

    run_task(app, "bootrefresh", work)


def _show_changes(app: App, installing: str) -> None:
    found = _status(app, installing)
    if not found.esps:
        click.echo("No ESP is configured; nothing to do.")
    for one in found.esps:
        click.echo(f"ESP {one.uuid}{f' ({one.device})' if one.device else ''}:")
        for line in one.problems or ["nothing to do"]:
            click.echo(f"  {line}")
    for problem in found.problems:
        click.echo(problem)


def _status(app: App, installing: str = "") -> "Status":
    from pvefw.boot import status as looking

    return looking.status(_context(app, _Silent()), installing=installing)


@boot.command()
@click.option("--quiet", is_flag=True, help="Print nothing; the exit status says it.")
@output_option
@pass_app
def status(app: App, quiet: bool) -> int:
    """Check every ESP: is it there, and is all on it as it should be?

    Exit status: 0 all is well, 1 something is not, 2 no ESP is configured.
    """
    found = _status(app)
    if not quiet and app.output_format != "text":
        show_value(app, found.as_dict())
    elif not quiet:
        _print_status(app, found)
    if not found.esps:
        return NO_ESP
    return 0 if found.ok else NOT_OK


def _print_status(app: App, found: "Status") -> None:
    if not found.esps:
        click.echo("No ESP is configured.", err=True)
        return
    show_rows(app, [_row(one) for one in found.esps], ["uuid", "device", "loader", "state", "free"])
    click.echo(f"kernels: {', '.join(found.kernels) or 'none'}; default: {found.default or 'none'}")
    if found.next_boot:
        click.echo(f"once at the next boot: {found.next_boot}")
    for one in found.esps:
        for problem in one.problems:
            click.echo(f"ESP {one.uuid}: {problem}")
    for problem in found.problems:
        click.echo(problem)


def _row(one: "EspStatus") -> dict[str, str]:
    loaders = [
        f"{name} {state['version']} ({', '.join(state['firmware'])})".replace("  ", " ")
        for name, state in one.loaders.items()
    ]
    return {
        "uuid": one.uuid,
        "device": one.device,
        "loader": "; ".join(loaders),
        "state": one.state,
        "free": f"{one.free >> 20} of {one.size >> 20} MiB" if one.size else "",
    }


@boot.command("install-hooks")
@pass_app
def install_hooks(app: App) -> None:
    """Refresh by itself when a kernel or initrd changes, and after a boot that was to happen once."""
    from pvefw.boot import hooks

    for path in hooks.install(app.paths):
        click.echo(f"Wrote {path}")


@boot.command()
@output_option
@pass_app
def loader(app: App) -> None:
    """Say which firmware and boot loader this host uses, and how that was found out."""
    from pvefw.boot import firmware
    from pvefw.boot import status as looking

    found = firmware.detect(app.paths)
    present, evidence = looking.present(_context(app, _Silent()))
    value = {
        "firmware": found.firmware.value,
        "secure-boot": found.secure_boot,
        "loader": found.loader or None,
        "entry": found.entry or None,
        "on-esps": present,
        "suggested": firmware.suitable(app.paths),
        "evidence": [*found.evidence, *evidence],
    }
    show_value(app, value)


# --- kernels ------------------------------------------------------------------------------------------


@kernel.command("list")
@output_option
@pass_app
def list_(app: App) -> None:
    """List the kernels that are kept."""
    from pvefw.boot import choice, kernels

    chosen = choice.load(app.paths)
    found = kernels.installed(app.paths)
    automatic = [
        version
        for version in reversed(kernels.automatic(found.versions, kernels.running()))
        if version not in chosen.manual
    ]
    if app.output_format != "text":
        show_value(
            app,
            {
                "manual": list(chosen.manual),
                "automatic": automatic,
                "pinned": chosen.pinned,
                "next-boot": chosen.next_boot,
                "incomplete": dict(found.incomplete),
            },
        )
        return
    _print_kernels("Manually selected kernels:", chosen.manual)
    click.echo()
    _print_kernels("Automatically selected kernels:", automatic)
    if chosen.pinned:
        click.echo(f"\nPinned kernel:\n{chosen.pinned}")
    if chosen.next_boot:
        click.echo(f"\nKernel pinned on next-boot:\n{chosen.next_boot}")
    for version, why in found.incomplete.items():
        click.echo(f"WARN: kernel {version} is not complete: {why}", err=True)


def _print_kernels(title: str, versions: Sequence[str]) -> None:
    click.echo(title)
    for version in versions or ["None."]:
        click.echo(version)


@kernel.command()
@click.argument("version", shell_complete=candidates.kernels)
@pass_app
def add(app: App, version: str) -> None:
    """Keep the kernel VERSION on the ESPs, whatever else is installed."""
    from pvefw.boot import choice

    if choice.add(app.paths, version):
        click.echo(f"Added kernel {version}. The ESPs get it with: pvefw boot refresh")
    else:
        click.echo(f"Kernel {version} is selected already.")


@kernel.command()
@click.argument("version", shell_complete=candidates.kernels)
@pass_app
def remove(app: App, version: str) -> None:
    """Take back that VERSION was selected."""
    from pvefw.boot import choice

    if choice.remove(app.paths, version):
        click.echo(f"Removed kernel {version}. The ESPs change with: pvefw boot refresh")
    else:
        click.echo(f"Kernel {version} is not selected manually.")


_next_boot = click.option("--next-boot", is_flag=True, help="For the next boot only.")


@kernel.command()
@click.argument("version", shell_complete=candidates.kernels)
@_next_boot
@pass_app
def pin(app: App, /, version: str, next_boot: bool) -> None:
    """Boot VERSION from now on, or once."""
    from pvefw.boot import choice

    def alter() -> None:
        choice.pin(app.paths, version, next_boot=next_boot)
        click.echo(f"Set kernel {version} to boot {'once' if next_boot else 'by default'}.")

    _choose(app, alter)


@kernel.command()
@_next_boot
@pass_app
def unpin(app: App, next_boot: bool) -> None:
    """Boot the latest kernel again: take back both pins, or only that for the next boot."""
    from pvefw.boot import choice

    there = [path for path in choice.pins(app.paths) if path.exists()]
    if not there or (next_boot and app.paths.next_boot_kernel not in there):
        click.echo("No kernel was pinned.")
        return

    def alter() -> None:
        choice.unpin(app.paths, next_boot=next_boot)
        click.echo("Removed the pin.")

    _choose(app, alter)


def _choose(app: App, alter: Callable[[], object]) -> None:
    """Make a choice. The ESPs are refreshed if somebody says so; without any, the loader is told."""
    from pvefw.store import kernel_files

    if not kernel_files.entries(app.paths.esp_uuids):
        from pvefw.boot import select

        run_task(app, "bootselect", lambda task: select.change(_context(app, task), alter))
        return
    alter()
    if sys.stdin.isatty() and click.confirm("Refresh the ESPs now?", default=False):
        _refresh(app)
    else:
        click.echo("It comes into force with: pvefw boot refresh")


# --- the command line ---------------------------------------------------------------------------------


@cmdline.command()
@output_option
@pass_app
def get(app: App) -> None:
    """Show the command line that kernels are started with."""
    from pvefw.boot import kernels

    text = kernels.cmdline(app.paths)
    if app.output_format == "text":
        click.echo(text)
    else:
        show_value(app, {"cmdline": text})


@cmdline.command("set")
@click.argument("text")
@pass_app
def set_(app: App, text: str) -> None:
    """Set the command line; it must have a root=."""
    from pvefw.boot import kernels
    from pvefw.store import kernel_files

    try:
        line = kernels.check_cmdline(text, "boot cmdline set")
    except ConfigError as error:  # nobody's file: what was typed
        raise UsageError(error.message, hint=error.hint) from error
    kernel_files.set_value(app.paths.cmdline, line)
    click.echo("It comes into force with: pvefw boot refresh")
