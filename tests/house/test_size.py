"""A module fits into a head: what grows beyond that has two reasons to change."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST = 500
TABLES = {"pvefw/cli/schemas.py"}
"""One entry after the other: nobody reads them from top to bottom."""


def test_no_module_is_too_long():
    sources = [*ROOT.glob("pvefw/**/*.py"), *ROOT.glob("*/**/src/**/*.py")]
    lengths = {
        path.relative_to(ROOT).as_posix(): path.read_text().count("\n")
        for path in sources
        if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    }
    assert len(lengths) > 400
    kits = "pvefw/testing/"  # one test after the other, and a class is one kit
    long = {name for name, lines in lengths.items() if lines > MOST and not name.startswith(kits)}
    assert long == TABLES
