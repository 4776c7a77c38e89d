"""A test is marked with what its code leads to, by whatever way; stages take every test once."""

import functools
import itertools
import re
import subprocess
import sys
import tomllib
from types import SimpleNamespace

import pytest
import resources
import slowness
from environments import ROOT
from resources import RESOURCES, STAGES, uses
from servers import processes
from servers.processes import free_port


@uses("machine")
def starts():
    return "started"


@uses("build")
def generates():
    yield "made"


def calls_it():
    return starts()


class Holder:
    def method(self):
        return calls_it()

    @property
    def value(self):
        return starts()


class Heir(Holder):
    pass


@functools.cache
def cached():
    return starts()


later = functools.partial(calls_it)


def through_a_module():
    return processes.process


def by_import():
    from servers.powerdns import powerdns

    return powerdns


def closed_over():
    inner = starts
    return lambda: [inner]


@pytest.mark.parametrize(
    ("test", "found"),
    [
        (calls_it, {"machine"}),
        (lambda: [Holder], {"machine"}),
        (lambda: Heir().value, {"machine"}),
        (lambda: [cached], {"machine"}),
        (lambda: [later], {"machine"}),
        (lambda: [generates() for _ in range(3)], {"build"}),
        (lambda: (calls_it, generates), {"machine", "build"}),
        (closed_over(), {"machine"}),
        (through_a_module, {"server"}),
        (by_import, {"server"}),
        (lambda: subprocess.run([sys.executable, "-c", ""], check=True), {"program"}),
        (lambda: [free_port], set()),
        (lambda: processes.free_port, set()),
    ],
)
def test_it_is_found_from_there(test, found):
    assert resources._reached(test) == found


@pytest.fixture
def made():
    yield from generates()


@pytest.fixture
def used(made):
    return made


def test_it_is_found_through_fixtures(used, request):
    assert used == "made"
    assert request.node.get_closest_marker("build")
    assert not request.node.get_closest_marker("server")


@pytest.mark.parametrize("name", ["starts", "generates"])
def test_what_was_not_found_does_not_start(name):
    with pytest.raises(AssertionError, match=r"uses a (machine|build).*with @uses\('\1'\)"):
        list(globals()[name]())


def test_every_test_is_in_one_stage():
    for count in range(len(RESOURCES) + 1):
        for used in itertools.combinations(RESOURCES, count):
            assert sum(bool(takes(set(used))) for takes in STAGES.values()) == 1, used


def test_the_runner_knows_the_same_stages():
    text = (ROOT / "tools/stages.py").read_text()
    assert f"STAGES = {tuple(STAGES)}".replace("'", '"') in text


def test_what_takes_long_is_kept_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "SLOW", tmp_path / "slow.txt")
    recorder = slowness.Recorder()
    taken = {
        "a.py::long[1]": 0.01,
        "a.py::long[2]": 0.12,
        "a.py::short": 0.04,
        "a.py::left_out": 0.0,
    }
    for name, seconds in taken.items():
        for when in ("setup", "call") if seconds else ("setup",):
            phase = SimpleNamespace(nodeid=name, when=when, duration=seconds / 2)
            recorder.pytest_runtest_logreport(phase)
    recorder.pytest_sessionfinish(SimpleNamespace(config=SimpleNamespace()))
    assert resources.SLOW.read_text() == "a.py::long\n"


def test_names_of_slow_tests_are_those_of_tests():
    kits = "".join(file.read_text() for file in ROOT.glob("pvefw/testing/**/*.py"))
    for line in resources.SLOW.read_text().splitlines():
        path, *names = line.split("::")
        name = names[0] if names[-1] == "runTest" else names[-1]  # hypothesis makes that one
        text = (ROOT / path).read_text() + kits
        assert re.search(rf"^ *(def )?{name}\b", text, re.MULTILINE), f"{line} is gone: make slow"


def test_one_configuration_is_for_all():
    """A plugin with a pytest of its own would be run otherwise alone than with the others."""
    for project in [*ROOT.glob("plugins/*/pyproject.toml"), ROOT / "shims/pyproject.toml"]:
        assert "pytest" not in tomllib.loads(project.read_text()).get("tool", {}), project
    assert not [*ROOT.glob("**/pytest.ini"), *ROOT.glob("plugins/*/tox.ini")]
