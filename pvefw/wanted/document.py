"""The document: from YAML, and to YAML."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pvefw.core.errors import ConfigError
from pvefw.wanted.kinds import KINDS
from pvefw.wanted.shapes import Place, Record, Schema

State = Mapping[str, Mapping[str, Any]]
"""The parts of a document: what is named in each, and the fields of that."""
_LARGEST = 1 << 20
"""Bytes. A document for a large node has a hundredth of that; YAML's parser is slow."""
_MOST = 100_000
"""Values. A few kilobytes of aliases could stand for billions."""
SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"


def shape() -> Record:
    """What a document may say."""
    help_ = "The wanted state of a node. What it does not name stays as it is."
    return Record(help_, {kind.key: kind.shape for kind in KINDS}, may_be_null=False)


def schema() -> Schema:
    """The same as a JSON schema (2020-12)."""
    return {"$schema": SCHEMA_ID, "title": "The wanted state of a node of pvefw", **shape().schema}


@dataclass(frozen=True)
class Document:
    """What was read, and where it stood."""

    file: str
    state: State
    lines: Mapping[str, int] = field(default_factory=dict)

    def where(self, subject: str) -> str:
        """File and line of a part or of something in one: ``plugins.ovh``."""
        line = self.lines.get(subject) or self.lines.get(subject.partition(".")[0])
        return f"{self.file}:{line}" if line else self.file


def read(data: bytes, file: str) -> Document:
    """A document.

    :param file: what to call it in messages.
    :raises ConfigError: it is no YAML, or says something that is not known; file and line are named.
    """
    if len(data) > _LARGEST:
        raise ConfigError(
            f"{file}: the document has {len(data)} bytes; at most {_LARGEST} are read"
        )
    node, place = _composed(data, file), Place(file)
    if not data.strip():
        raise ConfigError(
            f"{file}: the document is empty", hint="For one that wants nothing, write {}."
        )
    with place.going_on():
        state = shape().read(node, place)
    if place.errors:
        raise _invalid(place.errors)
    return Document(file, state, place.lines)


def _invalid(errors: Sequence[ConfigError]) -> ConfigError:
    """One error for all that is wrong with a document: the first, and the others as its hint."""
    first, *others = errors
    also = [f"Also {other.message}{f' ({other.hint})' if other.hint else ''}" for other in others]
    return ConfigError(first.message, hint="\n".join(filter(None, [first.hint, *also])))


def _composed(data: bytes, file: str) -> Any:
    import yaml

    try:
        node = yaml.compose(data.decode("utf-8-sig"), Loader=yaml.SafeLoader)
        if node is None:  # what a command that failed has written into a pipe
            raise ConfigError(
                f"{file}: the document is empty", hint="For one that wants nothing, write {}."
            )
        if _size(node, {}) > _MOST:
            raise ConfigError(f"{file}: the document has more than {_MOST} values, aliases counted")
        return node
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: the document is not UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}" if mark else file
        hint = "Indent YAML with spaces, not tabs." if "'\\t'" in str(error.problem) else ""
        raise ConfigError(f"{where}: this is not YAML: {_problem(error)}", hint=hint) from error
    except RecursionError as error:
        raise ConfigError(f"{file}: the document is nested too deeply") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: this is not YAML: {' '.join(str(error).split())}") from error


def _problem(error: Any) -> str:
    """What is wrong with a document, in words for people."""
    problem = str(error.problem)
    if "'<stream end>'" in problem or "end of stream" in problem:
        return "it ends too early"
    if match := re.search(r"character (.+) that cannot start any token", problem):
        return f"no value begins with {match[1]}"
    if "mapping values are not allowed" in problem:
        return "there is a second ': ' in a value: quote it, or check the indentation"
    if match := re.search(r"but (?:found|got) (.+)$", problem):
        return f"{_TOKENS.get(match[1], match[1])} is not expected here"
    return problem


_TOKENS = {
    "'<scalar>'": "a value",
    "'?'": "a name of this indentation",
    "'<block mapping start>'": "a name of this indentation",
    "'<block sequence start>'": "a list of this indentation",
}
"""What PyYAML calls tokens that nobody has typed."""


def _size(node: Any, known: dict[int, int]) -> int:
    """How many values a YAML node has, each alias counted as what it stands for.

    :param known: that of nodes, by their identity; one that is in itself has none yet.
    """
    if id(node) not in known:
        known[id(node)] = 0
        parts = itertools.chain(*node.value) if node.id == "mapping" else node.value
        inside = () if node.id == "scalar" else parts
        known[id(node)] = 1 + sum(_size(child, known) for child in inside)
    return known[id(node)]


def text(state: State) -> str:
    """A state as a document."""
    import yaml

    return yaml.safe_dump(
        json.loads(json.dumps(state)), sort_keys=False, allow_unicode=True, width=100
    )
