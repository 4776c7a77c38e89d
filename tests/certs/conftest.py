"""Fixtures for certificates."""

from pathlib import Path

import pytest
from certificates import Log

from pvefw.store.paths import Paths


@pytest.fixture
def task():
    return Log()


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "root", "pve1")
