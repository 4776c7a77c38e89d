"""The commands that pages show, and what they print."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from environments import ROOT

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "docs/adr/*.md", "plugins/*/README.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
)
PROGRAMS = ("pvefw", "pvenode", "proxmox-boot-tool")
_BLOCK = re.compile(
    r"^```console\n(?P<fenced>(?:(?!```).*\n)*)```$"
    r"|(?<=\n\n)(?P<indented>(?: {4}.*\n|\n(?= {4}))+)",
    re.MULTILINE,
)
_OURS = rf"(?:{'|'.join(PROGRAMS)})(?![-./>\w])"
_INLINE = re.compile(rf"`({_OURS}[^`…]*)`")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Typed:
    """A command that somebody who reads a page types."""

    page: Path
    line: int
    command: str
    output: str | None = None
    """What is shown below it; None where a block shows commands only."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}: {self.command}"


def typed(page: Path) -> Iterator[Typed]:
    """The commands of a page's blocks in their order, each with the output that is shown.

    In a block with ``$`` the other lines are output; in one without, that begins with a program of
    ours somewhere, every line is a command. A backslash at the end goes on with the next line.
    """
    text = page.read_text()
    for block in _BLOCK.finditer(text):
        body = block["fenced"] or re.sub(r"^ {4}", "", block["indented"], flags=re.MULTILINE)
        first = text.count("\n", 0, block.start()) + 1 + bool(block["fenced"])
        shows_output = bool(re.search(r"^\$ ", body, re.MULTILINE))
        if not shows_output:
            if not re.search(rf"^{_OURS}", body, re.MULTILINE):
                continue
            body = re.sub(r"(?<!\\\n)^(?=\S)", "$ ", body, flags=re.MULTILINE)
        for match in re.finditer(
            r"^\$ (?P<command>(?:.*\\\n)*.*)\n(?P<output>(?:(?!\$ ).*\n?)*)", body, re.MULTILINE
        ):
            line = first + body.count("\n", 0, match.start())
            yield Typed(page, line, match["command"], match["output"] if shows_output else None)


def named(page: Path) -> Iterator[Typed]:
    """The commands that sentences name, in backquotes; they may leave arguments out."""
    text = _FENCED.sub(lambda block: "\n" * block[0].count("\n"), page.read_text())
    for match in _INLINE.finditer(text):
        yield Typed(page, text.count("\n", 0, match.start()) + 1, " ".join(match[1].split()))
