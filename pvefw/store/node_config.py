"""``/etc/pve/nodes/NODE/config``: ``key: value`` lines under a description in ``#`` lines.

Keys are sorted. The description is percent-encoded, one ``#`` line for each of its lines. A change
touches the lines of its own keys; every other byte stays as it was, also those that make no sense.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pvefw.store import oddities

_LINE = re.compile(r"\s*(?P<key>[^\s:#][^\s:]*):\s*(?P<value>\S.*?)\s*")
_KEY = re.compile(r"\s*[^\s:#][^\s:]*:\s*")
_NOTE = re.compile(r"\s*(?:#|description:\s*)(?P<text>.*?)\r?")
"""A line of the description; Proxmox VE reads both forms and writes the first."""
_PLAIN = frozenset(range(0x20, 0x7F)) - frozenset(b"%:")
_CR = "\r"
_ENCODED = re.compile(r"%([0-9a-fA-F]{2})")


@dataclass(frozen=True)
class NodeConfig:
    """A node configuration with every line of its file."""

    lines: Sequence[str] = ()

    first: int = field(default=1, compare=False)
    """The number of the first line in its file."""

    @classmethod
    def parse(cls, data: bytes, what: str, *, first: int = 1) -> "NodeConfig":
        """Read a file. A line that is not ``key: value`` is kept, and reported as an oddity.

        :param what: names the file in warnings.
        :param first: the number of the first line, where this is a part of a file.
        """
        config = cls(tuple(oddities.decoded(data).split("\n")), first)
        for number, line in enumerate(config.lines, start=first):
            if line.strip() and not _NOTE.fullmatch(line) and not _LINE.fullmatch(line):
                why = "the value is empty" if _KEY.fullmatch(line) else "it is not 'key: value'"
                oddities.report(what, number, why, "the line is ignored")
        return config

    def render(self) -> bytes:
        """The file again."""
        return oddities.encoded("\n".join(self.lines))

    @property
    def values(self) -> dict[str, str]:
        """The properties by key, without the description; of a key that occurs twice, the last."""
        return {
            match["key"]: oddities.readable(match["value"])
            for line in self.lines
            if (match := _property(line))
        }

    def line_of(self, key: str) -> int:
        """The line of the file that a property's value is from; 0 where it has none."""
        last = 0
        for number, line in enumerate(self.lines, start=self.first):
            if (match := _property(line)) and match["key"] == key:
                last = number
        return last

    @property
    def description(self) -> str:
        """The notes, decoded, each line with its line end. Empty where there are none."""
        notes = (match for line in self.lines if (match := _NOTE.fullmatch(line)))
        return "".join(f"{decode(match['text']).removesuffix(_CR)}\n" for match in notes)

    def changed(self, values: Mapping[str, str | None]) -> "NodeConfig":
        """This configuration with other properties: set to a text, or removed by ``None``."""
        rest = {key: value for key, value in values.items() if self.values.get(key) != value}
        lines = []
        for line in self.lines:
            match = _property(line)
            if match is None or match["key"] not in rest:
                lines.append(line)
            elif (value := rest[match["key"]]) is not None:
                lines.append(f"{match['key']}: {value}")
                rest[match["key"]] = None  # where it occurs twice, the others go
        for key, value in sorted(rest.items()):
            if value is not None:
                lines.insert(_place(lines, key), f"{key}: {value}")
        return replace(self, lines=_ended(lines)) if rest else self

    def described(self, description: str) -> "NodeConfig":
        """This configuration with other notes; their lines may end as on other systems, too."""
        description = description.replace(f"{_CR}\n", "\n")
        if self.description in (description, f"{description}\n"):
            return self
        notes = description.removesuffix("\n").split("\n") if description else []
        body = [line for line in self.lines if not _NOTE.fullmatch(line)]
        return replace(self, lines=_ended([*(f"#{encode(line)}" for line in notes), *body]))


def _property(line: str) -> re.Match[str] | None:
    return None if _NOTE.fullmatch(line) else _LINE.fullmatch(line)


def _place(lines: Sequence[str], key: str) -> int:
    """Where a new property goes: below the last that sorts before it, else above the first."""
    there = [
        (number, match["key"]) for number, line in enumerate(lines) if (match := _property(line))
    ]
    if not there:
        return max((number for number, line in enumerate(lines, 1) if line.strip()), default=0)
    return max((number + 1 for number, other in there if other < key), default=there[0][0])


def _ended(lines: Sequence[str]) -> tuple[str, ...]:
    """With the end of the last line; nothing where there is no line."""
    return tuple(lines) if not lines or not lines[-1].strip() else (*lines, "")


def encode(text: str) -> str:
    """A line of the description as it is in the file: all but plain ASCII percent-encoded."""
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in text.encode())


def decode(text: str) -> str:
    """The reverse of :func:`encode`; what is no code is left as it is, what is no UTF-8 shows as "�"."""
    raw = b"".join(
        bytes.fromhex(part) if index % 2 else oddities.encoded(part)
        for index, part in enumerate(_ENCODED.split(text))
    )
    return raw.decode(errors="replace")


# --- property strings -----------------------------------------------------------------------------


def parse_property_string(text: str, default_key: str = "") -> dict[str, str]:
    """``[mac=]MAC,bind-interface=IF`` as a dictionary; blank parts say nothing, as in Proxmox VE.

    A blank beside a comma belongs to a key or value: Proxmox VE refuses it, and so do the checks.

    :param default_key: the key of a part that has none.
    :raises ValueError: a part has no key where it needs one, or a key occurs twice; says which.
    """
    values: dict[str, str] = {}
    for part in filter(str.strip, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            key, value = default_key, part
        if not key or not value:
            raise ValueError(f"'{part.strip()}' is not KEY=VALUE")
        if key in values:
            raise ValueError(f"'{key}' occurs twice")
        values[key] = value
    return values


def normal_property_string(text: str) -> str:
    """A property string as Proxmox VE reads it: without the blanks that people put beside a comma."""
    parts = (part.partition("=") for part in text.split(","))
    return ",".join(f"{key.strip()}{equals}{value.strip()}" for key, equals, value in parts)
