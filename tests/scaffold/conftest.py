"""One wheel of pvefw for all tests of this folder."""

from pathlib import Path

import pytest
from environments import ROOT, Environment, environment, wheel


@pytest.fixture(scope="session")
def pvefw_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel(ROOT, tmp_path_factory.mktemp("wheels"))


@pytest.fixture
def clean(tmp_path: Path, pvefw_wheel: Path) -> Environment:
    """An environment with the wheel of pvefw and nothing else of ours."""
    made = environment(tmp_path / "environment", pvefw_wheel)
    assert made.distributions() == {"pvefw"}
    return made
