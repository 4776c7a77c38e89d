"""Each failure of a kit says what is wrong, and after a colon what to do."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pvefw.testing

HERE = Path(pvefw.testing.__file__).parent


def sentences(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The texts of assertions and failures; those that are kept elsewhere have names."""
    for node in ast.walk(tree):
        said = None
        if isinstance(node, ast.Assert):
            said = node.msg
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("pytest.fail", "AssertionError"):
            said = node.args[0]
        if isinstance(said, ast.Constant):
            yield node.lineno, str(said.value)
        elif isinstance(said, ast.JoinedStr):
            yield node.lineno, "".join(str(getattr(one, "value", "…")) if isinstance(one, ast.Constant) else "…" for one in said.values)


def test_a_sentence_says_what_to_do():
    found = {
        f"{file.name}:{line}": said
        for file in HERE.glob("*.py")
        for line, said in sentences(ast.parse(file.read_text()))
    }
    assert len(found) > 100
    silent = {at: said for at, said in found.items() if ":" not in said}
    assert {said for said in silent.values() if not said.startswith("…; ")} == set()  # what starts is said there
