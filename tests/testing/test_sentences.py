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
                    getattr(part, "value", "") if isinstance(part, ast.Constant) else "…"
                    for part in parts
                )


def test_a_sentence_says_what_to_do():
    found = [
        sentence
        for file in HERE.glob("*.py")
        for sentence in sentences(ast.parse(file.read_text()))
    ]
    assert len(found) > 100
    silent = {sentence for sentence in found if ":" not in sentence}
    assert silent == {"…; … should boot, and … does"}  # with the reason before it
