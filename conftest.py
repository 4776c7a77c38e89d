"""For the tests of core and of every plugin: what a test uses, stages, profiles, signals."""

import functools
import os
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TypeVar

import privileges
import pytest
import resources
import slowness

_Case = TypeVar("_Case")
_LONG = 100
"""Characters of a value, written as Python does, from which on it names no test."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--stage",
        choices=resources.STAGES,
        help="run the tests of one stage only; quick ones use nothing beside their own process",
    )
    parser.addoption(
        "--record-slow", action="store_true", help="write down which of these tests take long"
    )


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Tests of servers spend half of their time waiting for them: two of them share a processor."""
    if config.getoption("stage") not in ("quick", "machines"):
        return 2 * len(os.sched_getaffinity(0))
    return None


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in resources.RESOURCES.items():
        config.addinivalue_line("markers", f"{name}: it {meaning}; found by tests/resources.py")
    _default_signals()
    if config.getoption("record_slow"):
        config.pluginmanager.register(slowness.Recorder())


def _default_signals() -> None:
    """Let programs that tests start have default signals, whatever was ignored when the tests began.

    A shell ignores SIGINT and SIGQUIT for what it runs in the background, nohup SIGHUP, and some daemons
    SIGCHLD for all that they start. An ignored signal is inherited, a handler is not: so the tests
    themselves go on ignoring what they were asked to.
    """
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:  # Python's own two
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else _nothing)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _nothing(_number: int, _frame: FrameType | None) -> None:
    pass


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    said = privileges.sentence(terminalreporter.stats.get("skipped", []))
    if said:
        terminalreporter.write_line(said)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> None:
    """Properties take their profile when their module is imported; the library only comes with one."""
    if b"hypothesis" in module_path.read_bytes():
        _load_profile("quick" if parent.config.getoption("stage") else "house")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Call a long value by its length, so that a test's name stays one that can be read and typed."""
    if isinstance(val, str | bytes) and len(ascii(val)) > _LONG:
        return f"{argname}, {len(val)} long"
    return None


@functools.cache
def _load_profile(name: str) -> None:
    import hypothesis

    # no deadline: a machine may be busy. The same examples in every run, so that a run that fails says
    # something of the change; `make fuzz` tries others
    known = {"deadline": None, "derandomize": "PVEFW_FUZZ_SECONDS" not in os.environ}
    hypothesis.settings.register_profile("house", **known)
    hypothesis.settings.register_profile("quick", max_examples=20, **known)
    hypothesis.settings.load_profile(name)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """As ``tmp_path``, for sockets: unix(7) allows 107 bytes, and some programs fewer."""
    with tempfile.TemporaryDirectory(prefix="sock-") as made:
        yield Path(made)


@pytest.fixture(scope="session")
def some(request: pytest.FixtureRequest) -> Callable[[Sequence[_Case]], Sequence[_Case]]:
    """Chooses every fourth of many cases, and the last, where tests run in stages; otherwise all."""

    def choose(cases: Sequence[_Case]) -> Sequence[_Case]:
        if not request.config.getoption("stage") or not cases:
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
        if config.getoption("record_slow"):
            used.discard("time")
        for resource in sorted(used):
            item.add_marker(resource)
        if stage and not resources.STAGES[stage](used):
            others.append(item)
    if others:
        config.hook.pytest_deselected(items=others)
        left_out = set(others)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with resources.running(item):
        return (yield)
