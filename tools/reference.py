"""What cog writes into docs/reference: hooks, kits, settings, properties, commands, errors and files.

Each page says ``cog.out(reference.…())`` where its generated part begins. `make docs` writes the pages
again, `make check` says which are out of date.
"""

import ast
import dataclasses
import importlib
import inspect
import itertools
import json
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from pvefw import api, testing
from pvefw.cli.framework import App, Group
from pvefw.cli.groups import PVEFW
from pvefw.cli.schemas import SCHEMAS
from pvefw.core import binding, errors, families, finding, hookspecs, settings
from pvefw.core.errors import PvefwError
from pvefw.core.families import Family
from pvefw.core.model import SettingInfo
from pvefw.store import properties
from pvefw.store.paths import Paths
from pvefw.wanted import document

COLUMNS = 100
FIRST_RELEASE = Path(__file__).resolve().parents[1] / "tests/compatibility/1.0/api.json"
"""The plugin API of 1.0: what is not in it is newer."""

# --- docstrings as Markdown -----------------------------------------------------------------------

_FIELD = re.compile(r":(\w+)(?: (\w+))?: *(.*)")
_ROLE = re.compile(r":\w+:`~?([^`]+)`")
_FIELD_WORDS = {"param": "", "returns": "Returns", "raises": "Raises"}


def markdown(docstring: str | None) -> str:
    """A docstring's field list as a list, its literal blocks fenced, its roles as code."""
    lines: list[str] = []
    literal = False
    for line in inspect.cleandoc(docstring or "").splitlines():
        if literal and line and not line.startswith("    "):
            _close(lines)
            literal = False
        if literal:
            lines.append(line[4:])
        elif line.endswith("::"):
            lines += [line[:-1], "", "```python"] if line != "::" else ["```text"]
            literal = True
        else:
            lines.append(_prose(line))
    if literal:
        _close(lines)
    return "\n".join(lines)


def _close(lines: list[str]) -> None:
    opened = max(number for number, line in enumerate(lines) if line.startswith("```"))
    lines[opened + 1 :] = "\n".join(lines[opened + 1 :]).strip("\n").splitlines()
    lines += ["```", ""]


def _prose(line: str) -> str:
    field = _FIELD.match(line)
    if field and field[1] in _FIELD_WORDS:
        kind, name, text = field.groups()
        subject = " ".join(filter(None, [_FIELD_WORDS[kind], f"`{name}`" if name else ""]))
        line = f"- {subject}: {text}"
    line = _ROLE.sub(lambda role: f"``{role[1].rpartition('.')[2]}``", line)
    return line.replace("``", "`")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *escaped]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _page(parts: Iterator[str]) -> str:
    return "\n" + "\n\n".join(part.strip("\n") for part in parts) + "\n\n"


# --- the pages ------------------------------------------------------------------------------------


def hooks() -> str:
    """Every hook of every family, from its specification."""
    return _page(_hooks())


def _hooks() -> Iterator[str]:
    yield markdown(hookspecs.__doc__)
    for family in families.FAMILIES.values():
        yield f"## {family.name}"
        yield f"Entry-point group `{family.group}`."
        yield markdown(family.spec.__doc__)
        for name, required in family.hooks.items():
            yield from _hook(family, name, required=required)
    yield from _values()


def _values() -> Iterator[str]:
    """The fields of everything that hooks get and return, and since when there is each."""
    kept = json.loads(FIRST_RELEASE.read_text())["fields"]
    yield "## Values"
    yield "What hooks get and return, imported from `pvefw.api`."
    for name in sorted(api.__all__):
        value = getattr(api, name)
        if not (dataclasses.is_dataclass(value) and isinstance(value, type)):
            continue
        explained = _field_docstrings(value)
        first = {field for field, _ in kept.get(name, [])}
        rows = [
            [
                f"`{field.name}`",
                f"`{_type(field.type)}`",
                "1.0" if field.name in first else "1.1",
                " ".join(markdown(explained.get(field.name, "")).split()),
            ]
            for field in dataclasses.fields(value)
            if field.init
        ]
        yield f"### {name}"
        yield markdown("" if _made_by_dataclass(value) else value.__doc__)
        yield _table(["field", "type", "since", "meaning"], rows)


def _field_docstrings(class_: type) -> Mapping[str, str]:
    """The strings below fields."""
    [declared] = ast.parse(inspect.cleandoc(inspect.getsource(class_))).body
    docstrings = {}
    for field, docstring in itertools.pairwise(getattr(declared, "body", [])):
        match field, docstring:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                value=ast.Constant(value=str(text))
            ):
                docstrings[name] = text
    return docstrings


def _hook(family: Family, name: str, *, required: bool) -> Iterator[str]:
    function = getattr(family.spec, name)
    signature = inspect.signature(function)
    arguments = [
        parameter for parameter in signature.parameters.values() if parameter.name != "self"
    ]
    parts = ", ".join(f"{argument.name}: {_type(argument.annotation)}" for argument in arguments)
    yield f"### {name}"
    yield f"```python\n{name}({parts}) -> {_type(signature.return_annotation)}\n```"
    yield "Required." if required else "Optional."
    yield markdown(function.__doc__)


def _type(annotation: object) -> str:
    """A type as a plugin author writes it, without the modules."""
    name = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", "None" if name == "NoneType" else name)


def plugin_settings() -> str:
    """The settings of every plugin of this repository; a catalogue's providers have their own."""
    return _page(_plugin_settings())


def _plugin_settings() -> Iterator[str]:
    for family in families.FAMILIES.values():
        for info in finding.installed(family):
            if not info.distribution.startswith("pvefw-"):
                continue
            plugin = binding.load(info)
            yield f"## {family.name}: {info.name}"
            yield f"From `{info.distribution}`. {markdown(plugin.__doc__)}"
            rows = [_setting(setting) for setting in settings.declared(plugin)]
            table = _table(["setting", "type", "default", "meaning"], rows)
            yield table if rows else "It has no settings."


def _setting(info: SettingInfo) -> list[str]:
    kind = ", ".join(filter(None, [info.type, "secret" if info.secret else ""]))
    default = f"`{info.default}`" if info.default else ""
    choices = f" One of {', '.join(info.choices)}." if info.choices else ""
    return [f"`{info.key}`", kind, "*required*" if info.required else default, info.help + choices]


def node_properties() -> str:
    """Every property of the node's configuration."""
    domain = properties.find("acmedomain0")
    everything = [*properties.PROPERTIES, *([domain] if domain else [])]
    rows = [
        [f"`{property_.key}`", f"`{property_.format}`", property_.help] for property_ in everything
    ]
    return _page(iter([_table(["property", "format", "meaning"], rows)]))


def commands() -> str:
    """Every command in tables that fit a phone; the options that all share come once, at the top."""
    root = click.Context(PVEFW, info_name="pvefw", obj=App(), terminal_width=COLUMNS)
    shared = _options(root)
    top = ["## Options of every command", _table(["option", "meaning"], shared)]
    return _page(itertools.chain(top, _commands(root, shared)))


def _commands(context: click.Context, shared: Sequence[Sequence[str]]) -> Iterator[str]:
    command = context.command
    yield f"## {context.command_path}"
    yield _help(command.help or "")
    if not isinstance(command, Group):
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        yield f"```text\n{usage}\n```"
    own = [option for option in _options(context) if option not in shared]
    if own:
        yield _table(["option", "meaning"], own)
    if isinstance(command, Group):
        path = context.command_path.replace(" ", "-")
        rows = [
            [f"[{name}](#{path}-{name})", _literal(option)]
            for name, option in command.listed(context)
        ]
        yield _table(["command", "what it does"], rows)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                below = click.Context(inner, context, info_name=name, terminal_width=COLUMNS)
                yield from _commands(below, shared)


def _options(context: click.Context) -> list[list[str]]:
    """The options of a command as click shows them, and what they mean."""
    options = [
        parameter
        for parameter in context.command.get_params(context)
        if isinstance(parameter, click.Option)
    ]
    records = [option.get_help_record(context) for option in options]
    return [[f"`{_plain(names)}`", _literal(meaning)] for names, meaning in filter(None, records)]


def _plain(names: str) -> str:
    """An option's names without click's words for types."""
    return names.replace("INTEGER RANGE", "NUMBER").replace("INTEGER", "NUMBER")


def _help(text: str) -> str:
    """A help text as Markdown: its paragraphs, and a block that click must not wrap as it is."""
    parts = inspect.cleandoc(text).split("\n\n")
    shown = (
        f"```text\n{part.removeprefix(chr(8)).strip()}\n```"
        if part.startswith("\b")
        else _literal(part)
        for part in parts
    )
    return "\n\n".join(shown)


def _literal(text: str) -> str:
    """A sentence in which Markdown finds nothing of its own; what it has in backquotes stays code."""
    line = re.sub(r"\[(\d+)<=x<=(\d+)\]", r"From \1 to \2.", " ".join(text.split()))
    line = re.sub(r"\[x>=(\d+)\]", r"\1 or more.", line)
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(
        part if part.startswith("`") else re.sub(r"([*_\[])", r"\\\1", part).replace("<", "&lt;")
        for part in parts
    )


def json_output() -> str:
    """What each command prints as JSON, from its schema."""
    return _page(_json_output())


def _json_output() -> Iterator[str]:
    for command, schema in sorted(SCHEMAS.items()):
        yield f"## {command}"
        yield "\n".join(_shape(schema, "The output"))


def wanted_state() -> str:
    """What the document of `pvefw apply` may say, and its JSON schema."""
    return _page(_wanted_state())


def _wanted_state() -> Iterator[str]:
    whole = document.schema()
    for part, schema in whole["properties"].items():
        yield f"## {part}"
        yield schema["description"]
        rows = schema.get("additionalProperties") or schema
        yield _table(["field", "type", "meaning"], list(_fields_of(rows)))
    yield "## The JSON schema"
    yield "As `pvefw apply --schema` prints it."
    yield f"```json\n{json.dumps(whole, indent=1, ensure_ascii=False)}\n```"


def _fields_of(schema: Mapping[str, Any]) -> Iterator[list[str]]:
    members = {**schema["properties"], **schema.get("patternProperties", {})}
    for key, value in members.items():
        name = "acmedomain0 … acmedomain999" if key.startswith("^") else key
        yield [f"`{name}`", _kind_of_field(value), value.get("description", "")]


def _kind_of_field(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(word)}`" for word in schema["enum"] if word is not None)
    words = {"array": "list", "object": "names with values", "integer": "number"}
    kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    return words.get(kind, {"string": "text"}.get(kind, kind))


def _shape(schema: Mapping[str, Any], name: str, depth: int = 0) -> Iterator[str]:
    """A schema as a nested list."""
    description = ": ".join(filter(None, [_kind(schema), schema.get("description", "")]))
    yield f"{'  ' * depth}- {name}: {description}"
    inner = _inner(schema)
    for key, property_ in inner.get("properties", {}).items():
        missing = "" if key in inner["required"] else " (may be missing)"
        yield from _shape(property_, f"`{key}`{missing}", depth + 1)


def _inner(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object that an array, a map or a choice is made of."""
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), Mapping):
            return _inner(schema[part])
    for part in ("anyOf", "oneOf"):
        if part in schema:
            return _inner(schema[part][0])
    return schema


def _kind(schema: Mapping[str, Any]) -> str:
    """A type in words."""
    if "enum" in schema:
        return f"one of {', '.join(f'`{word}`' for word in schema['enum'])}"
    if "anyOf" in schema or "oneOf" in schema:
        return _kind(next(iter(schema.get("anyOf", schema.get("oneOf")))))
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"array, each {_kind(schema['items'])}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object, each value {_kind(schema['additionalProperties'])}"
    return kind if isinstance(kind, str) else " or ".join(kind)


def kits_and_fakes() -> str:
    """What is in :mod:`pvefw.testing`: kits with what their user writes and what they hold, fakes."""
    return _page(_kits_and_fakes())


def _kits_and_fakes() -> Iterator[str]:
    for info in pkgutil.iter_modules(testing.__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{testing.__name__}.{info.name}")
        yield f"## {module.__name__}"
        yield markdown(module.__doc__)
        for name, key in vars(module).items():
            made_in = getattr(key, "__module__", "")
            passed_on = f"{testing.__name__}._" in made_in and name in getattr(
                module, "__all__", ()
            )
            own = made_in == module.__name__ or passed_on
            if own and not name.startswith("_") and (inspect.isclass(key) or callable(key)):
                yield from _offered(name, key)


def _offered(name: str, offered: Any) -> Iterator[str]:
    """A class or function; of a kit, its fixtures and tests."""
    yield f"### {name}"
    if not inspect.isclass(offered):
        yield _signature(name, offered)
        yield markdown(offered.__doc__)
        return
    yield markdown("" if _made_by_dataclass(offered) else offered.__doc__)
    members = [
        (member, value, inspect.getdoc(value))
        for member, value in vars(offered).items()
        if not member.startswith("_")
    ]
    tests = [(member, docstring) for member, _, docstring in members if member.startswith("test_")]
    others = [
        (member, docstring)
        for member, value, docstring in members
        if docstring and not member.startswith("test_") and not isinstance(value, str | int | float)
    ]
    if others:
        yield _table(
            ["member", "what it is"], [[f"`{key}`", _line(sentence)] for key, sentence in others]
        )
    if tests:
        rows = [
            [key.removeprefix("test_").replace("_", " "), _line(sentence or "")]
            for key, sentence in tests
        ]
        yield _table(["test", "what it holds"], rows)


def _made_by_dataclass(class_: type) -> bool:
    return (class_.__doc__ or "").startswith(f"{class_.__name__}(")


def _signature(name: str, function: Callable[..., object]) -> str:
    signature = _type(str(inspect.signature(function)))
    while "]]]" in signature:  # to cog it would be the end of the page's program
        signature = signature.replace("]]]", "]] ]")
    return f"```python\n{name}{signature}\n```"


def _line(docstring: str) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join(markdown(docstring.partition("\n\n")[0]).split())


def files() -> str:
    """Every file and directory that the project knows of, as :class:`Paths` describes it."""
    paths = Paths(Path("/"), "NODE")
    described = [
        (getattr(paths, name), inspect.getdoc(var) or "")
        for name, var in vars(Paths).items()
        if isinstance(var, property)
    ]
    described += [
        (paths.node_dir(), inspect.getdoc(Paths.node_dir) or ""),
        (paths.node_config(), inspect.getdoc(Paths.node_config) or ""),
        (paths.node_pvefw_cfg(), inspect.getdoc(Paths.node_pvefw_cfg) or ""),
    ]
    rows = [
        [f"`{path}`", _prose(" ".join(text.partition("\n\n")[0].split()))]
        for path, text in sorted(described)
    ]
    return f"\n{_table(['path', 'what is in it'], rows)}\n\n"


def error_tree() -> str:
    """The error tree, and what each error means."""
    return _page(_error_tree())


def _error_tree() -> Iterator[str]:
    yield markdown(errors.__doc__)
    for name, var in vars(errors).items():
        if isinstance(var, type) and issubclass(var, PvefwError):
            yield f"## {name}"
            yield markdown(var.__doc__)
