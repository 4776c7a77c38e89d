"""Each promise of docs/security.md names the tests that hold it, and these exist."""

import ast
import re

import pytest
from environments import ROOT

PAGE = (ROOT / "docs/security.md").read_text()
SECTION = PAGE.partition("## Promises")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| (?!promise|\*\*)([^|-][^|]*) \| ([^|]*) \|$", SECTION, re.MULTILINE)


def names_in(path):
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_there_are_promises():
    assert len(ROWS) > 25


@pytest.mark.parametrize(("promise", "held_by"), ROWS, ids=[row[0][:40] for row in ROWS])
def test_each_is_held_by_tests_that_exist(promise, held_by):
    named = re.findall(r"`([\w/.]+)::(\w+)`", held_by)
    assert named, promise
    assert held_by.count("`") == 2 * len(named)
    for place, name in named:
        path = ROOT / place if "/" in place else ROOT / "tests/hostile" / place
        assert name in names_in(path), f"{promise}: {place}::{name}"


def test_what_attackers_found_has_its_promise():
    """No test of tests/hostile's files is without a row."""
    files = {path.name for path in (ROOT / "tests/hostile").glob("test_*.py")}
    assert [file for file in sorted(files) if f"`{file}::" not in SECTION] == []
