"""Explains wrong use: one sentence with the cause, and the next step.

click says what it could not parse; its words are for programmers. What was meant is looked for by
:mod:`pvefw.cli.suggestions`.
"""

import re
import shlex
from collections.abc import Sequence

import click

from pvefw.cli import habits, suggestions, tree
from pvefw.cli.framework import App, NoSuchCommand, YesOrNo

_EXTRA = re.compile(r"Got unexpected extra arguments? \((.*)\)", re.DOTALL)
_VALUE = re.compile(r"^'?(.*?)'? is not ", re.DOTALL)
_OTHER_KIND = re.compile(r"(?:File|Directory) '(.*)' is (a directory|a file)", re.DOTALL)
_FEW = 8
_LONGEST = 60
"""Characters of what was typed that are repeated."""


def explain(app: App, error: click.UsageError) -> tuple[str, str]:
    """The sentence, and the hint."""
    ctx = error.ctx
    if ctx is None:
        return f"pvefw: {_plain(error.format_message())}", "See: pvefw --help"
    path = ctx.command_path.split()[1:]
    rest = _behind(app.arguments, path)
    problem, hint = _explained(error, ctx, path, rest)
    hint = _typeset(app.arguments) or hint
    return f"{ctx.command_path}: {problem}", hint or f"See: {ctx.command_path} --help"


def _typeset(arguments: Sequence[str]) -> str:
    """The line without the dashes and quotes of printed text, where it was copied with them."""
    words = [habits.unset(word) for word in arguments]
    if words == list(arguments) or not (suggestions.accepted(words) or "--help" in words):
        return ""
    return f"Dashes and quotes are those of printed text. Did you mean: {shlex.join(['pvefw', *words])}"


def _explained(
    error: click.UsageError, ctx: click.Context, path: Sequence[str], rest: Sequence[str]
) -> tuple[str, str]:
    match error:
        case NoSuchCommand():
            if not error.name.strip():
                return "the name of the command is empty", _commands(ctx)
            problem = f"there is no command '{_short(error.name)}'"
            return problem, suggestions.command(path, error.name, error.rest) or _commands(ctx)
        case click.NoSuchOption():
            given = _typed(error.option_name, rest)
            hint = suggestions.option(path, given, rest) or _options(ctx)
            return f"there is no option {_short(given)}", hint
        case click.BadOptionUsage():
            return _value_missing(error, ctx)
        case click.MissingParameter():
            return _missing(error, path)
        case click.BadParameter():
            return _bad_value(error, path)
    extra = _EXTRA.match(error.message)
    if extra:
        words = _last(rest, extra[1])
        problem = f"unexpected argument: {_short(' '.join(words))}"
        return problem, suggestions.superfluous(path, rest, words)
    return _plain(error.format_message()), ""


def _behind(arguments: Sequence[str], path: Sequence[str]) -> list[str]:
    """What was typed behind the name of the command: options may be between its words."""
    left, names = list(arguments), list(path)
    while names and left:
        if left.pop(0) == names[0]:
            names.pop(0)
    return list(arguments) if names else left


def _last(rest: Sequence[str], joined: str) -> list[str]:
    """The words that click has joined."""
    for start in range(len(rest) - 1, -1, -1):
        words = [word for word in rest[start:] if word in joined]
        if " ".join(words) == joined:
            return words
    return joined.split()


def _typed(option: str, rest: Sequence[str]) -> str:
    """An option as it was typed: click takes ``-abc`` for ``-a``."""
    if option.startswith("--"):
        return option
    return next((word.partition("=")[0] for word in rest if word.startswith(option)), option)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _plain(message: str) -> str:
    """A message of click's as a part of a sentence."""
    words = " ".join(message.split()).rstrip(".")
    return words[:1].lower() + words[1:] if words[1:2].islower() else words


def _commands(ctx: click.Context) -> str:
    """The commands of a small group."""
    group = ctx.command
    if ctx.parent is None or not isinstance(group, click.Group):
        return ""
    return f"Commands: {', '.join(group.list_commands(ctx))}. See: {ctx.command_path} --help"


def _options(ctx: click.Context) -> str:
    """The options that a command has beside those that every command accepts, if they are few."""
    common = {name for name, _, _ in tree.OPTIONS}
    own = [
        max(parameter.opts, key=len)
        for parameter in ctx.command.params
        if isinstance(parameter, click.Option) and not common & {*parameter.opts}
    ]
    if not 0 < len(own) <= _FEW:
        return ""
    return f"Options: {', '.join(own)}. See: {ctx.command_path} --help"


# --- values ---------------------------------------------------------------------------------------


def _value_missing(error: click.BadOptionUsage, ctx: click.Context) -> tuple[str, str]:
    param = next(
        (
            parameter
            for parameter in ctx.command.get_params(ctx)
            if error.option_name in parameter.opts
        ),
        None,
    )
    name = suggestions.name_of(param) if param else error.option_name
    if "not take" in error.message:
        return f"{name} takes no value", f"Give it alone: {name}"
    takes = _takes(param) if param else ""
    takes = f"{name} takes {takes}. " if takes else ""
    return f"{name}: the value is missing", f"{takes}See: {ctx.command_path} --help"


def _takes(param: click.Parameter) -> str:
    """What may be given to a parameter, in words."""
    kind = param.type
    if isinstance(kind, click.Choice):
        return _or([str(choice) for choice in kind.choices])
    if isinstance(kind, YesOrNo):
        return "1 or 0"
    if isinstance(kind, click.IntRange):
        return _whole(kind)
    if kind is click.INT:
        return "a whole number"
    if param.metavar and re.fullmatch(r"[a-z0-9]+(\|[a-z0-9]+)+", param.metavar):
        return _or(param.metavar.split("|"))
    if isinstance(kind, click.Path):
        return "a file" if kind.file_okay else "a directory"
    return " or ".join(
        (param.metavar or "a value").replace(",…", ", several with commas").split("|")
    )


def _whole(kind: click.IntRange) -> str:
    if kind.max is None:
        return f"a whole number, {kind.min} or more"
    return f"a whole number from {kind.min or 0} to {kind.max}"


def _or(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _missing(error: click.MissingParameter, path: Sequence[str]) -> tuple[str, str]:
    param = error.param
    if param is None:  # another distribution's command says it in its own words
        return _plain(error.message or error.format_message()), ""
    name = " ".join(suggestions.required(param)).replace("|", " or ") or suggestions.name_of(param)
    example = f"Give it: {suggestions.line(path)}"
    if isinstance(param.type, click.Choice):
        return f"{name} is missing", f"Choose from: {_listed(param.type)}. {example}"
    return f"{name} is missing", f"{example}\nSee: {' '.join(['pvefw', *path])} --help"


def _listed(kind: "click.Choice[str]") -> str:
    return ", ".join(map(str, kind.choices))


def _bad_value(error: click.BadParameter, path: Sequence[str]) -> tuple[str, str]:
    param = error.param
    if param is None:
        return _plain(error.message), ""
    name, kind = re.sub(r"^\[(\w+)\](\.\.\.)?$", r"\1", suggestions.name_of(param)), param.type
    value = _VALUE.match(error.message)
    given = _short(value[1]) if value else ""
    if isinstance(kind, click.Choice) and value:
        close = suggestions.close(given.lower(), [str(choice) for choice in kind.choices])
        doubt = f" (did you mean {close}?)" if close else ""
        order = isinstance(param, click.Argument) and not close
        usage = _in_order(path) if order else ""
        return f"{name}: '{given}' is not valid{doubt}", f"Choose from: {_listed(kind)}.{usage}"
    if type(kind) in (click.types.IntParamType, click.IntRange) and value:
        return f"{name}: '{given}' is not {_takes(param)}", ""
    if isinstance(kind, click.DateTime):
        given = _short(error.message.partition("'")[2].partition("'")[0])
        return f"{name}: '{given}' is not a date such as 2027-12-31", ""
    if isinstance(kind, click.Path):
        what = "a file" if kind.file_okay else "a directory"
        if "does not exist" in error.message:
            return _no_such_file(error, name, what)
        if other := _OTHER_KIND.match(error.message):
            return (
                f"{name}: {_short(other[1])} is {other[2]}",
                f"{name} takes {what}: check the path.",
            )
    return f"{name}: {_plain(error.message)}", ""


def _in_order(path: Sequence[str]) -> str:
    """How a command's words follow each other, where it takes any."""
    usage, advice = suggestions.line(path), habits.CHOICES.get(" ".join(path))
    order = f" In this order: {usage}" if usage.split()[1 + len(path) :] else ""
    return f"{order}\n{advice}" if advice else order


def _no_such_file(error: click.BadParameter, name: str, what: str) -> tuple[str, str]:
    given = error.message.partition("'")[2].rpartition("'")[0]
    if "-----BEGIN " in given:  # what the file should contain, perhaps a key: it is not repeated
        return (
            f"{name}: this is what {what} contains, and not its name",
            f"{name} takes the name of {what}: write the text into one, with mode 0600, and name it.",
        )
    if "=" in given:  # a setting, perhaps a secret: it is not repeated
        return f"{name}: this is not the name of {what}", f"{name} takes {what} with such lines."
    return (
        f"{name}: there is no {what[2:]} {_short(given)}",
        f"{name} takes {what}: check the path.",
    )
