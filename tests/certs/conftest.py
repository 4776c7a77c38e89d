"""Fixtures for certificates."""

import pytest
from certificates import Log


@pytest.fixture
def task():
    return Log()
