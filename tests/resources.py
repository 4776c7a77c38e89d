"""What a test uses beside its own process: said where it is made, and found from there.

Whatever starts something large says so with :func:`uses`. A test is marked with all that its code and its
fixtures lead to, however many helpers lie between; nobody keeps a list. What cannot be found in this way,
because a name is put together at run time, fails when it is used, and says what to do.
"""

import contextlib
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar

import pytest

RESOURCES = {
    "program": "starts Python anew: commands of pvefw as they are typed, a session of pytest",
    "server": "starts servers of others: name servers, an ACME server, a libvirt daemon",
    "build": "builds distributions, or makes an environment and installs them into it",
    "machine": "boots virtual machines with kernels of Debian",
    "time": "takes longer than a test that is run at every change may; measured by `make slow`",
    "night": "repeats at length what a shorter test shows, too: `make test-slow` runs it",
}
STAGES = {
    "quick": lambda used: not used,
    "servers": lambda used: bool(used) and not used & {"machine", "night"},
    "machines": lambda used: "machine" in used and "night" not in used,
    "night": lambda used: "night" in used,
}
"""In the order in which they are run: each takes more than those before it, and every test is in one."""

SLOW = Path(__file__).with_name("slow.txt")
"""The tests that take long by themselves, a line each; ``make slow`` writes it."""
_ROOT = Path(__file__).resolve().parents[1]
_OURS = (f"{_ROOT}/tests/", f"{_ROOT}/plugins/")
_Callable = TypeVar("_Callable", bound=Callable[..., Any])


_running: list[pytest.Item] = []


@contextlib.contextmanager
def running(item: pytest.Item) -> Iterator[None]:
    """This test runs for the time of the block, and may use what it is marked with."""
    _running.append(item)
    try:
        yield
    finally:
        _running.remove(item)


def uses(resource: str) -> Callable[[_Callable], _Callable]:
    """Say that a function starts such a thing; ``contextmanager`` or ``fixture`` is above it."""
    assert resource in RESOURCES

    def mark(function: _Callable) -> _Callable:
        @functools.wraps(function)
        def checked(*arguments: Any, **options: Any) -> Any:
            _check(resource)
            return function(*arguments, **options)

        @functools.wraps(function)
        def checked_generator(*arguments: Any, **options: Any) -> Any:
            _check(resource)
            return (yield from function(*arguments, **options))

        if inspect.isgeneratorfunction(function):  # a fixture's has to look like one
            checked = checked_generator
        checked.used_resource = resource  # type: ignore[attr-defined]  # it is read below
        return checked  # type: ignore[return-value]  # it is called as the other is

    return mark


def _check(resource: str) -> None:
    for item in _running:
        assert item.get_closest_marker(resource), (
            f"{item.nodeid} uses a {resource}, and its code does not show it: "
            f"say so above it, or above a fixture of its, with @uses({resource!r})"
        )


def used_by(item: pytest.Item) -> set[str]:
    """The resources that a test's code and its fixtures lead to."""
    fixtures = item._fixtureinfo.name2fixturedefs.values()  # type: ignore[attr-defined]  # no other way
    starts = [item.function, *(definition.func for some in fixtures for definition in some)]  # type: ignore[attr-defined]  # only functions are collected
    reached = set().union(*(_reached(start) for start in map(_bare, starts) if start is not None))
    return reached | ({"time"} if name_of(item.nodeid) in _slow() else set())


def name_of(nodeid: str) -> str:
    """A test's name without what it is parametrized with."""
    return nodeid.partition("[")[0]


@functools.cache
def _slow() -> frozenset[str]:
    return frozenset(SLOW.read_text().splitlines())


@functools.cache
def _reached(start: FunctionType) -> frozenset[str]:
    seen, waiting = {start}, [start]
    while waiting:
        new = set(_leads_to(waiting.pop())) - seen
        seen |= new
        waiting += new
    return frozenset(resource for function in seen for resource in _uses(function))


def _uses(function: FunctionType) -> Iterator[str]:
    """What a function uses by itself."""
    if hasattr(function, "used_resource"):
        yield function.used_resource
    if "executable" in _names(function.__code__)[0]:  # sys.executable: nobody names it for nothing
        yield "program"


@functools.cache
def _leads_to(function: FunctionType) -> tuple[FunctionType, ...]:
    """The functions of tests and their helpers that a function names."""
    return tuple(found_ for value in _values(function) for found_ in _functions(value))


def _values(function: FunctionType) -> Iterator[Any]:
    """What the names in a function's code stand for: in what encloses it, its module, its imports."""
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # it is not bound yet
            yield cell.cell_contents
    names, imported = _names(function.__code__)
    found = [function.__globals__[name] for name in names if name in function.__globals__]
    modules = [value for value in found if isinstance(value, ModuleType)]
    modules += [importlib.import_module(name) for name in imported]
    yield from found
    for module in modules:
        yield from (vars(module)[name] for name in names if name in vars(module))


@functools.cache
def _names(code: CodeType) -> tuple[set[str], set[str]]:
    """The names in code and in the functions inside it, and the helpers that it imports."""
    names = set(code.co_names)
    imported = set(
        filter(_is_helper, names)
    )  # what has a helper's name without being one costs little
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            more = _names(inner)
            names, imported = names | more[0], imported | more[1]
    return names, imported


@functools.cache
def _is_helper(module: str) -> bool:
    path = _ROOT / "tests" / module.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def _functions(value: Any) -> Iterator[FunctionType]:
    """A function, or those of a class and of its bases, where they belong to the tests."""
    if not isinstance(value, type):
        function = _bare(value)
        if function is not None:
            yield function
        return
    for base in value.__mro__:
        if str(getattr(sys.modules.get(base.__module__), "__file__", "")).startswith(_OURS):
            for member in vars(base).values():
                if not isinstance(member, type):
                    yield from _functions(member)


def _bare(value: Any) -> FunctionType | None:
    """The function of the tests behind a method, a property, or what somebody else wraps it in."""
    if isinstance(value, property):
        value = value.fget
    elif isinstance(value, functools.partial):
        value = value.func
    while callable(value) or isinstance(value, staticmethod | classmethod):
        if isinstance(value, FunctionType) and value.__code__.co_filename.startswith(_OURS):
            return value
        value = vars(value).get("__wrapped__") if hasattr(value, "__dict__") else None
    return None
