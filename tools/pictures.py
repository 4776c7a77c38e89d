"""The documentation's pictures of a terminal, as SVG: drawn by rich, with the system's own fonts.

    python tools/pictures.py          writes docs/images/*.svg
    python tools/pictures.py --check  says which are out of date

A picture has its own dark background, so that it is legible on a light page and on a dark one.
"""

import html
import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import cast
from rich.console import Console, RenderableType
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from pvefw.cli import output

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs/images"
_LINES = re.MULTILINE | re.DOTALL
THEME = TerminalTheme(
    (30, 33, 41),
    (226, 228, 233),
    [(30, 33, 41), (255, 138, 128), (130, 215, 140), (245, 205, 105),
     (140, 180, 255), (215, 160, 240), (110, 215, 225), (226, 228, 233)],
)  # fmt: skip
"""Background, text, and the eight colours; each has a contrast of more than 7:1 (WCAG AAA)."""
FORMAT = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"
 role="img" aria-labelledby="{unique_id}-name">
<title id="{unique_id}-name">TITLE</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
<rect width="{width}" height="{height}" rx="8" fill="#1e2129"/>
<g transform="translate({terminal_x}, 20)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""As rich fills it in; its own format fetches a font from elsewhere."""


def terminal(shown: RenderableType, name: str, title: str) -> str:
    """A picture of a terminal that shows something."""
    console = Console(record=True, width=cast.COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(shown)
    named = FORMAT.replace("TITLE", html.escape(title))
    return console.export_svg(theme=THEME, code_format=named, unique_id=name)


def demo() -> str:
    """The order of the demo, from its recording."""
    recording = cast.output(IMAGES / "demo.cast").replace("\r\n", "\n").replace("\x1b[K", "")
    order = re.search(
        r"^# pvefw config set -acmedomain0.*?(?=\n\n# pvefw cert info)", recording, _LINES
    )
    if order is None:
        raise SystemExit("docs/images/demo.cast: no order in it; make demo ARGS='--cast FILE'")
    return terminal(Text.from_ansi(order[0]), "demo", "A certificate for two names is ordered")


def status() -> str:
    """What `pvefw status` prints in docs/node.md, as it looks on a terminal."""
    page = ROOT.joinpath("docs/node.md").read_text()
    shown = page.partition("    $ pvefw status\n")[2].partition("\n\n")[0]
    header, *lines = shown.splitlines()
    state = header.index("state")
    text = len(lines[0]) - len(lines[0][state:].partition(" ")[2].lstrip())
    rows = [[line[4:state].strip(), line[state:text].strip(), line[text:]] for line in lines]
    table = output.grid(rows, ["part", "state", ""], header=True)
    return terminal(table, "status", "pvefw status")


def main(arguments: Sequence[str]) -> int:
    """Write the pictures, or compare.

    :returns: 0, or 1 where one is out of date.
    """
    stale = []
    for draw in (demo, status):
        path, picture = IMAGES / f"{draw.__name__}.svg", draw()
        if path.exists() and path.read_text() == picture:
            continue
        stale.append(path.relative_to(ROOT))
        if "--check" not in arguments:
            path.write_text(picture)
    for path in stale:
        print(f"{path}: {'out of date, run `make docs`' if '--check' in arguments else 'written'}")
    return int("--check" in arguments and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
