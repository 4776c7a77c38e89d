"""What others say reaches nobody's terminal as a command, and forges no line of a log."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvefw.acme.answers import Response, problem_of
from pvefw.cli.run import run
from pvefw.core import binding, text
from pvefw.core.errors import AcmeProtocolError, PluginFailed, PvefwError, RateLimited
from pvefw.core.families import DNS
from pvefw.core.hookspecs import hookimpl
from pvefw.tasks import history
from pvefw.tasks.task import run_task

CLIPBOARD = "\x1b]52;c;cm0gLXJmIC8=\x07"
EVIL = [
    CLIPBOARD,
    "\x9d52;c;AAAA\x9c",
    "good\rTASK OK",
    "one\nFAKE: Task OK",
    "one\x85FAKE: Task OK",
    "one\u2028FAKE: Task OK",
    "\u202eKO ksaT",
    "a\x00b\x7f",
]


def harmless(said):
    return said.isprintable()


@pytest.mark.parametrize("evil", EVIL)
def test_an_error_is_one_line_without_control_characters(evil):
    error = PvefwError(f"thing: {evil}", hint=evil)
    assert harmless(error.message)
    assert harmless(str(error))
    assert all(map(harmless, error.hint.split("\n")))
    error.message = evil
    assert harmless(error.message)


@pytest.mark.parametrize("evil", EVIL)
def test_an_event_of_a_task_is_one_line(paths, evil):
    heard = []
    with run_task(paths, "x", echo=heard.append) as task:
        task.log(evil)
        task.warn(evil)
    log = list(history.log(paths, task.upid))
    assert len(log) == 3
    assert all(map(harmless, [*log, *heard]))


def test_only_the_task_says_how_it_ended(paths):
    with run_task(paths, "x") as task:
        task.log("TASK OK")
        task.log("TASK ERROR: x")
    assert list(history.log(paths, task.upid))[:2] == [" TASK OK", " TASK ERROR: x"]


@pytest.mark.parametrize("evil", EVIL)
def test_a_task_that_fails_with_it_has_one_line_in_the_index(paths, evil):
    with pytest.raises(ValueError), run_task(paths, "x"):
        raise ValueError(evil)
    [line] = (paths.task_dir / "index").read_text().splitlines()
    assert harmless(line)


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("how", ["text", "json", "yaml"])
def test_an_old_log_of_others_is_printed_harmlessly(paths, capsys, evil, how):
    with run_task(paths, "x") as task:
        pass
    log = task.upid.log_path(paths)
    log.write_bytes(f"{evil}\nTASK OK\n".encode())
    where = ["--root", str(paths.root), "--node", paths.node, "--output-format", how]
    assert run(["task", "log", str(task.upid), *where]) == 0
    said = capsys.readouterr().out
    assert all(map(harmless, said.split("\n")))


@given(st.text())
def test_nothing_gets_through_the_door(said):
    assert harmless(text.one_line(said))
    assert all(map(harmless, text.lines(said).split("\n")))


@given(st.text(alphabet=st.characters(max_codepoint=0x2FF)), st.integers(9, 50))
def test_what_is_cut_off_says_so(said, most):
    shown = text.bounded(said, 20)
    assert shown == said or (shown.endswith("(cut off)") and len(shown) <= 20)


# --- bounds ---------------------------------------------------------------------------------------------


def answer(body, **headers):
    kind = {"Content-Type": "application/json", **headers}
    return Response(200, kind, body, "https://ca.test/x")


def test_an_authoritys_words_are_bounded_and_printable():
    said = {"type": 5, "detail": "x" * 10**6 + CLIPBOARD, "subproblems": [{"detail": "y"}] * 10**5}
    problem = problem_of(said, "https://ca.test/\x1b]0;x\x07")
    assert harmless(problem.message)
    assert len(problem.message) < 20_000


def test_an_object_is_no_sentence():
    assert "{" not in problem_of({"detail": {"a": "b"}}, "x").message


@pytest.mark.parametrize("levels", [65, 500, 100_000])
def test_json_that_is_nested_deeply_is_no_answer(levels):
    body = b'{"a":' + b"[" * levels + b"]" * levels + b"}"
    with pytest.raises(AcmeProtocolError):
        answer(body).json()


def test_json_of_the_usual_depth_is_one():
    assert answer(json.dumps({"a": [[{"b": [1]}]]}).encode()).json()


@pytest.mark.parametrize("said", ["9" * 5000, "1" * 400, "Fri, 31 Dec 9999 23:59:59 GMT", "٣"])
def test_a_wait_is_at_most_a_year(said):
    seconds = answer(b"", **{"Retry-After": said}).retry_after
    assert seconds is None or seconds <= 366 * 86400


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -1.0, 1e300])
def test_a_plugins_wait_is_a_time(seconds):
    found = RateLimited("x", retry_after=seconds).retry_after
    assert found is None or 0 <= found <= 366 * 86400


# --- an exception that cannot be printed ----------------------------------------------------------------


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def test_an_exception_without_words_is_the_plugins(task):
    class Plugin:
        @hookimpl
        def dns_add(self):
            raise Unprintable

        @hookimpl
        def dns_remove(self):
            pass

    hooks = binding.bind_object(DNS, Plugin(), "mine").hooks
    with pytest.raises(PluginFailed, match="mine: dns_add failed: Unprintable"):
        hooks.dns_add(zone="x.", records=[], task=task)


def test_a_task_that_fails_without_words_ends_all_the_same(paths):
    with pytest.raises(Unprintable), run_task(paths, "x") as task:
        raise Unprintable
    assert task.ended.status.startswith("Unprintable")
