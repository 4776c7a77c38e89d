"""What cog writes of the results that `make bench` has kept."""

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parents[1] / "bench"
_ABOUT = ("taken", "python", "processors")


def page() -> str:
    """A section for each kept result, with what its benchmark says about itself."""
    parts = (part for path in sorted((BENCH / "results").glob("*.json")) for part in _section(path))
    return "\n" + "\n\n".join(parts) + "\n\n"


# --- in other pages -------------------------------------------------------------------------------


def orders() -> str:
    """What other ACME clients take for fifty names, as multiples of pvefw."""
    rows = []
    for challenge, result in (("http-01", "acme_http"), ("dns-01", "acme_dns")):
        ratios = _kept(result)["ratios"]["50"]
        others = (_times(ratios[f"{client}_to_pvefw"]) for client in ("lego", "certbot"))
        rows.append([challenge, *others, "not measured", "1"])
    head = ["a certificate for 50 names, at one server", "lego", "certbot", "acme.sh", "pvefw"]
    return f"\n{_table(head, rows)}\n\n"


def fifty_names() -> str:
    """A sentence on how long an order takes."""
    seconds = [_kept(name)["seconds"]["50"]["pvefw"] for name in ("acme_http", "acme_dns")]
    by_http, by_dns = (f"{figure:.1f} s" for figure in seconds)
    return (
        f"An order for fifty names at a test authority on the same machine took {by_http} by http-01\n"
        f"and {by_dns} through DNS.\n"
    )


def power() -> str:
    """What starting and stopping guests takes, as multiples of what libvirt itself takes."""
    kept = _kept("guests")
    times = kept["times_the_floor"]
    rows = [
        [f"{verb} {kept['guests']} small guests"]
        + [_times(times[who][verb]) for who in ("libvirt-guests.sh", "pvefw", "floor")]
        for verb in ("stop", "start")
    ]
    head = ["as multiples", "libvirt-guests.sh", "pvefw", "libvirt itself"]
    return f"\n{_table(head, rows)}\n\n"


def refresh() -> str:
    """What a refresh takes, as a multiple of ``cp`` and ``sync``."""
    kept = _kept("boot_refresh")
    of = kept["of_cp_and_sync"]
    nothing = kept["seconds"]["refresh, nothing changed"] * 1000
    return (
        f"A refresh that wrote everything took {_times(of['all new'])} times as long as `cp` and `sync`\n"
        "of the same bytes, one where one kernel of three had changed "
        f"{_times(of['one changed'])} times;\none without changes took {nothing:.0f} ms.\n"
    )


def lists_of_tasks() -> str:
    """A sentence on the lists of a long history."""
    kept = _kept("task_history")["histories"]["1000000"]
    milliseconds = [listing["seconds"] * 1000 for listing in kept["lists"].values()]
    return (
        f"A list out of a million tasks takes {min(milliseconds):.1f} to {max(milliseconds):.0f} ms, "
        "plus the start of the program.\n"
    )


def _kept(name: str) -> dict[str, Any]:
    """What one benchmark has kept."""
    return dict(json.loads((BENCH / "results" / f"{name}.json").read_text()))


def _times(ratio: float) -> str:
    """A ratio with two digits that count."""
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}"  # noqa: PLR2004 - two digits


# --- docs/reference/figures.md --------------------------------------------------------------------


def _section(result: Path) -> Iterator[str]:
    kept = _kept(result.stem)
    docstring = ast.get_docstring(ast.parse((BENCH / f"{result.stem}.py").read_text())) or ""
    yield f"## {result.stem}"
    yield docstring
    yield "Taken on {taken} with Python {python} on {processors} processors.".format(**kept)
    figures = {key: value for key, value in kept.items() if key not in _ABOUT}
    yield from _figures(figures)


def _figures(value: Mapping[str, Any], *names: str) -> Iterator[str]:
    """Tables for figures of any depth: the two innermost levels are a table's rows and columns."""
    plain = {key: text for key, text in value.items() if not isinstance(text, Mapping)}
    nested = {key: text for key, text in value.items() if isinstance(text, Mapping)}
    title = [f"*{', '.join(names).replace('_', ' ')}*"] if names else []
    if plain:
        yield from title
        yield _table(["", ""], [[key, _cell(text)] for key, text in plain.items()])
    if nested and all(_is_flat(text) for text in nested.values()) and names:
        columns = list(dict.fromkeys(key for text in nested.values() for key in text))
        rows = [[key, *(_cell(text.get(at)) for at in columns)] for key, text in nested.items()]
        yield from title
        yield _table(["", *columns], rows)
        return
    for key, text in nested.items():
        yield from _figures(text, *names, key)


def _is_flat(value: Mapping[str, Any]) -> bool:
    return not any(isinstance(text, Mapping) for text in value.values())


def _cell(value: object) -> str:
    """Three digits that count; a benchmark knows no more."""
    return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
