"""Tests wait for what they can see: none of them sleeps for a time that somebody once thought enough."""

import ast
import re

import pytest
from environments import ROOT

HERE = ROOT / "tests/house/test_waiting.py"
HOME = ROOT / "tests/waiting.py"
MISTAKES = {ROOT / f"tests/testing/test_{name}_kit.py" for name in ("dns_trouble", "store")}
"""Have it in plugins that are to be found out."""
AUTHORS = ROOT / "tests/fillings.py"
"""Has plugins as authors write them; a database without events is looked at now and then."""
FILES = [
    path
    for pattern in ("tests/**/*.py", "plugins/*/tests/**/*.py", "examples/*/tests/**/*.py")
    for path in sorted(ROOT.glob(pattern))
    if path not in (HERE, HOME, AUTHORS, *MISTAKES)
    and not re.search(r"compatibility/\d", str(path))  # as they were
]
IN_TEXT = re.compile(
    r"""
    time\.sleep\(
    | Event\(\)\.wait\([\d.]                             # nobody can set it
    | (?<! do\ ) (?<! while\ ) (?<! [\w-] ) sleep\ +\d   # a shell's, except between two looks
    """,
    re.VERBOSE,
)

ON_NOTHING = re.compile(r"(?:\w+\.)?Event\(\)\.wait\([\d.]")


def sleeps(source):
    """Where Python code sleeps, or has a text that does: its lines."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            waits = name == "wait" and ast.unparse(node)
            if name in ("sleep", "usleep") or (waits and ON_NOTHING.match(waits)):
                found.add(node.lineno)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if IN_TEXT.search(node.value):
                found.add(node.lineno)
        elif isinstance(node, ast.List):
            words = [getattr(element, "value", None) for element in node.elts]
            if words[:1] == ["sleep"] and words[1:] != ["infinity"]:
                found.add(node.lineno)
    return sorted(found)


def test_no_test_sleeps():
    assert FILES
    texts = {file: file.read_text() for file in FILES}
    found = [
        f"{key.relative_to(ROOT)}:{line}"
        for key, text in texts.items()
        if "sleep" in text or "Event().wait(" in text
        for line in sleeps(text)
    ]
    assert found == [], "wait for something: waiting.wait_until; to hang, `sleep infinity`"


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("import time\ntime.sleep(0.5)", True),
        ("sleep(delay)", True),
        ("await asyncio.sleep(1)", True),
        ("threading.Event().wait(0.2)", True),
        ("Event().wait(30)", True),
        ("CODE = '''\nimport time\ntime.sleep(1)\n'''", True),
        ("CODE = 'threading.Event().wait(30)'", True),
        ("run('touch x; sleep 0.1; cat x')", True),
        ("run(f'{x}; sleep 5')", True),
        ("Popen(['sleep', '60'])", True),
        ("Popen(['sleep', 'infinity'])", False),
        ("run('exec sleep infinity')", False),
        ("run('until test -e x; do sleep 0.02; done')", False),
        ("run('while sleep 1; do echo; done')", False),
        ("threading.Event().wait()", False),
        ("ended.wait(5)", False),
        ("NAMES = {'sleep_millisecs': 20}", False),
        ("sh('_sleep 0.3; printf awake')", False),
    ],
)
def test_the_rule_finds_what_it_is_for(source, wrong):
    assert bool(sleeps(source)) is wrong
