"""What a loop goes through has a name: ``for certificate in certificates``, not ``for one in``."""

import ast
import re

from environments import ROOT

NAMELESS = {"one", "elem", "thing"}
"""They say nothing of what they stand for."""
MAY_BE = re.compile(rf"\b(?:for|lambda)\b[^\n:]*?\b(?:{'|'.join(sorted(NAMELESS))})\b")
FILES = sorted(
    path
    for pattern in (
        *("pvefw/**/*.py", "plugins/*/src/**/*.py", "plugins/*/tests/**/*.py", "shims/**/*.py"),
        *("tests/**/*.py", "tools/*.py", "bench/*.py", "examples/**/*.py", "ansible/**/*.py"),
    )
    for path in ROOT.glob(pattern)
    if not re.search(r"compatibility/\d", str(path))  # as they were
)


def nameless(source):
    """The lines in which a loop, a comprehension or a lambda has a variable without a name."""
    lines = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.For() | ast.AsyncFor() | ast.comprehension():
                names = {part.id for part in ast.walk(node.target) if isinstance(part, ast.Name)}
                line = node.target.lineno
            case ast.Lambda():
                names, line = {argument.arg for argument in node.args.args}, node.lineno
            case _:
                continue
        if names & NAMELESS:
            lines.add(line)
    return sorted(lines)


def test_loop_variables_are_called_what_they_are():
    texts = {path: path.read_text() for path in FILES}
    assert len(texts) > 100
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path, text in texts.items()
        if MAY_BE.search(text)
        for line in nameless(text)
    ]
    assert found == []


def test_they_are_found_wherever_they_are():
    for source in (
        "for one in names: pass",
        "[one for one in names]",
        "f'{[one for one in names]}'",
        "{key: one for key, one in pairs}",
        "for at, (one, other) in enumerate(pairs): pass",
        "sorted(names, key=lambda one: one.id)",
    ):
        assert MAY_BE.search(source), source
        assert nameless(source) == [1], source
    assert nameless("for name in names: print('for one in names')") == []
