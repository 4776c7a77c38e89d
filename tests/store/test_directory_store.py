"""A shared directory passes the kit of the store family."""

from datetime import timedelta

import pytest

from pvefw.host.clock import SystemClock
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


def test_a_clock_that_is_ahead_takes_no_lock_away(tmp_path, monkeypatch):
    """The time stamps of a shared directory are its server's: only they are compared."""
    here = Directory(tmp_path)
    held = here.store_lock(name="a", holder="node pve1", seconds=60.0)
    ahead = SystemClock().now() + timedelta(days=400)
    monkeypatch.setattr(SystemClock, "now", lambda _clock: ahead)
    found = here.store_lock(name="a", holder="node pve2", seconds=60.0)
    assert (found.holder, found.token) == ("node pve1", "")
    assert here.store_renew(lock=held)
    assert [*tmp_path.rglob(".now.*")] == []
