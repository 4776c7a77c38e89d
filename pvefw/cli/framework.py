"""Click, as pvefw uses it.

Groups import a command only when it is called; long options may have one dash; every command accepts
the options of :data:`~pvefw.cli.tree.OPTIONS`, and those that show something ``--output-format``.

``--help`` must be quick: nothing is imported here but click and what it brings.
"""

import importlib
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import Any, TypeVar

import click

from pvefw.cli import tree
from pvefw.cli.app import App, Caller, Printing, pass_app
from pvefw.cli.streams import say

__all__ = [
    "App",
    "Caller",
    "Command",
    "Group",
    "ListOption",
    "NoSuchCommand",
    "Printing",
    "YesOrNo",
    "check_place",
    "load_command",
    "output_option",
    "pass_app",
    "prepare",
    "recover_first",
]

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


# --- options ------------------------------------------------------------------------------------


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value is not None and param.name:
        setattr(ctx.ensure_object(App), param.name, value)


def _nodes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    from pvefw.cli import candidates

    return candidates.nodes(ctx, param, incomplete)


@cache
def _common_options() -> list[click.Parameter]:
    """The same objects for every command: the Tab key waits while they are made."""
    return [
        click.Option(
            [name],
            type=click.Path(file_okay=False) if value == "DIR" else None,
            shell_complete=_nodes if name == "--node" else None,
            metavar=value or None,
            is_flag=not value,
            default=None,
            expose_value=False,
            callback=_remember,
            help=text,
        )
        for name, value, text in tree.OPTIONS
    ]


def output_option(function: _Decorated) -> _Decorated:
    """Give a command that lists or shows something its ``--output-format``."""
    return click.option(
        "--output-format",
        type=click.Choice(["text", "json", "json-pretty", "yaml"]),
        expose_value=False,
        callback=_remember,
        help="How to print the result (default: text).",
    )(function)


class YesOrNo(click.types.BoolParamType):
    """A boolean value, as Proxmox VE's options have them: 1 or 0."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        try:
            return bool(super().convert(value, param, ctx))
        except click.BadParameter:
            self.fail(f"'{value}' is neither yes nor no: give 1 or 0", param, ctx)


class ListOption(click.Option):
    """An option with a list as its value, in one piece or in several: ``--vms 100,101 --vms 102``.

    pvenode takes both. Whoever has the value gets one text with commas; ``None`` where it is not given.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "multiple": True})

    def process_value(self, ctx: click.Context, value: Any) -> str | None:
        pieces = super().process_value(ctx, value)
        return ",".join(pieces) if pieces else None


class _Common(click.Command):
    """A command with the common options, whose long options may have one dash."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _common_options()

    def invoke(self, ctx: click.Context) -> Any:
        from pvefw.store import oddities

        app = ctx.ensure_object(App)
        with oddities.listening(app.warn, app.heard):
            return super().invoke(ctx)

    def get_help_option_names(self, ctx: click.Context) -> list[str]:
        return ["-h", *super().get_help_option_names(ctx)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {name for param in self.get_params(ctx) for name in param.opts}
        try:
            end = args.index("--") if "--" in args else len(args)
            ours = [_two_dashes(argument, known) for argument in args[:end]]
            return super().parse_args(ctx, [*ours, *args[end:]])
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # click's parser does not say where it was
            raise


def _two_dashes(argument: str, known: set[str]) -> str:
    """``-force`` as ``--force``, where that is an option, as Proxmox VE's commands do it."""
    name = argument.partition("=")[0]
    return f"-{argument}" if argument.startswith("-") and f"-{name}" in known else argument


class NoSuchCommand(click.UsageError):
    """A group has no command of this name."""

    def __init__(self, ctx: click.Context, name: str, rest: Sequence[str]) -> None:
        super().__init__(f"No such command '{name}'.", ctx)
        self.name = name
        self.rest = rest
        """What was typed behind it."""


class Command(_Common):
    """A command of pvefw. Whatever it does, it first ends an installation that was interrupted."""

    def invoke(self, ctx: click.Context) -> Any:
        app = ctx.ensure_object(App)
        check_place(app, ctx)
        if app.detach and (status := _run_apart(app)) is not None:
            ctx.exit(status)
        prepare(app)
        return super().invoke(ctx)


def check_place(app: App, ctx: click.Context) -> None:
    """Refuse to act on this machine in the name of another node.

    :raises UsageError: the command would.
    """
    if app.node:
        from pvefw.cli import placement

        placement.check(app.paths, ctx.command_path.partition(" ")[2])


def prepare(app: App) -> None:
    """What every command does first."""
    if app.trace_plugins:
        from pvefw.core import trace

        trace.begin()
    recover_first(app)


def _run_apart(app: App) -> int | None:
    from pvefw.cli import detached

    return detached.run_apart(app.arguments)


def recover_first(app: App) -> None:
    """End an installation that was interrupted.

    Where that cannot be done, it is a warning: a kernel that is installed must boot all the same.
    """
    try:
        interrupted = app.paths.install_intent.exists()
    except PermissionError:
        return  # who may not look could not end it, either
    if interrupted:
        from pvefw.certs import install
        from pvefw.core.errors import PvefwError

        try:
            install.recover(app.paths)
        except PvefwError as error:
            app.warn(f"an interrupted installation could not be completed: {error.message}")


class Group(_Common, click.Group):
    """A group whose commands are imported when they are called.

    :param commands_of: its name in the tree, with dots, empty for the first level: its commands are found
        there. ``None`` for a group that has them itself.
    """

    command_class = Command

    def __init__(self, *args: Any, commands_of: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._commands_of = commands_of

    @cached_property
    def _found(self) -> dict[str, tree.Subcommand]:
        return {} if self._commands_of is None else tree.commands(self._commands_of)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self._found, *super().list_commands(ctx)})

    @cached_property
    def _own(self) -> dict[str, tree.Subcommand]:
        return {} if self._commands_of is None else tree.own_commands(self._commands_of)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._own.get(cmd_name) or self._found.get(cmd_name)
        return load_command(entry) if entry else super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, args)
        if name == "help":
            return name, _help_of(self), args[1:]
        if name.startswith("-"):
            raise click.NoSuchOption(name.partition("=")[0], ctx=ctx)
        raise NoSuchCommand(ctx, name, args[1:])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        if not self._found:
            return super().shell_complete(ctx, incomplete)
        from click.shell_completion import CompletionItem

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=self._line(ctx, name)) for name in names), *options]

    def listed(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Each command's name and what it does."""
        return [(name, self._line(ctx, name)) for name in self.list_commands(ctx)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self.listed(ctx))

    def _line(self, ctx: click.Context, name: str) -> str:
        """The line of help of a command; only that of pvefw's own is known without importing it.

        A distribution's summary is about the one command that it adds here. Where it adds several, or the
        group has the command itself, the command says what it does.
        """
        entry = self._found.get(name)
        if entry is not None and (entry.ours or self._is_only(entry)):
            return entry.help
        from pvefw.core.errors import PvefwError

        try:
            command = self.get_command(ctx, name)
        except PvefwError as error:
            return error.message
        return command.get_short_help_str(limit=200) if command else ""

    def _is_only(self, entry: tree.Subcommand) -> bool:
        of = entry.point.distribution.name
        return (
            sum(candidate.point.distribution.name == of for candidate in self._found.values()) == 1
        )


def _help_of(group: Group) -> click.Command:
    """``pvefw help acme cert`` for those who do not think of ``--help``."""

    @click.command("help", context_settings={"ignore_unknown_options": True})
    @click.argument("words", nargs=-1)
    @click.pass_context
    def show(ctx: click.Context, words: tuple[str, ...]) -> None:
        above = ctx.parent or ctx
        command: click.Command = group
        rest = [word for word in words if not word.startswith("-")]
        while rest and isinstance(command, click.Group):
            name, inner, rest = command.resolve_command(above, rest)
            command = inner or command
            above = click.Context(command, parent=above, info_name=name)
        say(command.get_help(above))

    return show


def load_command(entry: tree.Subcommand) -> click.Command:
    """Import a command. One that is broken concerns only those who call it.

    :raises PluginBroken: another distribution's command is made for another pvefw, cannot be imported, or
        is not a command.
    """
    point = entry.point
    if entry.ours:  # nothing is guarded there, and the guard takes its time to be imported
        module, _, attribute = point.value.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command
    from pvefw.core import loading

    who = f"pvefw {point.name.replace('.', ' ')} ({point.distribution.name})"
    loaded = loading.load(point, who)
    if not isinstance(loaded, click.Command):
        raise loading.broken(point, who, f"{point.value} is not a click command")
    return loaded


Group.group_class = Group
