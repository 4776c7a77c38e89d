"""For the tests of core and of every plugin: what a test uses, the stages, the profiles of properties."""

import functools
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
import resources

_Case = TypeVar("_Case")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--stage",
        choices=resources.STAGES,
        help="run the tests of one stage only; quick ones use nothing beside their own process",
    )


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in resources.RESOURCES.items():
        config.addinivalue_line("markers", f"{name}: it {meaning}; found by tests/resources.py")


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> None:
    """Properties take their profile when their module is imported; the library only comes with one."""
    if b"hypothesis" in module_path.read_bytes():
        _load_profile("quick" if parent.config.getoption("stage") == "quick" else "house")


@functools.cache
def _load_profile(name: str) -> None:
    import hypothesis

    # no deadline: a machine may be busy
    hypothesis.settings.register_profile("house", deadline=None)
    hypothesis.settings.register_profile("quick", deadline=None, max_examples=20)
    hypothesis.settings.load_profile(name)


@pytest.fixture(scope="session")
def some(request: pytest.FixtureRequest) -> Callable[[Sequence[_Case]], Sequence[_Case]]:
    """Chooses of many cases every fourth and the last in the quick stage; otherwise it takes all."""

    def choose(cases: Sequence[_Case]) -> Sequence[_Case]:
        if request.config.getoption("stage") != "quick" or not cases:
            return cases
        return [*cases[:-1:4], cases[-1]]

    return choose


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark every test with what it uses, and leave out those of other stages."""
    stage = config.getoption("stage")
    others = []
    for item in items:
        used = resources.used_by(item)
        for one in sorted(used):
            item.add_marker(one)
        if stage and not resources.STAGES[stage](used):
            others.append(item)
    if others:
        config.hook.pytest_deselected(items=others)
        left_out = set(others)
        items[:] = [one for one in items if one not in left_out]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with resources.running(item):
        return (yield)
