"""Fixtures that several areas share."""

from collections.abc import Iterator

import hypothesis
import pytest
from hypothesis import settings
from servers.pebble import Pebble
from servers.pebble import pebble as run_pebble

<<<<<<< HEAD
hypothesis.settings.register_profile("house", deadline=None)  # a machine may be busy
hypothesis.settings.load_profile("house")
=======
settings.register_profile("pvefw", deadline=None)  # how quick a machine is, is no fault of the code
settings.load_profile("pvefw")
>>>>>>> 0318dfa (Task history: retention, search in logs, latest ids, tests against a plain scan)


@pytest.fixture(scope="session")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    """A Pebble with its defaults, one for each worker."""
    with run_pebble(tmp_path_factory.mktemp("pebble")) as server:
        yield server
