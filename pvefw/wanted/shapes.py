"""What a document may say where: read from YAML with the line of whatever is wrong, and as a JSON schema.

A scalar is read as what is expected where it is, so ``acme: 1.10`` is a text and a MAC address no
number of minutes, whatever YAML 1.1 takes them for.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Protocol

from pvefw.core.errors import ConfigError, PvefwError

Schema = dict[str, Any]
_NULL = "tag:yaml.org,2002:null"
_BOOL = "tag:yaml.org,2002:bool"
_PLAIN = frozenset(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)
"""What YAML takes plain scalars for; every other tag asks for a program that understands it."""
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class Place:
    """Where in a document something is, for messages."""

    file: str
    path: str = ""
    lines: dict[str, int] = field(default_factory=dict)
    """Of each path that was read, from 1: the document's, shared by its places."""
    errors: list[ConfigError] = field(default_factory=list)
    """What is wrong, in the order of the document: shared, too."""

    def below(self, key: Any) -> "Place":
        """What follows a key, a YAML node."""
        path = f"{self.path}.{key.value}" if self.path else key.value
        self.lines[path] = key.start_mark.line + 1
        return Place(self.file, path, self.lines, self.errors)

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """Keep what is wrong in the body, so that the rest of the document is read, too."""
        try:
            yield
        except ConfigError as error:
            self.errors.append(error)

    def wrong(self, node: Any, why: str, hint: str = "") -> ConfigError:
        """The error to raise.

        :param node: the YAML node that it is about.
        """
        subject = f"{self.path}: " if self.path else ""
        return ConfigError(f"{self.file}:{node.start_mark.line + 1}: {subject}{why}", hint=hint)


class Shape(Protocol):
    """What can be somewhere in a document."""

    @property
    def schema(self) -> Schema:
        """As a JSON schema (2020-12)."""

    def read(self, node: Any, place: Place) -> Any:
        """The value of a YAML node.

        :raises ConfigError: it has none of this shape.
        """


def _scalar(node: Any, place: Place, what: str) -> str:
    """The text of a scalar, as it is in the document."""
    if node.id != "scalar" or node.tag == _NULL:
        raise place.wrong(node, f"{what} is expected here")
    if node.tag not in _PLAIN:
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        raise place.wrong(node, f"the tag {tag} is not known", "Write the value itself.")
    text: str = node.value
    return text


@dataclass(frozen=True)
class Text:
    """A text; a number or a date is one, too."""

    help: str
    check: Callable[[str], object] | None = None
    """Raises ValueError for a text that does not fit."""
    format: str = ""
    choices: tuple[str, ...] = ()
    normal: Callable[[str], str] = str
    """The text as it is kept."""

    @property
    def schema(self) -> Schema:
        about = f"{self.help} Format: {self.format}" if self.format else self.help
        if self.choices:
            return {"enum": list(self.choices), "description": about}
        kinds = ["string", "number", "boolean"] if self._is_bit else ["string", "number"]
        return {"type": kinds, "description": about}

    @property
    def _is_bit(self) -> bool:
        return self.format == "0|1"

    def read(self, node: Any, place: Place) -> str:
        text = _scalar(node, place, "a text")
        if self._is_bit and node.tag == _BOOL:
            text = "1" if text.lower() in _TRUE else "0"
        if self.choices and text not in self.choices:
            raise place.wrong(node, f"'{text}' is not one of {', '.join(self.choices)}")
        try:
            text = self.normal(text)
            if self.check is not None:
                self.check(text)
        except ValueError as error:
            hint = f"The format is: {self.format}" if self.format else ""
            raise place.wrong(node, str(error), hint) from error
        except PvefwError as error:
            raise place.wrong(node, error.message, error.hint) from error
        return text


@dataclass(frozen=True)
class Number:
    """A whole number within limits."""

    help: str
    lowest: int
    highest: int

    @property
    def schema(self) -> Schema:
        limits = {"minimum": self.lowest, "maximum": self.highest}
        return {"type": "integer", **limits, "description": self.help}

    def read(self, node: Any, place: Place) -> int:
        text = _scalar(node, place, "a number")
        if not re.fullmatch(r"[0-9]{1,12}", text) or not self.lowest <= int(text) <= self.highest:
            limits = f"from {self.lowest} to {self.highest}"
            raise place.wrong(node, f"'{text}' is not a whole number {limits}")
        return int(text)


@dataclass(frozen=True)
class Flag:
    """Yes or no."""

    help: str
    may_be_false: bool = True

    @property
    def schema(self) -> Schema:
        only = {} if self.may_be_false else {"enum": [True]}
        return {"type": "boolean", **only, "description": self.help}

    def read(self, node: Any, place: Place) -> bool:
        text = _scalar(node, place, "true or false").lower()
        if text not in (*_TRUE, *_FALSE):
            raise place.wrong(node, f"'{text}' is neither true nor false")
        if text in _FALSE and not self.may_be_false:
            raise place.wrong(node, "this can only be true", "Leave it out instead.")
        return text in _TRUE


@dataclass(frozen=True)
class List:
    """Values of one shape."""

    help: str
    each: Shape

    @property
    def schema(self) -> Schema:
        return {"type": "array", "items": self.each.schema, "description": self.help}

    def read(self, node: Any, place: Place) -> list[Any]:
        if node.id != "sequence":
            raise place.wrong(node, "a list is expected here")
        return [self.each.read(item, place) for item in node.value]


@dataclass(frozen=True)
class Table:
    """Things by their names, which are free."""

    help: str
    each: Shape
    named: Callable[[str], object] | None = None
    """Raises a ``PvefwError`` for what cannot be a name."""

    @property
    def schema(self) -> Schema:
        return {
            "type": "object",
            "additionalProperties": self.each.schema,
            "description": self.help,
        }

    def read(self, node: Any, place: Place) -> dict[str, Any]:
        entries = {}
        for key, value in pairs(node, place):
            with place.going_on():
                self._check(key, place)
                entries[key.value] = self.each.read(value, place.below(key))
        return entries

    def _check(self, key: Any, place: Place) -> None:
        if self.named is not None:
            try:
                self.named(key.value)
            except PvefwError as error:
                raise place.wrong(key, error.message, error.hint) from error


@dataclass(frozen=True)
class Record:
    """Fields with names that are known. One whose value is ``null`` goes back to its default."""

    help: str
    fields: Mapping[str, Shape]
    numbered: Mapping[str, Callable[[str], Shape | None]] = field(default_factory=dict)
    """Fields that there are many of: a pattern of their names, and the shape of one."""
    may_be_null: bool = True
    without_default: frozenset[str] = frozenset()
    """Fields that cannot be null."""

    @property
    def schema(self) -> Schema:
        schema: Schema = {
            "type": "object",
            "properties": {
                key: shape.schema if key in self.without_default else self._or_null(shape.schema)
                for key, shape in self.fields.items()
            },
            "additionalProperties": False,
            "description": self.help,
        }
        for pattern, make in self.numbered.items():
            example = make(pattern)
            if example is not None:
                schema.setdefault("patternProperties", {})[f"^{pattern}$"] = self._or_null(
                    example.schema
                )
        return schema

    def _or_null(self, schema: Schema) -> Schema:
        if not self.may_be_null:
            return schema
        nullable = dict(schema)
        if "enum" in schema:
            nullable["enum"] = [*schema["enum"], None]
        if "type" not in schema:
            return nullable
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return {**nullable, "type": [*kinds, "null"]}

    def read(self, node: Any, place: Place) -> dict[str, Any]:
        fields = {}
        for key, value in pairs(node, place):
            is_null = value.id == "scalar" and value.tag == _NULL and self.may_be_null
            with place.going_on():
                shape = self._shape(key, place)
                if is_null and key.value in self.without_default:
                    raise place.wrong(value, f"{key.value} has no default, so it cannot be null")
                fields[key.value] = None if is_null else shape.read(value, place.below(key))
        return fields

    def _shape(self, key: Any, place: Place) -> Shape:
        """That of a field.

        :raises ConfigError: there is none of this name.
        """
        for pattern, make in self.numbered.items():
            if re.fullmatch(pattern, key.value) and (shape := make(key.value)):
                return shape
        if key.value in self.fields:
            return self.fields[key.value]
        first = [f"{_stem(numbered)}0" for numbered in self.numbered]
        close = get_close_matches(key.value, [*self.fields, *first], n=1)
        meant = f" (did you mean {close[0]}?)" if close else ""
        known = ", ".join([*self.fields, *(f"{_stem(numbered)}N" for numbered in self.numbered)])
        raise place.wrong(key, f"{key.value} is not known here{meant}", f"Known: {known}.")


def _stem(pattern: str) -> str:
    """What comes before the number in the names that a pattern fits."""
    return re.split(r"\W|\\d", pattern, maxsplit=1)[0]


def pairs(node: Any, place: Place) -> list[tuple[Any, Any]]:
    """The keys and values of a mapping.

    :raises ConfigError: it is none, or a key occurs twice.
    """
    if node.id != "mapping":
        raise place.wrong(node, "names with values are expected here", "For none, write {}.")
    lines: dict[str, int] = {}
    for key, _ in node.value:
        text = _scalar(key, place, "a name")
        if text in lines:
            raise place.wrong(key, f"{text} occurs twice; the first is in line {lines[text]}")
        lines[text] = key.start_mark.line + 1
    return list(node.value)
