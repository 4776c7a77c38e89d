"""Plugins see pvefw.api and pvefw.testing, and never each other.

The layers of core itself are a contract in pyproject.toml. This one is a test, because its list of
plugins is the folder ``plugins/``.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(ROOT.glob("plugins/*/src/*/__init__.py"))
ALLOWED = ("pvefw.api", "pvefw.testing")


def imported(source):
    """The modules that a module imports, absolute; ``from a import b`` gives ``a`` and ``a.b``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = {alias.name for alias in node.names}
            if node.module == "pvefw":
                yield from (f"pvefw.{name}" for name in names)
            else:
                yield str(node.module)


def forbidden(source, package):
    """What a module of this plugin imports although it must not."""
    ours = {
        name for name in imported(source) if name.partition("_")[0].partition(".")[0] == "pvefw"
    }
    own = {name for name in ours if name.partition(".")[0] == package}
    api = {name for name in ours if name.startswith(ALLOWED)}
    return sorted(ours - own - api)


@pytest.mark.parametrize("package", [path.parent for path in PACKAGES], ids=lambda path: path.name)
def test_a_plugin_imports_the_api_and_itself_only(package):
    found = {
        str(path.relative_to(ROOT)): wrong
        for path in package.rglob("*.py")
        if (wrong := forbidden(path.read_text(), package.name))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("from pvefw.api import hookimpl, setting", []),
        ("import pvefw.testing.dns", []),
        ("from pvefw_mine.listener import Listener", []),
        ("from . import listener", []),
        ("import os\ndef late():\n    from pvefw.store import files", ["pvefw.store"]),
        ("from pvefw.core import model", ["pvefw.core.model"]),
        ("import pvefw_theirs.thing", ["pvefw_theirs.thing"]),
    ],
)
def test_the_rule_finds_what_it_is_for(source, wrong):
    assert forbidden(source, "pvefw_mine") == wrong
