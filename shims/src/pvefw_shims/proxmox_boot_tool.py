"""``proxmox-boot-tool``: ``pvefw boot`` with the reference's output and exit status."""

import contextlib
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence

from pvefw.cli import boot_context
from pvefw.cli.framework import App
from pvefw.cli.run import DONE, FAILED, call, guarded
from pvefw.cli.streams import say
from pvefw.core.errors import UsageError

PROGRAM = "proxmox-boot-tool"
NO_LIST = 2
HOOKS = ("proxmox-auto-removal", "zz-proxmox-boot")
"""The kernel hooks of the reference; ``refresh --hook`` runs one of them."""
_COMMANDS = (
    ("format <partition> [--force]", "Make the file system of an EFI system partition."),
    ("init <partition> [<loader>]", "Put a boot loader on it, and keep it up to date from now on."),
    ("reinit", "Put the boot loader on every ESP of the list again."),
    ("clean [--dry-run]", "Remove missing ESPs from the list."),
    ("refresh [--hook <name>]", "Bring every ESP of the list up to date."),
    ("kernel add <version>", "Keep a kernel, whatever else is installed."),
    ("kernel remove <version>", "Undo that."),
    ("kernel pin <version> [--next-boot]", "Boot a kernel from now on, or once."),
    ("kernel unpin [--next-boot]", "Boot the latest kernel again."),
    ("kernel list", "List the kernels that are kept."),
    ("status [--quiet]", "Show the ESPs; ends with 2 where there is no list of them."),
    ("help", "Show this."),
)


def main() -> None:
    """The console script."""
    from pvefw.cli.streams import carry_out

    carry_out(lambda: run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Run a command line.

    :returns: 0 done, 1 it failed or cannot be understood, 2 there is no list of ESPs.
    """
    app = App(["boot", *words])
    app.error_prefix = PROGRAM
    chosen = DONE

    def work() -> None:
        nonlocal chosen
        chosen = _dispatch(app, list(words))

    return chosen if guarded(app, work) == DONE else FAILED


def _dispatch(app: App, words: list[str]) -> int:
    if words[:1] == ["kernels"]:
        words[0] = "kernel"
    for name in (" ".join(words[:2]), " ".join(words[:1])):
        if name in DIFFERENCES:
            return DIFFERENCES[name](app, words)
    return _boot(app, words)


def _boot(app: App, words: Sequence[str]) -> int:
    """Carry out the command of ``pvefw boot``."""
    app.arguments = ["boot", *words]
    status = call(app, app.arguments)
    return status if isinstance(status, int) else DONE


# --- what differs ---------------------------------------------------------------------------------


def _usage(_app: App, _words: Sequence[str]) -> int:
    say(f"USAGE: {PROGRAM} <command> [ARGS]\n", err=True)
    for synopsis, _ in _COMMANDS:
        say(f"  {PROGRAM} {synopsis}", err=True)
    return DONE


def _help(_app: App, _words: Sequence[str]) -> int:
    for synopsis, text in _COMMANDS:
        say(f"USAGE: {PROGRAM} {synopsis}\n\n    {text}\n")
    return DONE


def _without_asking(app: App, words: Sequence[str]) -> int:
    return _boot(app, [*words, "--yes"])


def _has_list(app: App) -> bool:
    return app.paths.esp_uuids.exists()


def _only_with_list(app: App, words: Sequence[str]) -> int:
    if _has_list(app):
        return _boot(app, words)
    say(f"{PROGRAM}: {app.paths.esp_uuids} does not exist: no ESPs are managed", err=True)
    return NO_LIST


def _whether_there_is_a_list(app: App, words: Sequence[str]) -> int:
    """Scripts ask it whether ESPs are used at all; that one of them is out of step is no answer."""
    match words[1:]:
        case ["--quiet"]:
            return DONE if _has_list(app) else NO_LIST
        case [] if _has_list(app):
            _boot(app, words)
            return DONE
        case []:
            return _only_with_list(app, words)
    return _boot(app, words)


def _known_hook(app: App, words: Sequence[str]) -> int:
    if len(words) > 1 and words[1] == "--hook" and words[2:3] and words[2] not in HOOKS:
        raise UsageError(
            f"refresh: --hook: there is no hook '{words[2]}'", hint=f"They are {', '.join(HOOKS)}."
        )
    return _boot(app, words)


def _as_sorted_by_sort(app: App, words: Sequence[str]) -> int:
    """As text, as sort(1) does it; a pinned kernel is among those that are kept."""
    if words[2:]:
        return _boot(app, words)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        _boot(app, [*words, "--output-format", "json"])
    document = json.loads(printed.getvalue())
    manual, pins = document["manual"], [document["pinned"], document["next-boot"]]
    kept = {*document["automatic"], *filter(None, pins)} - {*manual}
    sections = [("Manually selected kernels:", manual or ["None."])]
    sections += [("Automatically selected kernels:", sorted(kept))]
    titles = ("Pinned kernel:", "Kernel pinned on next-boot:")
    sections += [(title, [pin]) for title, pin in zip(titles, pins, strict=True) if pin]
    say("\n\n".join("\n".join([title, *sorted(listed)]) for title, listed in sections))
    return DONE


def _whether_pinned_or_not(app: App, words: Sequence[str]) -> int:
    """The reference runs update-grub in any case, and so do scripts that have changed its settings."""
    from pvefw.boot import choice, select
    from pvefw.cli.tasks import run_task

    once = words[2:] == ["--next-boot"]
    unwanted = [app.paths.next_boot_kernel] if once else choice.pins(app.paths)
    pinned = any(path.exists() for path in unwanted)
    if pinned or _has_list(app) or (words[2:] and not once):
        return _boot(app, words)
    run_task(app, "bootselect", lambda task: select.select(boot_context.context(app, task)))
    return DONE


DIFFERENCES: Mapping[str, Callable[[App, Sequence[str]], int]] = {
    "": _usage,
    "clean": _only_with_list,
    "format": _without_asking,
    "help": _help,
    "kernel list": _as_sorted_by_sort,
    "kernel unpin": _whether_pinned_or_not,
    "refresh": _known_hook,
    "reinit": _only_with_list,
    "status": _whether_there_is_a_list,
}
"""All that differs from ``pvefw boot``, beside ``kernels`` for ``kernel`` and 1 for wrong use."""
