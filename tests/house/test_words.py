"""Words that no native writer would choose are in no message, no help and no guide."""

import ast
import re

import pytest
from environments import ROOT

from pvefw.cli import suggestions

WORST = re.compile(
    r"""
    \banew\b | \b[Mm]end(?:s|ed|ing)?\b | \bby\ and\ by\b | \bso\ many\b | \b[Ww]hoever\b
    | \b(?:in|into|out\ of)\ force\b | \bstands?\ in\b | \bin\ a\ circle\b | \bis\ at\ work\ on\b
    | \bnobody\ is\ there\b | \bdoes\ not\ know\ yet\b | \b(?:is|was|were|not)\ told\b
    | \bkept\ in\ step\b | \bthen\ hard\b | \bare\ over\ then\b | \bthe\ other\ half\b
    | \bwhat\ the\ \w+\ runs\b | \bit\ is\ not\ there\b | \bstands?\ (?:twice|side\ by\ side)\b
    | \bare\ told\b | \ball\ is\ well\b | \bas\ (?:it|they)\ (?:was|were|is)\ (?:to|not\ to)\ be\b
    | \bas\ it\ should\ be\b | \bwants\ it\ no\ more\b | \bhow\ this\ node\ is\b
    | \bputs?\ (?:it|them)\ right\b | \bis\ said\ (?:once|with|by)\b | \bout\ of\ step\b
    """,
    re.VERBOSE,
)
CONTEXT = re.compile(r"-----|https?://|^\s*#")
GUIDES = [path for path in [*ROOT.glob("docs/*.md"), ROOT / "README.md"] if path.is_file()]
MODULES = [
    path
    for pattern in ("pvefw/**/*.py", "plugins/*/src/**/*.py", "shims/src/**/*.py")
    for path in ROOT.glob(pattern)
    if "testing" not in path.parts
]


def texts(module):
    """Every string of a module that is no docstring, and its line."""
    tree = ast.parse(module.read_text())
    alone = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.lineno, node.value


def found(where, lines):
    return [f"{where}:{line}: {match[0]}" for line, text in lines for match in WORST.finditer(text)]


def test_the_words_are_found():
    assert found("x", [(1, "it comes into force"), (2, "Mend it"), (3, "recommend, amended")]) == [
        "x:1: into force",
        "x:2: Mend",
    ]


def test_messages():
    wrong = [
        fault for module in MODULES for fault in found(module.relative_to(ROOT), texts(module))
    ]
    assert wrong == []


def test_help():
    wrong = []
    for path, command, ctx in suggestions.walk():
        told = [
            command.help or "",
            *(getattr(parameter, "help", "") or "" for parameter in command.get_params(ctx)),
        ]
        wrong += found(" ".join(path), [(0, sentence) for sentence in told])
    assert wrong == []


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_guides(page):
    assert found(page.name, enumerate(page.read_text().splitlines(), 1)) == []
