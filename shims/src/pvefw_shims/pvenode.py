"""``pvenode``: pvefw's commands with the reference's arguments, output and exit status."""

import contextlib
import difflib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import click

from pvefw.cli.framework import App, Printing
from pvefw.cli.groups import PVEFW
from pvefw.cli.run import DONE, FAILED, call, guarded
from pvefw.cli.streams import say
from pvefw.core.errors import UsageError
from pvefw_shims import arguments
from pvefw_shims.arguments import LISTING, Given
from pvefw_shims.pvenode_commands import COMMANDS

if TYPE_CHECKING:
    from pvefw.certs.certificate import Certificate

PROGRAM = "pvenode"
FAILURE = 255
"""What ``die`` and ``exit(-1)`` are in Perl."""
_HELP = "help"
_HELPS = frozenset({"--help", "-help", "-h"})
_FORMATS = ("text", "json", "json-pretty", "yaml")
_CarryOut = Callable[[], object]


def main() -> None:
    """The console script."""
    from pvefw.cli.streams import carry_out

    carry_out(lambda: run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Run a command line.

    :returns: 0 done; 255 it failed, or cannot be understood.
    """
    app = App(words)
    app.error_prefix = PROGRAM
    status = guarded(app, lambda: _listening(app, words))
    return DONE if status == DONE else FAILURE


def _listening(app: App, words: Sequence[str]) -> object:
    """What is odd in a file is also said where it is read before pvefw's command, or without one."""
    from pvefw.store import oddities

    with oddities.listening(app.warn, app.heard):
        return _dispatch(app, words)


# --- which command --------------------------------------------------------------------------------


def _dispatch(app: App, words: Sequence[str]) -> object:
    path, rest = _resolved(words)
    name = " ".join(path)
    if path == [_HELP]:
        return _help(app, [word for word in rest if not word.startswith("-")])
    if name in COMMANDS:
        return _carry_out(app, name, rest)
    if _below(path) and not rest:
        complaint = f"'{name}' is not complete" if name else "no command was given"
        say(f"{PROGRAM}: {complaint}\n{_usage(path)}", err=True)
        return FAILURE
    app.arguments = [*path, *rest]  # only pvefw has it
    return call(app, app.arguments, PROGRAM)


def _resolved(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command's whole name, and what follows it.

    :raises UsageError: there is no such command, or a part of its name is ambiguous.
    """
    path, rest = list[str](), list(words)
    while rest and not rest[0].startswith("-") and (names := _below(path)):
        word = rest.pop(0)
        known = word in names or _pvefw([*path, word]) is not None
        match = word if known else arguments.unique(word, names)
        if match is None:
            typed, known_ones = " ".join([*path, word]), " ".join([PROGRAM, _HELP, *path])
            close = difflib.get_close_matches(word, names, n=1)
            meant = " ".join([PROGRAM, *path, *close, *rest])
            hint = f"Did you mean: {meant}" if close else f"See {known_ones}"
            raise UsageError(f"there is no command '{typed}'", hint=hint)
        path.append(match)
    return path, rest


def _below(path: Sequence[str]) -> set[str]:
    """The words that may follow those of a group."""
    depth = len(path)
    split = (name.split() for name in COMMANDS)
    words_ = {words[depth] for words in split if words[:depth] == [*path] and len(words) > depth}
    return words_ if path else {*words_, _HELP}


def _pvefw(path: Sequence[str]) -> click.Command | None:
    """The command of pvefw with this name, below groups that there are."""
    command: click.Command | None = PVEFW
    for name in path:
        group = cast("click.Group", command)
        command = group.get_command(click.Context(group), name)
    return command


def _help(app: App, words: Sequence[str]) -> object:
    path, _ = _resolved(words)
    if _below(path):
        say(_usage(path))
        return None
    return call(app, [*path, "--help"], PROGRAM)


def _usage(path: Sequence[str]) -> str:
    start = " ".join([*path, ""]) if path else ""
    lines = [
        f"  {PROGRAM} {name} {command}"
        for name, command in COMMANDS.items()
        if name.startswith(start)
    ]
    more = [] if path else [f"  {PROGRAM} {_HELP} [<command>]"]
    return "\n".join(["USAGE:", *(line.rstrip() for line in (*lines, *more))])


# --- one command ----------------------------------------------------------------------------------


def _carry_out(app: App, name: str, words: Sequence[str]) -> object:
    expected, differs = COMMANDS[name], DIFFERENCES.get(name, Difference())
    command = cast("click.Command", _pvefw(name.split()))
    try:
        given = _printed(app, arguments.read(words, expected, command))
    except UsageError as error:
        hint = error.hint or f"See {PROGRAM} {_HELP} {name}"
        raise UsageError(f"{name}: {error.message}", hint=hint) from error
    if not _HELPS.intersection(words):
        differs.check(app, given)
    for_pvefw = arguments.for_pvefw(differs.change(given), expected, command)
    app.arguments = [*name.split(), *for_pvefw]
    return differs.work(app, given, lambda: call(app, app.arguments, PROGRAM))


def _printed(app: App, given: Given) -> Given:
    """Take the options that say how to print."""
    values = given.values
    app.printing = Printing(
        borders=not values.get("noborder"),
        header=not values.get("noheader"),
        quiet=bool(values.get("quiet")),
        human_readable=bool(values.get("human-readable", True)),
    )
    app.output_format = str(values.get("output-format", app.output_format))
    if app.output_format not in _FORMATS:
        raise UsageError(f"--output-format: it is one of {', '.join(_FORMATS)}")
    return given.without(*LISTING, "output-format")


# --- what differs ---------------------------------------------------------------------------------


def _names_only(app: App, given: Given, carry_out: _CarryOut) -> object:
    if given.more:
        return carry_out()
    from pvefw.store import accounts

    for name in accounts.names(app.paths):
        say(name)
    return None


def _lines_of_the_file(app: App, given: Given, carry_out: _CarryOut) -> object:
    if given.more:
        return carry_out()
    from pvefw.store import properties
    from pvefw.store.node import DESCRIPTION, Node
    from pvefw.store.node_config import NodeConfig

    wanted = str(given.values.get("property", "all"))
    known = properties.find(wanted) is not None or wanted in ("all", DESCRIPTION)
    if not known:
        raise UsageError(f"config get: --property: there is no property '{wanted}'")
    values = Node.open(app.paths).properties
    shown = {key: value for key, value in values.items() if wanted in ("all", key)}
    description = shown.pop(DESCRIPTION, "")
    config = NodeConfig().changed(dict(sorted(shown.items()))).described(description)
    say(config.render().decode(errors="replace"), nl=False)
    return None


def _answers_through_a_pipe(app: App, _given: Given) -> None:
    app.piped_answers = True


def _own(app: App) -> "Certificate":
    """That of Proxmox VE's services: the original has no other."""
    from pvefw.certs.certificate import Certificate
    from pvefw.store.node import Node

    return Certificate.own(Node.open(app.paths))


def _check_order(app: App, given: Given) -> None:
    from pvefw.certs import issue

    issue.check_order(_own(app), force=bool(given.values.get("force")))


def _check_renewal(app: App, given: Given) -> None:
    from pvefw.certs import renew
    from pvefw.host.clock import SystemClock

    renew.check_one(_own(app), SystemClock(), force=bool(given.values.get("force")))


def _check_revocation(app: App, _given: Given) -> None:
    _own(app).pem()


def _check_account(app: App, given: Given) -> None:
    from pvefw.store import accounts

    accounts.load(app.paths, str(given.values.get("name", "default")))


def _show_the_new_one(app: App, _given: Given, carry_out: _CarryOut) -> None:
    """The task's log goes where it cannot be taken for the result."""
    from pvefw.certs import chain
    from pvefw.cli.cert import show_certificate
    from pvefw.store import files

    with contextlib.redirect_stdout(sys.stderr):
        carry_out()
    path = app.paths.proxy_certificate
    app.printing.header = False
    show_certificate(app, chain.describe(path, files.read(path)).as_dict())


def _nothing_to_delete(app: App, given: Given, carry_out: _CarryOut) -> object:
    """Where there is no certificate, the reference deletes none, and scripts go on."""
    pair = (app.paths.proxy_certificate, app.paths.proxy_key, app.paths.install_intent)
    if given.more or any(os.path.lexists(path) for path in pair):
        return carry_out()
    say(f"{PROGRAM}: {app.paths.proxy_certificate} does not exist: nothing to delete", err=True)
    return None


def _all_but_ok(given: Given) -> Given:
    """``--errors`` wins over ``--statusfilter``."""
    if given.values.get("errors"):
        given = given.having(statusfilter="warning,error,unknown,running")
    listed = re.split(r"[,;\s]+", str(given.values.get("statusfilter", "")))
    changed = {"statusfilter": ",".join(state for state in listed if state)}
    return given.without("errors", "statusfilter").having(**{k: v for k, v in changed.items() if v})


def _times_as_numbers(app: App, _given: Given) -> None:
    app.printing.human_readable = False


def _whole_log(given: Given) -> Given:
    parts = ("limit", "start") if given.values.get("download") else ()
    return given.without("download", *parts)


def _older_name(given: Given) -> Given:
    number = given.values.get("maxworkers")
    return given if number is None else given.without("maxworkers").having(max_workers=number)


def _whatever_comes_of_it(app: App, _given: Given, carry_out: _CarryOut) -> int:
    app.known_guests_only = True
    status = guarded(app, carry_out)
    return DONE if status == FAILED and app.error_prefix != PROGRAM else status


@dataclass(frozen=True)
class Difference:
    """What a command does otherwise than pvefw's, beside its arguments and its exit status."""

    check: Callable[[App, Given], None] = lambda _app, _given: None
    """Refuses before there is a task."""
    change: Callable[[Given], Given] = lambda given: given
    """The options that pvefw gets."""
    work: Callable[[App, Given, _CarryOut], object] = lambda _app, _given, carry_out: carry_out()
    """What is done, or printed; may carry out pvefw's command."""


DIFFERENCES: Mapping[str, Difference] = {
    "acme account deactivate": Difference(check=_check_account),
    "acme account list": Difference(work=_names_only),
    "acme account register": Difference(check=_answers_through_a_pipe),
    "acme account update": Difference(check=_check_account),
    "acme cert order": Difference(check=_check_order),
    "acme cert renew": Difference(check=_check_renewal),
    "acme cert revoke": Difference(check=_check_revocation),
    "cert delete": Difference(work=_nothing_to_delete),
    "cert set": Difference(work=_show_the_new_one),
    "config get": Difference(work=_lines_of_the_file),
    "migrateall": Difference(change=_older_name, work=_whatever_comes_of_it),
    "startall": Difference(work=_whatever_comes_of_it),
    "stopall": Difference(work=_whatever_comes_of_it),
    "task list": Difference(check=_times_as_numbers, change=_all_but_ok),
    "task log": Difference(change=_whole_log),
}
"""All that differs. The reference does not look at how ``startall`` and its like have ended."""
