"""The kits see the API, each other, and the one seam of core: the house behind it can be rebuilt."""

import ast
from pathlib import Path

import pytest

from pvefw import seam

ROOT = Path(__file__).resolve().parents[2]
KITS = [
    *sorted((ROOT / "pvefw/testing").rglob("*.py")),
    *sorted((ROOT / "tests/compatibility").glob("*/testing/*.py")),
]
ALLOWED = ("pvefw.api", "pvefw.seam", "pvefw.testing")


def forbidden(source):
    """Modules of pvefw that a kit imports although it must not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = [f"{node.module}.{alias.name}" for alias in node.names]
            names = parts if node.module == "pvefw" else [str(node.module)]
        else:
            continue
        for name in names:
            ours = name.partition(".")[0] == "pvefw"
            if ours and ".".join(name.split(".")[:2]) not in ALLOWED:
                yield name


@pytest.mark.parametrize("path", KITS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_kit_goes_through_the_seam(path):
    assert list(forbidden(path.read_text())) == []


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("from pvefw.api import TxtRecord", []),
        ("from pvefw import seam", []),
        ("from pvefw.seam import DnsSpec", []),
        ("import pvefw.testing.dns", []),
        ("from pvefw.core import binding", ["pvefw.core"]),
        ("from pvefw import store", ["pvefw.store"]),
        ("def late():\n    import pvefw.boot.sync", ["pvefw.boot.sync"]),
        ("from pvefw.apis import x", ["pvefw.apis"]),
    ],
)
def test_the_rule_finds_what_it_is_for(source, wrong):
    assert list(forbidden(source)) == wrong


def test_the_seam_offers_what_it_lists():
    assert [name for name in seam.__all__ if not hasattr(seam, name)] == []
    assert list(seam.__all__) == sorted(seam.__all__)
