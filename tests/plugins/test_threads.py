"""Threads are started by ``pvefw.host.concurrency``; a decision record explains the others."""

import ast
from pathlib import Path

from pvefw.host.concurrency import side_by_side

ROOT = Path(__file__).resolve().parents[2]
THREADS = {"Thread", "Timer", "ThreadPoolExecutor", "ThreadingMixIn"}
(RECORD,) = ROOT.glob("docs/adr/*-threads-are-started-in-one-place.md")


def starts_threads(path):
    """Whether a module makes threads by itself."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name in THREADS:
                return True
    return False


def test_who_starts_threads_by_itself_says_why():
    sources = [*ROOT.glob("pvefw/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
    found = {str(path.relative_to(ROOT)) for path in sources if starts_threads(path)}
    found = {path for path in found if not path.startswith("pvefw/testing/")}
    lines = RECORD.read_text().splitlines()
    explained = {line.split("`")[1] for line in lines if line.startswith("| `")}
    assert found - {"pvefw/host/concurrency.py"} == explained


def test_results_come_in_the_order_of_the_items():
    assert side_by_side(lambda number: number * 2, [3, 1, 2], at_once=2) == [6, 2, 4]
    assert side_by_side(lambda number: number * 2, [], at_once=2) == []


def test_calls_side_by_side_see_the_context_of_their_caller():
    import contextvars

    word = contextvars.ContextVar("word", default="")
    word.set("rehearsal")
    assert side_by_side(lambda _: word.get(), [1, 2], at_once=2) == ["rehearsal"] * 2


def test_the_first_failure_is_raised_and_nothing_begins_after_it():
    begun = []

    def fail(number):
        begun.append(number)
        if number == 0:
            raise ValueError(number)

    try:
        side_by_side(fail, range(1000), at_once=1)
    except ValueError as error:
        assert error.args == (0,)
    else:
        raise AssertionError("the failure was lost")
    assert len(begun) < 1000
