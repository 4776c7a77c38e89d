"""Variables have names: ``for name in names``, not ``for one in``; ``lines``, not ``found``."""

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

VAGUE = {"found", "said"}
"""Whatever is looked for is found, and whoever answers has said something: the noun says what."""
ASSIGNED = re.compile(rf"\b(?:{'|'.join(sorted(VAGUE))})\b")
PRODUCT = [path for path in FILES if not {"tests", "bench", "examples"} & set(path.parts)]


def vague(source):
    """The lines that give a variable, a parameter, a field or a function a name that is none."""
    lines = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                pass
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                pass
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                pass
            case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
                pass
            case _:
                continue
        if name in VAGUE:
            lines.add(node.lineno)
    return sorted(lines)


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


def places(paths, may_be, lines_of):
    """Where files have what they should not; most need not be parsed to see that they have not."""
    assert len(paths) > 100
    return [
        f"{path.relative_to(ROOT)}:{line}"
        for path in paths
        if may_be.search(text := path.read_text())
        for line in lines_of(text)
    ]


def test_loop_variables_are_called_what_they_are():
    assert places(FILES, MAY_BE, nameless) == []


def test_what_is_assigned_is_called_what_it_is():
    assert places(PRODUCT, ASSIGNED, vague) == []


def test_vague_names_are_found_wherever_they_are():
    for source in (
        "found = 1",
        "found: list[str] = []",
        "known, said = 1, 2",
        "if found := 1: pass",
        "with open(path) as found: pass",
        "for found in names: pass",
        "def show(app, *, said): pass",
        "def said(error): pass",
        "class Step:\n    said: str",
        "import answers as found",
        "match 1:\n    case found: pass",
    ):
        assert ASSIGNED.search(source), source
        assert vague(source) == [1 + source.count("\n")], source
    assert vague("print('found', step.said, found)") == []


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
