"""What an endpoint takes and answers, in the dialect of Proxmox VE's published schema.

An endpoint of Proxmox VE has the published schema (``published.json``: facts of its API viewer, one
endpoint a line); one of pvefw's own has that of the command which answers it.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from pvefw.store.node_config import parse_property_string
from pvefw.store.section_config import ID, split
from pvefw_api.errors import bad_parameters

Schema = Mapping[str, Any]
Properties = Mapping[str, Schema]

_NUMBERED = "[n]"
"""A property ``acmedomain[n]`` stands for ``acmedomain0``, ``acmedomain1`` and so on."""
_BOOLEANS = {"1": True, "on": True, "yes": True, "true": True,
             "0": False, "off": False, "no": False, "false": False}  # fmt: skip

_NODE = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.IGNORECASE)
_VMID = re.compile(r"[1-9][0-9]{2,8}")
_MAIL = re.compile(r"(?:mailto:)?[^\s@]+@[^\s@]+")
_CERTIFICATE = re.compile(
    r"\s*-----BEGIN CERTIFICATE-----.+-----END CERTIFICATE-----\s*", re.DOTALL
)
_PEM = re.compile(r"\s*-----BEGIN [A-Z0-9 ]+-----.+-----END [A-Z0-9 ]+-----\s*", re.DOTALL)


@cache
def published() -> Mapping[str, Schema]:
    """The endpoints of Proxmox VE's API that are not a single guest's, as ``METHOD PATH``."""
    text = resources.files("pvefw_api").joinpath("published.json").read_text(encoding="utf-8")
    schemas: Mapping[str, Schema] = json.loads(text)
    return schemas


def find(properties: Properties, key: str) -> Schema | None:
    """The property of a name, numbered ones included."""
    if key in properties:
        return properties[key]
    stem = key.rstrip("0123456789")
    return properties.get(f"{stem}{_NUMBERED}") if stem != key else None


def joined(properties: Properties, given: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Parameters as one text each: a list may be given in several pieces, as Proxmox VE takes it.

    A list of nothing is an empty text: it must not look as if it were not given, and so mean all.

    :param given: the pieces of each.
    :raises ApiError: one that is no list is given twice: whoever looks at it next may take the other.
    """
    wrong = {
        key: "it is given twice" if pieces else "it is not a list"
        for key, pieces in given.items()
        if len(pieces) != 1 and not _is_list(find(properties, key) or {})
    }
    if wrong:
        raise bad_parameters(wrong)
    return {key: ",".join(pieces) for key, pieces in given.items()}


def _is_list(schema: Schema) -> bool:
    return str(schema.get("format", "")).endswith("-list")


def check(properties: Properties, given: Mapping[str, object]) -> dict[str, Any]:
    """Parameters as their types, with the defaults left to whoever takes them.

    :param given: texts, or values of a type already.
    :raises ApiError: one is missing, unknown, or not in its format; all findings are in it.
    """
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for key, value in given.items():
        schema = find(properties, key)
        if schema is None:
            errors[key] = (
                "property is not defined in schema and the schema does not allow additional properties"
            )
            continue
        try:
            values[key] = checked(schema, value)
        except ValueError as error:
            errors[key] = str(error)
    for key, schema in properties.items():
        if key not in given and not schema.get("optional") and not key.endswith(_NUMBERED):
            errors[key] = "property is missing and it is not optional"
        needed = schema.get("requires")
        if needed and key in given and needed not in given:
            errors[needed] = f"missing property - '{key}' requires this property"
    if errors:
        raise bad_parameters(errors)
    return values


def checked(schema: Schema, value: object) -> Any:
    """One value as its type.

    :raises ValueError: it does not fit, and why.
    """
    match schema.get("type", "string"):
        case "boolean":
            return _boolean(value)
        case "integer":
            converted: Any = _number(value, int, "integer")
        case "number":
            converted = _number(value, float, "number")
        case _:
            converted = str(value)
            _check_text(schema, converted)
    _check_range(schema, converted)
    if "enum" in schema and converted not in schema["enum"]:
        raise ValueError(f"value '{converted}' does not have a value in the enumeration "
                         f"'{', '.join(map(str, schema['enum']))}'")  # fmt: skip
    return converted


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return _BOOLEANS[str(value).lower()]
    except KeyError:
        raise ValueError(f"type check ('boolean') failed - got '{value}'") from None


def _number(value: object, type_: Callable[[str], Any], name: str) -> Any:
    text = str(value)
    if text.isascii() and not re.search(r"[_\s]", text) and not isinstance(value, bool):
        try:
            return type_(text)
        except ValueError:
            pass
    raise ValueError(f"type check ('{name}') failed - got '{value}'")


def _check_range(schema: Schema, value: Any) -> None:
    if isinstance(value, str):
        return
    if "minimum" in schema and not value >= float(schema["minimum"]):
        raise ValueError(f"value must have a minimum value of {schema['minimum']}")
    if "maximum" in schema and not value <= float(schema["maximum"]):
        raise ValueError(f"value must have a maximum value of {schema['maximum']}")


def _check_text(schema: Schema, value: str) -> None:
    if len(value) > schema.get("maxLength", len(value)):
        raise ValueError(f"value may only be {schema['maxLength']} characters long")
    if "pattern" in schema and not re.fullmatch(schema["pattern"], value):
        raise ValueError("value does not match the regex pattern")
    form = schema.get("format")
    if isinstance(form, dict):
        _check_parts(form, value)
    elif isinstance(form, str) and form in _FORMATS:
        _FORMATS[form](value)


def _check_parts(form: Properties, value: str) -> None:
    """A property string: ``KEY=VALUE,…``."""
    main = next((key for key, text in form.items() if text.get("default_key")), "")
    parts = parse_property_string(value, main)
    for key, part in parts.items():
        if key not in form:
            raise ValueError(f"invalid format - '{key}' is not one of {', '.join(form)}")
        try:
            checked(form[form[key].get("alias", key)], part)
        except ValueError as error:
            raise ValueError(f"invalid format - {key}: {error}") from None
    for key, text in form.items():
        if key not in parts and not {"optional", "default", "alias"} & {*text}:
            raise ValueError(f"invalid format - {key}: property is missing and it is not optional")


def _matching(
    pattern: re.Pattern[str], noun: str, *, several: bool = False
) -> Callable[[str], None]:
    def check_format(value: str) -> None:
        for part in split(value) if several else [value]:
            if not pattern.fullmatch(part):
                raise ValueError(f"invalid format - value does not look like {noun}")

    return check_format


_FORMATS: Mapping[str, Callable[[str], None]] = {
    "email-list": _matching(_MAIL, "a list of email addresses", several=True),
    "pem-certificate-chain": _matching(_CERTIFICATE, "a PEM certificate chain"),
    "pem-string": _matching(_PEM, "PEM"),
    "pve-configid": _matching(ID, "a configuration ID"),
    "pve-configid-list": _matching(ID, "a list of configuration IDs", several=True),
    "pve-node": _matching(_NODE, "a node name"),
    "pve-node-list": _matching(_NODE, "a list of node names", several=True),
    "pve-vmid": _matching(_VMID, "a VM ID"),
    "pve-vmid-list": _matching(_VMID, "a list of VM IDs", several=True),
}
"""What is checked before the call; all other formats are checked by those who read them."""


_AS_THEY_ARE: Mapping[object, type] = {"string": str, "integer": int}


def shaped(schema: Schema, value: Any) -> Any:
    """An answer with the types that its schema names: files have texts, the API numbers and 0 or 1."""
    kind = schema.get("type")
    if type(value) is _AS_THEY_ARE.get(kind):  # most are
        return value
    if isinstance(value, Mapping) and kind in ("object", None):
        properties = schema.get("properties", {})
        return {key: shaped(find(properties, key) or {}, text) for key, text in value.items()}
    if isinstance(value, list | tuple) and kind in ("array", None):
        return [shaped(schema.get("items", {}), item) for item in value]
    if kind == "boolean" and isinstance(value, str | bool | int):
        return int(_boolean(value))
    if kind == "integer" and isinstance(value, str) and value.isdecimal():
        return int(value)
    return value
