import pytest

from pvefw.testing.fakes import FakeTask


@pytest.fixture
def task():
    return FakeTask()
