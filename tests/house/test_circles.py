"""No modules import each other in a circle, not even in a function or for types only.

Two that need each other are one, or what both need is a third. The layers are contracts in
pyproject.toml; within a layer this holds.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [ROOT, ROOT / "shims/src", *sorted(ROOT.glob("plugins/*/src"))]


def modules():
    """Every module that is installed: its name and where it is."""
    for source in SOURCES:
        for path in source.glob("pvefw*/**/*.py"):
            parts = path.relative_to(source).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__"), path


def imports(source, known):
    """The known modules that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from below & known
            if node.module in known and not below <= known:
                yield node.module


def circle(texts):
    """A circle among these modules, as their names; none where there is none."""
    graph = {name: {*imports(text, {*texts})} - {name} for name, text in texts.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_module_imports_one_that_imports_it():
    texts = {name: path.read_text() for name, path in modules()}
    assert {"pvefw.api", "pvefw.instances", "pvefw_api_server.helper"} <= set(texts)
    assert circle(texts) == []


@pytest.mark.parametrize(
    "back",
    [
        "from pvefw.a import thing",
        "import pvefw.a",
        "def late():\n    from pvefw import a",
        "if TYPE_CHECKING:\n    from pvefw.a import Thing",
    ],
)
def test_the_rule_finds_what_it_is_for(back):
    assert circle({"pvefw.a": "from pvefw import b, c", "pvefw.b": "", "pvefw.c": back})
    assert not circle({"pvefw.a": "from pvefw import b, c", "pvefw.b": "", "pvefw.c": "import b"})
