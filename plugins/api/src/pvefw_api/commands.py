"""``pvefw api``: the verbs of ``pvesh``, with its arguments and its output."""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from pvefw.cli.framework import App, Command, Group, output_option, pass_app
from pvefw.cli.streams import say
from pvefw.core.errors import PvefwError

if TYPE_CHECKING:
    from pvefw_api.calls import Job
    from pvefw_api.errors import ApiError
    from pvefw_api.schema import Properties, Schema
    from pvefw_api.table import Endpoint

api = Group(
    "api",
    commands_of="api",
    help="Call the management API of this host, as Proxmox VE's pvesh does.",
)

_OPTION = re.compile(r"--?([A-Za-z][A-Za-z0-9_-]*)(?:=(.*))?", re.DOTALL)
_ANY = {"ignore_unknown_options": True}
_KEPT = "--\0"
"""Before words that click is not to look into: no argument of a program has a zero byte."""
_HELP = {
    "get": "Call GET on PATH.",
    "create": "Call POST on PATH.",
    "set": "Call PUT on PATH.",
    "delete": "Call DELETE on PATH.",
}
_path = click.argument("path", metavar="PATH")
_PRINTING: "Properties" = {
    key: {"type": "boolean", "optional": True}
    for key in ("noborder", "noheader", "quiet", "human-readable", "noproxy")
}
"""Options that every call of pvesh has, unless they are parameters; nothing is handed on here anyway."""


class _Verb(Command):
    """A command whose words with one dash are parameters of an endpoint, where it has no such option.

    click would take them for options of one letter: ``-with-local-disks`` has an ``h``, which is help.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {name.lstrip("-") for param in self.get_params(ctx) for name in param.opts}
        kept = [f"{_KEPT}{word}" if _is_parameter(word, own) else word for word in args]
        return super().parse_args(ctx, kept)


def _is_parameter(word: str, own: set[str]) -> bool:
    return re.match(r"-[^-]", word) is not None and word[1:].partition("=")[0] not in own


def _verb(name: str) -> None:
    @api.command(
        name,
        cls=_Verb,
        help=f"{_HELP[name]} OPTIONS are the parameters, -KEY VALUE.",
        context_settings=_ANY,
    )
    @_path
    @click.argument("options", metavar="[OPTIONS]...", nargs=-1, type=click.UNPROCESSED)
    @click.option(
        "--stdin", is_flag=True, help="Read more parameters from standard input, as JSON."
    )
    @output_option
    @pass_app
    def verb(app: App, path: str, options: tuple[str, ...], stdin: bool) -> int:
        from pvefw_api import call, table
        from pvefw_api.calls import Job
        from pvefw_api.errors import ApiError

        method = table.METHODS[name]
        try:
            endpoint, _ = table.find(method, path)
            words = [word.removeprefix(_KEPT) for word in options]
            given = _given(words, {**_PRINTING, **endpoint.parameters})
            _print_as(app, {key: given.pop(key) for key in _PRINTING
                            if key in given and key not in endpoint.parameters})  # fmt: skip
            given |= _handed_over(endpoint.parameters) if stdin else {}
            answer = call.call(app.paths, method, path, given)
        except ApiError as error:
            return _refuse(error)
        if isinstance(answer, Job):
            return _run(app, answer)
        _show(app, answer)
        return 0


for _name in _HELP:
    _verb(_name)


def _print_as(app: App, given: Mapping[str, str]) -> None:
    """Take the options that say how to print.

    :raises ApiError: one is neither yes nor no.
    """
    from pvefw_api.schema import check

    wanted = check(_PRINTING, given)
    app.printing.borders = not wanted.get("noborder", False)
    app.printing.header = not wanted.get("noheader", False)
    app.printing.quiet = wanted.get("quiet", False)
    app.printing.human_readable = wanted.get("human-readable", True)


def _given(words: Sequence[str], properties: "Properties") -> dict[str, str]:
    """The parameters: ``-key value``, ``--key=value``; a boolean alone is true, a list may have pieces.

    :raises ApiError: a word is no option, or an option has no value or two.
    """
    from pvefw_api.errors import bad_parameters
    from pvefw_api.schema import find, joined

    parameters: dict[str, list[str]] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        match = _OPTION.fullmatch(word)
        if match is None:
            raise bad_parameters({word: "it is not an option: -KEY VALUE"})
        key, value = match[1], match[2]
        if value is None:
            boolean = (find(properties, key) or {}).get("type") == "boolean"
            if boolean and (not rest or _OPTION.fullmatch(rest[0])):
                value = "1"
            elif not rest:
                raise bad_parameters({key: "it has no value"})
            else:
                value = rest.pop(0)
        parameters.setdefault(key, []).append(value)
    return joined(properties, parameters)


def _handed_over(properties: "Properties") -> dict[str, str]:
    """The parameters on standard input: an object. Secrets come so, as everybody sees arguments.

    :raises ApiError: it is not that.
    """
    from pvefw_api import pieces
    from pvefw_api.errors import bad_parameters
    from pvefw_api.schema import joined

    try:
        parameters = json.load(sys.stdin)
    except (ValueError, RecursionError) as error:
        raise bad_parameters({"stdin": "it is not JSON"}) from error
    try:
        return joined(properties, pieces.of(parameters))
    except ValueError as error:
        raise bad_parameters({"stdin": f"it is {error}"}) from error


def _run(app: App, job: "Job") -> int:
    """Run a task as pvesh does: its log, then its UPID, by which clients find out how it ended.

    Nothing is on standard error where it fails: clients take that for a call that was refused.
    """
    from pvefw.cli import detached
    from pvefw.tasks.task import run_task

    upid, status = "", 0
    try:
        with run_task(app.paths, job.type, job.id, echo=say) as task:
            upid = str(task.upid)
            if app.detach:
                detached.leave(task.upid)
            job.work(task)
    except PvefwError as error:
        if not upid:  # it could not be entered as a task
            raise
        status = error.exit_status
        say(f"TASK ERROR: {error.message}")
    _show(app, upid)
    return status


def _refuse(error: "ApiError") -> int:
    """Print an error as pvesh does: clients read the status where there is one, and the words."""
    from pvefw_api.errors import BAD_PARAMETERS

    lines = [error.message]
    if error.status == BAD_PARAMETERS:
        lines = [f"{error.status} {error.message}"]
        lines += [
            text if key == "message" else f"{key}: {text}" for key, text in error.errors.items()
        ]
    for line in [*lines, *([error.hint] if error.hint else [])]:
        say(line, err=True)
    return 2 if error.status == BAD_PARAMETERS else 1


def _show(app: App, answer: Any) -> None:
    from pvefw.cli import output

    if app.printing.quiet:
        return
    match answer:
        case _ if app.output_format != "text":
            output.show_data(app, answer)
        case None | []:
            pass
        case dict():
            output.show_value(app, answer)
        case list():
            columns = list(dict.fromkeys(key for row in answer for key in row))
            output.show_rows(app, answer, columns)
        case _:
            say(answer)


@api.command()
@_path
@output_option
@pass_app
def ls(app: App, path: str) -> int:
    """List what is below PATH: D has more below it, r get, w set, c create, d delete."""
    from pvefw_api import call
    from pvefw_api.errors import ApiError

    try:
        children = call.listing(app.paths, path)
    except ApiError as error:
        return _refuse(error)
    if app.output_format != "text":
        _show(app, children)
        return 0
    for child in children:
        say(f"{child['capabilities']}  {child['name']}")
    return 0


@api.command()
@_path
@click.option("--command", type=click.Choice(list(_HELP)), help="Only for this command.")
@click.option("--verbose", is_flag=True, help="Show types, and who may call it.")
@click.option("--returns", is_flag=True, help="Show the schema of the answer.")
@pass_app
def usage(_app: App, path: str, command: str | None, verbose: bool, returns: bool) -> int:
    """Show the parameters of PATH."""
    from pvefw_api import table
    from pvefw_api.errors import ApiError, not_implemented

    endpoints: list[tuple[str, Endpoint]] = []
    for verb in [command] if command else _HELP:
        try:
            endpoints.append((verb, table.find(table.METHODS[verb], path)[0]))
        except ApiError:
            continue
    if not endpoints:
        return _refuse(not_implemented(table.METHODS[command or "get"], path))
    for verb, endpoint in endpoints:
        for line in _usage(verb, path, endpoint, verbose=verbose):
            say(line)
        if returns:
            say(f"\nReturns:\n{json.dumps(endpoint.returns, indent=2)}")
    return 0


def _usage(verb: str, path: str, endpoint: "Endpoint", *, verbose: bool) -> Iterator[str]:
    """The lines about one verb."""
    options = {
        key: parameter
        for key, parameter in endpoint.parameters.items()
        if f"{{{key}}}" not in endpoint.path
    }
    needed = [
        f"--{key} <{_type(option)}>"
        for key, option in options.items()
        if not option.get("optional")
    ]
    more = ["[OPTIONS]"] if len(needed) < len(options) else []
    yield " ".join(["USAGE: pvesh", verb, path, *needed, *more])
    if not verbose:
        return
    for key, option in options.items():
        yield f"  --{key:<24} {_described(option)}".rstrip()
    yield f"Permission: {_permission(endpoint.permission)}"


def _type(schema: "Schema") -> str:
    return str(schema.get("type", "string"))


def _described(schema: "Schema") -> str:
    """A property in one line."""
    words = [f"<{_type(schema)}>"]
    limits = [str(schema.get(key, "")) for key in ("minimum", "maximum")]
    if any(limits):
        words.append(f"({limits[0]} - {limits[1] or 'N'})")
    if "enum" in schema:
        words.append(f"one of {', '.join(map(str, schema['enum']))}")
    if "default" in schema:
        default = schema["default"]
        words.append(f"(default={int(default) if isinstance(default, bool) else default})")
    if not schema.get("optional"):
        words.append("required")
    return " ".join([*words, schema.get("description", "")]).rstrip()


def _permission(permission: str | Sequence[Any]) -> str:
    if isinstance(permission, str):
        words: Mapping[str, str] = {"all": "everybody", "root": "root only"}
        return words[permission]
    return f"{', '.join(permission[1])} on {permission[0]}"
