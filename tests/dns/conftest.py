"""The small internet, once for each worker, and what every test needs."""

from collections.abc import Iterator

import pytest
from servers.world import Task, World, small_internet

from pvefw.host.clock import SystemClock


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Iterator[World]:
    """Tests use names of their own in it."""
    with small_internet(tmp_path_factory.mktemp("world")) as started:
        yield started


@pytest.fixture
def task() -> Task:
    return Task()


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()
