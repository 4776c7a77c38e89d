"""``pvefw boot kernel`` and ``boot cmdline``: which kernels are kept, which one boots, and how."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from pvefw.cli import candidates
from pvefw.cli.boot_context import context, refresh_esps
from pvefw.cli.changing import changing, remark
from pvefw.cli.framework import App, Group, output_option, pass_app
from pvefw.cli.output import show_value
from pvefw.cli.streams import offer, say
from pvefw.cli.tasks import run_task
from pvefw.core.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pvefw.core.model import Task

kernel = Group("kernel", help="Which kernels the ESPs offer, and which one boots.")
cmdline = Group("cmdline", help="The kernel's command line.")


@kernel.command("list")
@output_option
@pass_app
def list_(app: App) -> None:
    """List the kernels that are kept."""
    from pvefw.boot import choice, kernels, packages

    chosen = choice.load(app.paths)
    available = kernels.installed(app.paths)
    kept = kernels.automatic(
        available.versions, kernels.running(), packages=packages.installed(app.paths)
    )
    automatic = [version for version in reversed(kept) if version not in chosen.manual]
    if app.output_format != "text":
        show_value(
            app,
            {
                "manual": list(chosen.manual),
                "automatic": automatic,
                "pinned": chosen.pinned,
                "next-boot": chosen.next_boot,
                "incomplete": dict(available.incomplete),
            },
        )
        return
    _print_kernels("Manually selected kernels:", chosen.manual)
    say()
    _print_kernels("Automatically selected kernels:", automatic)
    if chosen.pinned:
        say(f"\nPinned kernel:\n{chosen.pinned}")
    if chosen.next_boot:
        say(f"\nKernel pinned on next-boot:\n{chosen.next_boot}")
    for version, why in available.incomplete.items():
        say(f"WARN: kernel {version} is not complete: {why}", err=True)


def _print_kernels(title: str, versions: Sequence[str]) -> None:
    say(title)
    for version in versions or ["None."]:
        say(version)


@kernel.command()
@click.argument("version", shell_complete=candidates.kernels)
@pass_app
@changing
def add(app: App, version: str) -> None:
    """Keep the kernel VERSION on the ESPs, whatever else is installed."""
    from pvefw.boot import choice

    if choice.add(app.paths, version):
        remark(app, f"Added kernel {version}. The ESPs get it with: pvefw boot refresh")
    else:
        remark(app, f"Kernel {version} is already selected.")


@kernel.command()
@click.argument("version", shell_complete=candidates.kernels)
@pass_app
def remove(app: App, version: str) -> None:
    """Stop keeping kernel VERSION on the ESPs."""
    from pvefw.boot import choice

    if choice.remove(app.paths, version):
        say(f"Removed kernel {version}. The ESPs change with: pvefw boot refresh")
    else:
        say(f"Kernel {version} is not selected manually.")


_next_boot = click.option("--next-boot", is_flag=True, help="For the next boot only.")


@kernel.command()
@click.argument("version", shell_complete=candidates.kernels)
@_next_boot
@pass_app
def pin(app: App, /, version: str, next_boot: bool) -> None:
    """Boot VERSION from now on, or once."""
    from pvefw.boot import choice, kernels

    kernels.installed(app.paths).find(version)  # a mistyped one is no failed task

    def alter() -> None:
        choice.pin(app.paths, version, next_boot=next_boot)

    _choose(app, alter, f"Set kernel {version} to boot {'once' if next_boot else 'by default'}.")


@kernel.command()
@_next_boot
@pass_app
def unpin(app: App, next_boot: bool) -> None:
    """Boot the latest kernel again: remove both pins, or only that for the next boot."""
    from pvefw.boot import choice

    there = [path for path in choice.pins(app.paths) if path.exists()]
    if not there or (next_boot and app.paths.next_boot_kernel not in there):
        say("No kernel was pinned.")
        return

    def alter() -> None:
        choice.unpin(app.paths, next_boot=next_boot)

    both = len(there) > 1 and not next_boot
    _choose(app, alter, "Removed both pins." if both else "Removed the pin.")


def _choose(app: App, alter: Callable[[], object], report: str) -> None:
    """Make a choice. The ESPs are refreshed if somebody says so; without any, the loader is told.

    :param report: what is printed when it is made, and not before.
    """
    from pvefw.store import kernel_files

    if not kernel_files.entries(app.paths.esp_uuids):
        from pvefw.boot import select

        def work(task: "Task") -> None:
            select.change(context(app, task), alter)
            task.log(report)

        run_task(app, "bootselect", work)
        return
    alter()
    say(report)
    if offer("Refresh the ESPs now?", default=False):
        refresh_esps(app)
    else:
        say("To apply: pvefw boot refresh")


# --- the command line ---------------------------------------------------------------------------------


@cmdline.command()
@output_option
@pass_app
def get(app: App) -> None:
    """Show the command line that kernels are started with."""
    from pvefw.boot import cmdline as command_line

    line = command_line.wanted(app.paths)
    text = line.text
    if not line.written:
        say(f"{app.paths.cmdline} does not exist: this is the running one.", err=True)
    if app.output_format == "text":
        say(text)
    else:
        show_value(app, {"cmdline": text})


@cmdline.command("set")
@click.argument("text")
@pass_app
@changing
def set_(app: App, text: str) -> None:
    """Set the command line; it must have a root=."""
    from pvefw.boot import cmdline as command_line
    from pvefw.store import kernel_files

    try:
        line = command_line.check(text, "boot cmdline set")
    except ConfigError as error:  # nobody's file: what was typed
        raise UsageError(error.message, hint=error.hint) from error
    kernel_files.set_value(app.paths.cmdline, line)
    remark(app, "To apply: pvefw boot refresh")
