"""Seeds a bug into the text of a module, and runs a kit's tests by hand."""

import contextlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest

from pvefw.core.errors import PvefwError

HERE = Path(__file__).parent / "testing"


def seeded(name, old="", new=""):
    """A module of tests/testing, with one piece of its text replaced."""
    file = HERE / f"{name}.py"
    text = file.read_text()
    assert not old or text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
    made = ModuleType(name)
    exec(compile(text.replace(old, new) if old else text, file, "exec"), vars(made))
    return made


def run_test(kit, name, fixtures, **given):
    """One test of a kit with these fixtures; what its failure says, ``None`` where it passes."""
    test = getattr(kit, name)
    wanted = inspect.signature(inspect.unwrap(test)).parameters
    known = {**fixtures, **given}
    try:
        with contextlib.suppress(pytest.skip.Exception):
            test(**{fixture: known[fixture] for fixture in wanted})
    except (AssertionError, PvefwError, pytest.fail.Exception) as error:
        return f"{type(error).__name__}: {error}"
    return None
