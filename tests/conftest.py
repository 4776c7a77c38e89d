"""Fixtures that several areas share."""

from collections.abc import Iterator

import hypothesis
import pytest
from servers.pebble import Pebble
from servers.pebble import pebble as run_pebble

hypothesis.settings.register_profile("house", deadline=None)  # a machine may be busy
hypothesis.settings.load_profile("house")


@pytest.fixture(scope="session")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    """A Pebble with its defaults, one for each worker."""
    with run_pebble(tmp_path_factory.mktemp("pebble")) as server:
        yield server
