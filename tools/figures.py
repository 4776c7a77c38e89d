"""What cog writes into docs/reference/figures.md: the results that `make bench` has kept."""

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parents[1] / "bench"
_ABOUT = ("taken", "python", "processors")


def page() -> str:
    """A section for each kept result, with what its benchmark says of itself."""
    parts = (part for one in sorted((BENCH / "results").glob("*.json")) for part in _section(one))
    return "\n" + "\n\n".join(parts) + "\n\n"


def _section(result: Path) -> Iterator[str]:
    kept = json.loads(result.read_text())
    said = ast.get_docstring(ast.parse((BENCH / f"{result.stem}.py").read_text())) or ""
    yield f"## {result.stem}"
    yield said
    yield "Taken on {taken} with Python {python} on {processors} processors.".format(**kept)
    figures = {key: value for key, value in kept.items() if key not in _ABOUT}
    yield from _figures(figures)


def _figures(value: Mapping[str, Any], *names: str) -> Iterator[str]:
    """Tables for figures of any depth: the two innermost levels are a table's rows and columns."""
    plain = {key: one for key, one in value.items() if not isinstance(one, Mapping)}
    nested = {key: one for key, one in value.items() if isinstance(one, Mapping)}
    title = [f"*{', '.join(names).replace('_', ' ')}*"] if names else []
    if plain:
        yield from title
        yield _table(["", ""], [[key, _cell(one)] for key, one in plain.items()])
    if nested and all(_is_flat(one) for one in nested.values()) and names:
        columns = list(dict.fromkeys(key for one in nested.values() for key in one))
        rows = [[key, *(_cell(one.get(at)) for at in columns)] for key, one in nested.items()]
        yield from title
        yield _table(["", *columns], rows)
        return
    for key, one in nested.items():
        yield from _figures(one, *names, key)


def _is_flat(value: Mapping[str, Any]) -> bool:
    return not any(isinstance(one, Mapping) for one in value.values())


def _cell(value: object) -> str:
    """Three digits that count; a benchmark knows no more."""
    return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
