"""A call of an endpoint, and the commands of pvefw that answer most of them.

A command already turns options into one call of a layer below, and what it shows as JSON is documented.
So an endpoint names its command, and nothing is declared twice.
"""

import contextlib
import io
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import click

from pvefw.cli import tree
from pvefw.cli.framework import App, ListOption
from pvefw.cli.groups import PVEFW
from pvefw.cli.schemas import CHANGED, SCHEMAS
from pvefw.core.errors import ConfigError
from pvefw.core.model import Task
from pvefw.instances.codec import decode_data
from pvefw.store.paths import Paths
from pvefw_api.errors import FAILED, ApiError, bad_parameters, from_click
from pvefw_api.schema import Properties, Schema

_DOORS_OWN = {"output-format", "dry-run", "show-secrets", "help", "watch", "hosts", "rsh"}
_DOORS_OWN |= {name.lstrip("-") for name, *_ in tree.OPTIONS}
"""Options that say how a command runs or prints, or that it is run on other hosts, not what it does."""
CONTENT = "data"
"""An option that names a file of settings; a call has their text, base64-encoded."""


@dataclass(frozen=True)
class Job:
    """Work that an endpoint wants to be run as a task; the door decides how, and answers its UPID."""

    type: str
    work: Callable[[Task], object]
    id: str = ""


@dataclass(frozen=True)
class Call:
    """One call: its parameters are checked, those in the path included."""

    paths: Paths
    parameters: Mapping[str, Any] = field(default_factory=dict)
    user: str = "root@pam"
    """Who calls: tasks are theirs."""

    def get(self, key: str, default: Any = None) -> Any:
        """One parameter."""
        return self.parameters.get(key, default)

    @property
    def options(self) -> dict[str, Any]:
        """The parameters without the node, which the door has looked at."""
        return {key: value for key, value in self.parameters.items() if key != "node"}

    def command(self, name: str, **options: object) -> Any:
        """Run a command of pvefw with other options; an underscore stands for a dash."""
        return Command(name).run(
            self.paths, {key.replace("_", "-"): value for key, value in options.items()}
        )


Handler = Callable[[Call], Any]


@dataclass(frozen=True)
class Command:
    """A command of pvefw as the function of an endpoint."""

    name: str
    """As it is typed: ``boot status``."""
    fixed: Mapping[str, object] = field(default_factory=dict)
    """Options that every call has."""

    def __call__(self, call: Call) -> Any:
        return self.run(call.paths, call.options)

    def run(self, paths: Paths, options: Mapping[str, object]) -> Any:
        """Run it.

        :param options: by their long names; bytes stand for a file with this content.
        :returns: what it would show as JSON, or the :class:`Job` that it would run.
        :raises ApiError: it refuses an option, or fails without showing anything.
        :raises PvefwError: whatever it raises.
        """
        caller = _Caller()
        app = App()
        app.paths, app.caller, app.output_format = paths, caller, "json"
        given = {
            key: value for key, value in {**options, **self.fixed}.items() if value is not None
        }
        if isinstance(given.get(CONTENT), str):
            given[CONTENT] = _settings(str(given[CONTENT]))
        try:
            with _files(given) as named, _without_terminal() as output:
                arguments = self._arguments(named)
                command = _command(self.name)
                with command.make_context(f"pvefw {self.name}", arguments, obj=app) as context:
                    status = command.invoke(context)
        except click.UsageError as error:
            raise from_click(error) from error
        if status and caller.answer is None:
            raise ApiError(FAILED, " ".join(output.getvalue().split()) or f"{self.name} failed")
        return caller.answer

    def parameters(self) -> dict[str, Schema]:
        """What it takes, as the properties of a schema."""
        return {
            key: _property(parameter)
            for key, parameter in self._params().items()
            if key not in _DOORS_OWN and key not in self.fixed
        }

    def typed(self) -> str:
        """As it is typed, with the options that every call has."""
        return " ".join([self.name, *(f"--{key}" for key, value in self.fixed.items() if value)])

    def words(self) -> dict[str, str]:
        """How each of its parameters is typed: ``--key=`` before a value, ``--key`` alone or
        ``--key/--no-key``; an argument has an empty word.
        """
        return {
            key: "" if isinstance(parameter, click.Argument) else _word(parameter)
            for key, parameter in self._params().items()
            if key not in _DOORS_OWN
        }

    def returns(self) -> Schema:
        """What it answers, as a JSON schema."""
        schema = SCHEMAS.get(self.name, CHANGED)
        return {"type": ["string", "null"]} if schema is CHANGED else schema

    def _params(self) -> Mapping[str, click.Parameter]:
        return _params(self.name)

    def _arguments(self, options: Mapping[str, object]) -> list[str]:
        """The command line."""
        params, words = self._params(), list[str]()
        positional: list[str] = []
        for key, value in options.items():
            param = params.get(key)
            if isinstance(param, click.Argument):
                continue
            if isinstance(param, click.Option) and param.is_flag:
                words += _flag(param, value)
            else:
                words.append(f"--{key}={_text(value)}")
        for key, param in params.items():
            if isinstance(param, click.Argument) and key in options:
                value = options[key]
                positional += value if isinstance(value, list) else [_text(value)]
        return [*words, "--", *positional] if positional else words


@cache
def _command(name: str) -> click.Command:
    command: click.Command = PVEFW
    context = click.Context(PVEFW, info_name="pvefw")
    for word in name.split():
        inner = command.get_command(context, word) if isinstance(command, click.Group) else None
        if inner is None:
            raise LookupError(f"pvefw {name}: no such command")
        command = inner
    return command


@cache
def _params(name: str) -> Mapping[str, click.Parameter]:
    command = _command(name)
    context = click.Context(command, info_name=name)
    return {_key(parameter): parameter for parameter in command.get_params(context)}


class _Caller:
    """Keeps what a command shows or wants to run."""

    answer: Any = None

    def show(self, value: Any) -> None:
        self.answer = value

    def run(self, type_: str, work: Callable[[Task], object], id_: str) -> None:
        self.answer = Job(type_, work, id_)


@contextlib.contextmanager
def _without_terminal() -> Iterator[io.StringIO]:
    """Nobody can be asked, and what a command says for people is not the answer."""
    output, stdin = io.StringIO(), sys.stdin
    sys.stdin = io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            yield output
    finally:
        sys.stdin = stdin


@contextlib.contextmanager
def _files(options: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """The options, those that are bytes as the names of private files."""
    given = dict(options)
    contents = {key: value for key, value in given.items() if isinstance(value, bytes)}
    if not contents:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        for number, (key, value) in enumerate(contents.items()):
            path = Path(folder, str(number))
            path.touch(mode=0o600)
            path.write_bytes(value)
            given[key] = path
        yield given


def _settings(data: str) -> bytes:
    """The ``KEY=VALUE`` lines of settings, from base64."""
    try:
        values = decode_data(data)
    except ConfigError as error:
        raise bad_parameters({CONTENT: error.message}) from error
    return lines(values).encode()


def lines(values: Mapping[str, str]) -> str:
    """Settings as ``KEY=VALUE`` lines."""
    return "".join(f"{key}={value}\n" for key, value in values.items())


# --- options and properties -----------------------------------------------------------------------


def _key(param: click.Parameter) -> str:
    if isinstance(param, click.Argument):
        return (param.name or "").strip("_").replace("_", "-")
    return max(param.opts, key=len).lstrip("-")


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _word(param: click.Parameter) -> str:
    if not getattr(param, "is_flag", False):
        return f"--{_key(param)}="
    return "/".join([f"--{_key(param)}", *param.secondary_opts])


def _flag(param: click.Option, value: object) -> list[str]:
    if value:
        return [max(param.opts, key=len)]
    return [max(param.secondary_opts, key=len)] if param.secondary_opts else []


def _property(param: click.Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": _type(param)}
    if not param.required:
        schema["optional"] = True
    if isinstance(param, ListOption):
        schema["format"] = "string-list"
    if isinstance(param.type, click.Choice):
        schema["enum"] = list(param.type.choices)
    if isinstance(param.type, click.IntRange):
        limits = {"minimum": param.type.min, "maximum": param.type.max}
        schema |= {key: value for key, value in limits.items() if value is not None}
    if isinstance(param, click.Option) and param.help:
        content = "Settings: KEY=VALUE lines, base64-encoded."
        schema["description"] = content if param.name == CONTENT else param.help
    if isinstance(param.default, int | str) and not getattr(param, "is_flag", False):
        schema["default"] = param.default
    return schema


def _type(param: click.Parameter) -> str:
    if getattr(param, "is_flag", False) or isinstance(param.type, click.types.BoolParamType):
        return "boolean"
    return "integer" if isinstance(param.type, click.types.IntParamType) else "string"


def path_parameters(path: str) -> Properties:
    """The properties that a path names itself."""
    words = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return {
        word: {"type": "string", **({"format": "pve-node"} if word == "node" else {})}
        for word in words
    }
