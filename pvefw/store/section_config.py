"""Section config: ``type: id``, then tab-indented ``key value`` lines, sections apart by a blank line.

The format of Proxmox VE's ``plugins.cfg``, ``storage.cfg`` and others. What is not changed keeps its
bytes: unknown keys, comments, blank lines and the order of everything.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pvefw.core.errors import UsageError
from pvefw.store import oddities

ID = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]*")
"""What instances and accounts can be called: Proxmox VE's ``pve-configid``, of one letter, too."""
_HEADER = re.compile(r"(?P<type>[^\s:#][^\s:]*):\s*(?P<id>\S+)\s*")
_PROPERTY = re.compile(r"\s+(?P<key>\S+)(?:\s+(?P<value>.*?))?\s*")


def check_id(text: str, what: str) -> None:
    """Refuse what cannot be an id.

    :param what: for the message: ``an account name``.
    :raises UsageError: it is none.
    """
    if not ID.fullmatch(text):
        raise UsageError(
            f"'{text}' is not {what}", hint="Letters, digits, '-' and '_', beginning with a letter."
        )


_OFF = ("0", "no", "off", "false")


@dataclass(frozen=True)
class Section:
    """One section, with every line that belongs to it."""

    type: str
    id: str
    lines: Sequence[str] = ()
    """As in the file, without line ends: properties, comments and blank lines."""
    header: str = ""
    """The header as in the file; empty for ``type: id``."""
    line: int = field(default=0, compare=False)
    """The header's line in the file, from 1; 0 for a section that is in none."""

    def is_called(self, id_: str, types: Collection[str]) -> bool:
        """Whether it has this id, and is of one of these types; of any, where there are none."""
        return self.id == id_ and (not types or self.type in types)

    @property
    def values(self) -> dict[str, str]:
        """The properties by key; a key without a value is a flag, its value is empty."""
        settings = {}
        for line in self.lines:
            if match := _property(line):
                settings[match["key"]] = oddities.readable(match["value"] or "")
        return settings

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that it is for; none for all of them."""
        return split(self.values.get("nodes", ""))

    @property
    def disabled(self) -> bool:
        """Whether it is turned off: by ``disable``, unless 0, no, off or false follows."""
        return self.values.get("disable", "0").lower() not in _OFF

    def changed(self, values: Mapping[str, str | None]) -> "Section":
        """This section with other properties: set to a text, or removed by ``None``.

        :raises UsageError: a value does not fit on one line.
        """
        lines = []
        rest = dict(values)
        for line in self.lines:
            match = _property(line)
            if match is None or match["key"] not in rest:
                lines.append(line)
                continue
            value, rest[match["key"]] = (
                rest[match["key"]],
                None,
            )  # where it occurs twice, once is left
            if value is not None:
                lines.append(
                    line if value == (match["value"] or "") else _line(match["key"], value)
                )
        added = [_line(key, value) for key, value in rest.items() if value is not None]
        end = _end(lines)
        return replace(self, lines=(*lines[:end], *added, *lines[end:]))


def _property(line: str) -> re.Match[str] | None:
    return None if line.lstrip().startswith("#") else _PROPERTY.fullmatch(line)


def _line(key: str, value: str) -> str:
    if len(value.splitlines()) > 1:
        raise UsageError(f"the value of {key} is more than one line")
    return f"\t{key} {value}".rstrip()


def _end(lines: Sequence[str]) -> int:
    """Behind the last property. A blank line ends a section for Proxmox VE: nothing may go below."""
    return max((number for number, line in enumerate(lines, 1) if _property(line)), default=0)


def split(text: str) -> tuple[str, ...]:
    """The parts of a list, as Proxmox VE reads one: comma, semicolon or white space between."""
    return tuple(part for part in re.split(r"[\s,;]+", text) if part)


@dataclass(frozen=True)
class SectionConfig:
    """A whole file."""

    head: Sequence[str] = ()
    """Lines before the first section."""
    sections: Sequence[Section] = ()

    @classmethod
    def parse(
        cls, data: bytes, what: str, *, first: int = 1, types_share_ids: bool = True
    ) -> "SectionConfig":
        """Read a file. What makes no sense in it is kept, and reported as an oddity.

        :param what: names the file in warnings.
        :param first: the number of the first line, where this is the end of a file.
        :param types_share_ids: whether of two sections with one id, but of different types, one counts.
        """
        head: list[str] = []
        sections: list[tuple[re.Match[str], int, list[str]]] = []
        for number, line in enumerate(oddities.decoded(data).split("\n"), start=first):
            header = _HEADER.fullmatch(line)
            if header:
                sections.append((header, number, []))
                continue
            if _odd(line, inside=bool(sections)):
                why = "it is neither a section ('type: id') nor a property (indented 'key value')"
                oddities.report(what, number, why, "the line is ignored")
            (sections[-1][2] if sections else head).append(line)
        parsed = tuple(
            Section(header["type"], header["id"], tuple(rest), header[0], number)
            for header, number, rest in sections
        )
        _report_twice(parsed, what, types_share_ids=types_share_ids)
        return cls(tuple(head), parsed)

    def render(self) -> bytes:
        """The file again; byte for byte what was parsed, where nothing was changed."""
        lines = list(self.head)
        for section in self.sections:
            lines += [section.header or f"{section.type}: {section.id}", *section.lines]
        return oddities.encoded("\n".join(lines))

    def get(self, id_: str, types: Collection[str] = ()) -> Section | None:
        """The section with this id; of several the last.

        :param types: those that it may be of; any without them.
        """
        return next(
            (section for section in reversed(self.sections) if section.is_called(id_, types)), None
        )

    def with_section(self, section: Section, types: Collection[str] = ()) -> "SectionConfig":
        """This file with a section replaced, or added at its end.

        :param types: those that the section to replace may be of; any without them.
        """
        there = self.get(section.id, types)
        if there is not None:
            kept = tuple(section if other is there else other for other in self.sections)
            return replace(self, sections=kept)
        lines = tuple(line for line in section.lines[: _end(section.lines)] if line.strip())
        ended = self._ended()
        return replace(ended, sections=(*ended.sections, replace(section, lines=(*lines, "", ""))))

    def without(self, id_: str, types: Collection[str] = ()) -> "SectionConfig":
        """This file without the sections of an id; comments below them stay: the next may be meant.

        :param types: those that may go; any without them.
        """
        head, sections = tuple(self.head), list[Section]()
        for section in self.sections:
            if not section.is_called(id_, types):
                sections.append(section)
                continue
            left = _comments(section.lines[_end(section.lines) :])
            if left and sections:
                sections[-1] = replace(sections[-1], lines=(*sections[-1].lines, *left))
            elif left:
                head = (*head, *left)
        if sections:
            sections[-1] = replace(sections[-1], lines=_with_line_end(sections[-1].lines))
        elif head:
            head = _with_line_end(head)
        return replace(self, head=head, sections=tuple(sections))

    def _ended(self) -> "SectionConfig":
        """This file with a blank line at its end, so that a section can follow."""
        if not self.sections:
            head = tuple(self.head) if any(line.strip() for line in self.head) else ()
            return replace(self, head=head)
        last = self.sections[-1]
        lines = list(last.lines)
        while lines and not lines[-1].strip():
            lines.pop()
        return replace(self, sections=(*self.sections[:-1], replace(last, lines=(*lines, ""))))


def _comments(lines: Sequence[str]) -> Sequence[str]:
    """What is left of the lines below a section's properties when it goes; indented ones are its own."""
    left = [line for line in lines if not (line.strip() and line[0].isspace())]
    first = next((number for number, line in enumerate(left) if line.strip()), len(left))
    return left[first:]


def _with_line_end(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(lines) if lines and not lines[-1].strip() else (*lines, "")


def _odd(line: str, *, inside: bool) -> bool:
    """Whether a line is none of the format."""
    if not line.strip() or line.lstrip().startswith("#"):
        return False
    return not line[0].isspace() or not inside


def _report_twice(sections: Sequence[Section], what: str, *, types_share_ids: bool) -> None:
    def name(section: Section) -> tuple[str, str]:
        return "" if types_share_ids else section.type, section.id

    last = {name(section): section for section in sections}
    for section in sections:
        if last[name(section)] is not section:
            why = f"{section.type}: {section.id} occurs twice"
            oddities.report(
                what, section.line, why, f"that of line {last[name(section)].line} wins"
            )
