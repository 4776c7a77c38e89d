"""Each failure of a kit says what is wrong, and after a colon what to do."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pvefw.testing

HERE = Path(pvefw.testing.__file__).parent


def sentences(tree: ast.Module) -> Iterator[str]:
    """The texts of assertions and failures; those that are kept elsewhere have names."""
    for node in ast.walk(tree):
        said: ast.AST | None = None
        if isinstance(node, ast.Assert):
            said = node.msg
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "pytest.fail",
            "AssertionError",
        ):
            said = node.args[0]
        match said:
            case ast.Constant(value=str(text)):
                yield text
            case ast.JoinedStr(values=parts):
                yield "".join(
                    getattr(one, "value", "") if isinstance(one, ast.Constant) else "…"
                    for one in parts
                )


def test_a_sentence_says_what_to_do():
    found = [one for file in HERE.glob("*.py") for one in sentences(ast.parse(file.read_text()))]
    assert len(found) > 100
    silent = {one for one in found if ":" not in one}
    assert silent == {"…; … should boot, and … does"}  # with the reason before it
