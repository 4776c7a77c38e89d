"""A shared directory passes the kit of the store family."""

import pytest

from pvefw.store.directory import Directory
from pvefw.testing.store import StoreConformance


class TestDirectory(StoreConformance):
    many = 30  # a directory has no pages

    @pytest.fixture
    def plugin(self, tmp_path):
        return Directory(tmp_path)

    @pytest.fixture
    def other(self, tmp_path):
        return Directory(tmp_path)
