"""Coverage is measured for every distribution, and its floors only rise."""

import itertools
import json
import subprocess
import sys

import pytest
from environments import ROOT
from measured import without_coverage

FILE = "tests/coverage-floors.json"


def judged(found, floors):
    """The new floors and the sentence of tools/covered.py."""
    code = "import covered, json, sys; print(json.dumps(covered.judge(*json.load(sys.stdin))))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "tools",
        input=json.dumps([found, floors]),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def git(*words):
    command = ["git", "-c", "safe.directory=*", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def fallen(before, after):
    """Distributions that stayed, with a floor that is lower now."""
    return [name for name in before.keys() & after.keys() if after[name] < before[name]]


def test_every_distribution_has_a_floor():
    floors = json.loads((ROOT / FILE).read_text())
    plugins = {path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")}
    assert set(floors) == {"pvefw", "shims", *plugins}
    assert all(0 <= floor <= 100 for floor in floors.values())


def test_no_floor_was_ever_lowered():
    commits = git("log", "--reverse", "--format=%H", "--", FILE).split()
    kept = [json.loads(git("show", f"{commit}:{FILE}")) for commit in commits]
    kept.append(json.loads((ROOT / FILE).read_text()))
    found = [fallen(before, after) for before, after in itertools.pairwise(kept)]
    assert [fault for fault in found if fault] == []


@pytest.mark.parametrize(
    ("before", "after", "wrong"),
    [
        ({"pvefw": 80}, {"pvefw": 79}, ["pvefw"]),
        ({"pvefw": 80}, {"pvefw": 81, "shims": 1}, []),
        ({"gone": 80}, {}, []),
    ],
)
def test_a_lower_floor_is_seen(before, after, wrong):
    assert fallen(before, after) == wrong


def test_the_command_raises_floors_and_lowers_none():
    floors, problem = judged({"a": 81.9, "b": 70.0, "new": 55.5}, {"a": 80, "b": 70})
    assert floors == {"a": 81, "b": 70, "new": 55}
    assert problem == ""


def test_what_is_below_its_floor_is_an_error():
    floors, problem = judged({"a": 79.9, "b": 90.0}, {"a": 80, "b": 70})
    assert floors == {"a": 80, "b": 90}
    assert problem == "Coverage has fallen: a has 79.9 %, its floor is 80 %"


@without_coverage
def test_processes_with_a_clean_environment_are_measured(tmp_path):
    """As long as the command lives: what it leaves behind when it is killed measures nothing."""
    code = (
        "import covered, os, pathlib, sys\n"
        f"covered._HOOK = pathlib.Path({str(tmp_path)!r}, 'a0_covered.pth')\n"
        "with covered.everywhere():\n"
        "    print(covered._HOOK.read_text(), flush=True)\n"
        "    os.read(0, 1)\n"
        "    os._exit(0)\n"
    )
    look = f"import os, site; site.addsitedir({str(tmp_path)!r}); print(*os.environ)"
    asked = [sys.executable, "-I", "-c", look]
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT / "tools",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as command:
        assert b"COVERAGE_PROCESS_CONFIG" in command.stdout.readline()
        while_it_lives = subprocess.run(asked, env={}, capture_output=True, check=True)
        command.communicate(b".")
    assert (tmp_path / "a0_covered.pth").exists()
    afterwards = subprocess.run(asked, env={}, capture_output=True, check=True)
    assert b"COVERAGE_PROCESS_CONFIG" in while_it_lives.stdout
    assert b"COVERAGE_PROCESS_CONFIG" not in afterwards.stdout
