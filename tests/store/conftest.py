"""A node in a tree of its own."""

from pathlib import Path

import pytest

from pvefw.store.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "root", "pve1")
