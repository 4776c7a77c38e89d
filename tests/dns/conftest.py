"""The small internet, once for each worker, and what every test needs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pvefw.host.clock import SystemClock

if TYPE_CHECKING:
    from servers.world import Task, World


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> "Iterator[World]":
    """Tests use names of their own in it."""
    from servers.world import small_internet

    with small_internet(tmp_path_factory.mktemp("world")) as started:
        yield started


@pytest.fixture
def task() -> "Task":
    from servers.world import Task

    return Task()


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()
