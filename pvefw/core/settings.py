"""A plugin's declared settings: one dataclass field each, checked and resolved by core.

The same declaration feeds the check at ``acme plugin add``, the tables of ``plugin show``, the
documentation, and the masking of secrets.
"""

import dataclasses
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any

from pvefw.core.errors import ConfigError, PluginBroken
from pvefw.core.masking import MASK
from pvefw.core.references import is_reference, resolve

if TYPE_CHECKING:
    from pvefw.core.model import SettingInfo

_MARK = "pvefw.setting"


@dataclass(frozen=True)
class _Declaration:
    """What :func:`setting` keeps in the dataclass field's metadata."""

    help: str
    key: str | None
    secret: bool
    choices: Sequence[str]
    writes: bool


def setting(
    *,
    help: str,  # noqa: A002 - the word that users of argparse and click expect
    default: Any = MISSING,
    key: str | None = None,
    secret: bool = False,
    choices: Sequence[str] = (),
    writes: bool = False,
) -> Any:
    """Declare a dataclass field as a setting of the plugin.

    The field's type is ``str``, ``int``, ``float``, ``bool``, ``Path``, ``list[str]``, or one of them
    ``| None``; the text in the configuration is converted to it.

    :param help: one sentence for the administrator.
    :param default: the value where the setting is not given; without it the setting is required.
    :param key: the name in the configuration, if it is not the field's name (``OVH_AK``).
    :param secret: keeps the value out of ``repr``, logs, errors and ``acme plugin config``.
    :param choices: the values that are allowed; empty for any.
    :param writes: it is the path of a file that a target writes, as in :class:`~pvefw.api.SettingInfo`;
        since 1.1.
    """
    metadata = {_MARK: _Declaration(help, key, secret, tuple(choices), writes)}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), repr=not secret, metadata=metadata)
    return field(default=default, repr=not secret, metadata=metadata)


# --- what a plugin declares --------------------------------------------------------------------

_TYPES: dict[object, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    Path: "path",
    list[str]: "list",
}


def declared(plugin: type) -> "list[SettingInfo]":
    """The settings that a plugin class declares, in its order.

    :raises PluginBroken: the class is not a dataclass, or a field's type cannot be a setting.
    """
    return [info for _, info in _fields(plugin)]


def _fields(plugin: type) -> "list[tuple[dataclasses.Field[Any], SettingInfo]]":
    if not dataclasses.is_dataclass(plugin):
        raise PluginBroken(
            f"{plugin.__name__} is not a dataclass",
            hint="Put @dataclass above the class: its fields are the plugin's settings.",
        )
    try:
        hints = typing.get_type_hints(plugin)
    except Exception as error:
        raise PluginBroken(f"{plugin.__name__}: its field types cannot be read: {error}") from error
    return [
        (field_, _info(plugin, field_, hints[field_.name]))
        for field_ in dataclasses.fields(plugin)
        if field_.init
    ]


def _info(plugin: type, field_: dataclasses.Field[Any], hint: object) -> "SettingInfo":
    from pvefw.core.model import SettingInfo  # the command line gets by without the values

    declaration = field_.metadata.get(_MARK) or _Declaration(
        "", None, secret=False, choices=(), writes=False
    )
    kind = _TYPES.get(_without_none(hint))
    if kind is None:
        raise PluginBroken(
            f"{plugin.__name__}.{field_.name}: {hint} cannot be a setting",
            hint="Use str, int, float, bool, Path or list[str], or one of them | None.",
        )
    default = field_.default_factory() if field_.default_factory is not MISSING else field_.default
    return SettingInfo(
        key=declaration.key or field_.name,
        help=declaration.help,
        secret=declaration.secret,
        required=default is MISSING,
        default="" if default is MISSING else _as_text(default),
        type=kind,
        choices=declaration.choices,
        writes=declaration.writes,
    )


def _without_none(hint: object) -> object:
    if typing.get_origin(hint) in (UnionType, typing.Union):
        rest = [part for part in typing.get_args(hint) if part is not NoneType]
        return rest[0] if len(rest) == 1 else hint
    return hint


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, list):
        return ",".join(value)
    return str(value)


def json_schema(infos: "Sequence[SettingInfo]", *, others: bool = False) -> dict[str, object]:
    """The settings as a JSON schema (2020-12), for forms.

    :param others: whether other keys than these are accepted, too.
    """
    kinds = {"path": "string", "list": "string"}
    properties: dict[str, object] = {}
    for info in infos:
        entry: dict[str, object] = {
            "type": kinds.get(info.type, info.type),
            "description": info.help,
        }
        if info.choices:
            entry["enum"] = list(info.choices)
        if info.default:
            entry["default"] = (
                _CONVERT[info.type](info.default) if info.type in _JSON_TYPED else info.default
            )
        if info.secret:
            entry["writeOnly"] = True
        properties[info.key] = entry
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": [info.key for info in infos if info.required],
        "additionalProperties": {"type": "string"} if others else False,
    }


# --- what an administrator configured ------------------------------------------------------------


def parse(text: str) -> dict[str, str]:
    """``KEY=VALUE`` lines, as in the file given to ``--data``; blank and ``#`` lines are skipped.

    :raises ConfigError: a line is not of this form, or a key occurs twice.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        key, equals, value = stripped.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"line {number} of the data is not KEY=VALUE")
        if key.strip() in values:
            raise ConfigError(f"{key.strip()} occurs twice in the data")
        values[key.strip()] = value.strip()
    return values


def check(infos: "Sequence[SettingInfo]", values: Mapping[str, str], who: str) -> None:
    """Hold configured values against the declared settings, without resolving references.

    :param who: names the plugin in errors.
    :raises ConfigError: a key is missing, superfluous or misspelt, or a value is not of its type;
        all findings are in one message, the known keys in the hint.
    """
    known = {info.key: info for info in infos}
    findings = [f"{key} is not a setting{_meant(key, known)}" for key in values if key not in known]
    findings += _missing(infos, values)
    for key, value in values.items():
        if key in known and value and not is_reference(value):
            findings += _value_findings(known[key], value)
    if findings:
        raise ConfigError(f"{who}: {'; '.join(findings)}", hint=_known_keys(infos))


def doubts(infos: "Sequence[SettingInfo]", values: Mapping[str, str]) -> list[str]:
    """What looks wrong in values for a provider that takes any key: a sentence for each."""
    known = {info.key: info for info in infos}
    unknown = [
        f"{key} is not a setting that its script mentions{_meant(key, known)}"
        for key in values
        if key not in known
    ]
    return unknown + _missing(infos, values)


def _missing(infos: "Sequence[SettingInfo]", values: Mapping[str, str]) -> list[str]:
    return [
        f"{info.key} is missing" for info in infos if info.required and not values.get(info.key)
    ]


def _meant(key: str, known: "Mapping[str, SettingInfo]") -> str:
    from difflib import get_close_matches

    close = get_close_matches(key.lower(), {name.lower(): name for name in known}, n=1)
    names = {name.lower(): name for name in known}
    return f" (did you mean {names[close[0]]}?)" if close else ""


def _known_keys(infos: "Sequence[SettingInfo]") -> str:
    if not infos:
        return "It has no settings."
    return "Known keys: " + ", ".join(
        f"{info.key} (required)" if info.required else info.key for info in infos
    )


def _value_findings(info: "SettingInfo", value: str) -> list[str]:
    shown = "its value" if info.secret else repr(value)
    if info.choices and value not in info.choices:
        return [f"{info.key}: {shown} is not one of {', '.join(info.choices)}"]
    try:
        _CONVERT[info.type](value)
    except ValueError:
        return [f"{info.key}: {shown} is not of type {info.type}"]
    return []


def _boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered in {"1", "yes", "true", "on"}:
        return True
    if lowered in {"0", "no", "false", "off"}:
        return False
    raise ValueError(text)


_CONVERT: dict[str, Callable[[str], Any]] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": _boolean,
    "path": Path,
    "list": lambda text: [part.strip() for part in text.split(",") if part.strip()],
}
_JSON_TYPED = {"integer", "number", "boolean"}


def resolve_all(
    infos: "Sequence[SettingInfo]", values: Mapping[str, str], who: str
) -> dict[str, str]:
    """Check, then resolve every reference, then check the results.

    :raises ConfigError: as :func:`check` and :func:`resolve`.
    """
    check(infos, values, who)
    resolved = resolve_any(values, who)
    check(infos, resolved, who)
    return resolved


def resolve_any(values: Mapping[str, str], who: str) -> dict[str, str]:
    """Resolve every reference, whatever the keys are.

    :raises ConfigError: as :func:`resolve`.
    """
    return {key: resolve(value, f"{who}: {key}") for key, value in values.items()}


def make(plugin: type, resolved: Mapping[str, str]) -> object:
    """An instance of a plugin class from the values that :func:`resolve_all` gave.

    Whatever the class itself raises passes through.

    :raises PluginBroken: the class is not a dataclass, or a field's type cannot be a setting.
    """
    arguments = {
        field_.name: _CONVERT[info.type](resolved[info.key])
        for field_, info in _fields(plugin)
        if resolved.get(info.key)
    }
    return plugin(**arguments)


def mask(infos: "Sequence[SettingInfo]", values: Mapping[str, str]) -> dict[str, str]:
    """The values as they may be shown: secrets masked, references to secrets left as they are.

    A key that no declaration knows is masked too: it may be a misspelt secret.
    """
    public = {info.key for info in infos if not info.secret}
    return {
        key: value if key in public or is_reference(value) else MASK
        for key, value in values.items()
    }


def secret_values(infos: "Sequence[SettingInfo]", resolved: Mapping[str, str]) -> list[str]:
    """What must never be shown: the values of secret settings, and of keys that nobody declares."""
    public = {info.key for info in infos if not info.secret}
    return [value for key, value in resolved.items() if value and key not in public]
