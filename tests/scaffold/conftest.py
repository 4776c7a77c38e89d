"""A clean environment for each test."""

from pathlib import Path

import pytest
from environments import Environment, environment


@pytest.fixture
def clean(tmp_path: Path, pvefw_wheel: Path) -> Environment:
    """An environment with the wheel of pvefw and nothing else of ours."""
    made = environment(tmp_path / "environment", pvefw_wheel)
    assert made.distributions() == {"pvefw"}
    return made
