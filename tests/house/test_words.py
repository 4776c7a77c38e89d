"""Words that no native writer would choose are in no message, no help and no guide."""

import ast
import re

import pytest
from environments import ROOT

from pvefw.cli import meant

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
GUIDES = [one for one in [*ROOT.glob("docs/*.md"), ROOT / "README.md"] if one.is_file()]
MODULES = [
    one
    for pattern in ("pvefw/**/*.py", "plugins/*/src/**/*.py", "shims/src/**/*.py")
    for one in ROOT.glob(pattern)
    if "testing" not in one.parts
]


def texts(module):
    """Every string of a module that is no docstring, and its line."""
    tree = ast.parse(module.read_text())
    alone = {
        id(one.value)
        for one in ast.walk(tree)
        if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)
    }
    for one in ast.walk(tree):
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and id(one) not in alone:
            yield one.lineno, one.value


def found(where, lines):
    return [f"{where}:{line}: {one[0]}" for line, text in lines for one in WORST.finditer(text)]


def test_the_words_are_found():
    assert found("x", [(1, "it comes into force"), (2, "Mend it"), (3, "recommend, amended")]) == [
        "x:1: into force",
        "x:2: Mend",
    ]


def test_messages():
    wrong = [one for module in MODULES for one in found(module.relative_to(ROOT), texts(module))]
    assert wrong == []


def test_help():
    wrong = []
    for path, command, ctx in meant.walk():
        told = [
            command.help or "",
            *(getattr(one, "help", "") or "" for one in command.get_params(ctx)),
        ]
        wrong += found(" ".join(path), [(0, one) for one in told])
    assert wrong == []


@pytest.mark.parametrize("page", GUIDES, ids=lambda one: one.name)
def test_guides(page):
    assert found(page.name, enumerate(page.read_text().splitlines(), 1)) == []
