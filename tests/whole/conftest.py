"""The program as an administrator runs it: real processes on a throw-away root."""

from pathlib import Path

import pytest
from servers.processes import free_port
from whole_host import Host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "root")


@pytest.fixture
def port() -> int:
    return free_port()
