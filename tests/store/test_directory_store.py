"""A shared directory passes the kit of the store family."""

import os
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


@pytest.mark.parametrize(
    "put",
    [
        os.mkfifo,
        lambda note: note.symlink_to("/dev/zero"),
        lambda note: note.write_text("[" * 99999),
    ],
)
def test_a_note_that_nobody_can_read_is_nobodys(tmp_path, put):
    """Other hosts write there, too: whoever looked at the lock waited for ever, or filled its memory."""
    store = Directory(tmp_path)
    assert store.store_lock(name="mine", holder="one", seconds=30.0).token
    note = tmp_path / "locks/mine/holder"
    note.unlink()
    put(note)
    assert store.store_lock(name="mine", holder="another", seconds=30.0).token == ""
