"""Plugins see pvefw.api and pvefw.testing, and never each other.

A distribution that has commands and no plugin is a door of pvefw, not a guest in it: it may import every
layer (ADR 0018) and the doors that it requires, but neither plugins nor what is made for tests.

The layers of core itself are a contract in pyproject.toml. This one is a test, because its list of
plugins is the folder ``plugins/``.
"""

import ast
import re
import tomllib
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


def declared(package):
    """What the distribution of a package says about itself."""
    return tomllib.loads((package.parents[1] / "pyproject.toml").read_text())["project"]


def is_door(package):
    """Whether a distribution has commands, and no plugin of any family."""
    return (
        {"pvefw.command"}
        <= set(declared(package)["entry-points"])
        <= {"pvefw.command", "pvefw.units"}
    )


DOORS = [path.parent.name for path in PACKAGES if is_door(path.parent)]


def behind(package):
    """The doors that a door goes through: those that its distribution requires."""
    required = [
        re.match(r"[\w-]+", dependency)[0] for dependency in declared(package)["dependencies"]
    ]
    return {door for door in DOORS if door.replace("_", "-") in required}


def forbidden(source, package, *, door=False, through=()):
    """What a module of this distribution imports although it must not."""
    ours = {
        name for name in imported(source) if name.partition("_")[0].partition(".")[0] == "pvefw"
    }
    own = {name for name in ours if name.partition(".")[0] == package}
    api = {name for name in ours if name.startswith(ALLOWED)}
    if door:
        api = {name for name in ours if name.partition(".")[0] == "pvefw"}
        api -= {name for name in ours if name.startswith("pvefw.testing")}
        api |= {name for name in ours if name.partition(".")[0] in through}
    return sorted(ours - own - api)


@pytest.mark.parametrize("package", [path.parent for path in PACKAGES], ids=lambda path: path.name)
def test_a_plugin_imports_the_api_and_itself_only(package):
    door = package.name in DOORS
    through = behind(package) if door else ()
    found = {
        str(path.relative_to(ROOT)): wrong
        for path in package.rglob("*.py")
        if (wrong := forbidden(path.read_text(), package.name, door=door, through=through))
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
        ("from pvefw import model", ["pvefw.model"]),
        ("import pvefw_theirs.thing", ["pvefw_theirs.thing"]),
    ],
)
def test_the_rule_finds_what_it_is_for(source, wrong):
    assert forbidden(source, "pvefw_mine") == wrong


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("from pvefw.store import files\nfrom pvefw.cli.groups import PVEFW", []),
        ("import pvefw.testing.dns", ["pvefw.testing.dns"]),
        ("import pvefw_theirs.thing", ["pvefw_theirs.thing"]),
    ],
)
def test_a_door_imports_layers_but_no_plugin(source, wrong):
    assert forbidden(source, "pvefw_mine", door=True) == wrong


def test_which_are_the_doors():
    assert DOORS == ["pvefw_api", "pvefw_api_server", "pvefw_metrics"]
    assert behind(ROOT / "plugins/api_server/src/pvefw_api_server") == {"pvefw_api"}


def test_a_door_imports_the_doors_that_it_requires():
    source = "from pvefw_theirs import table"
    assert forbidden(source, "pvefw_mine", door=True, through={"pvefw_theirs"}) == []
    assert forbidden(source, "pvefw_mine", door=True) == ["pvefw_theirs"]
