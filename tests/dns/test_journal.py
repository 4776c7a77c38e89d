"""The journal: private, durable, exact, and its owner's as long as that lives."""

import os
import stat
import subprocess
import threading

import pytest

from pvefw.core.errors import ConfigError
from pvefw.dns import journal
from pvefw.dns.journal import Entry, Journal
from pvefw.tasks.upid import process_start

ENTRIES = [
    Entry("ovh", "example.com.", "_acme-challenge.example.com.", "one"),
    Entry("ovh", "example.com.", "_acme-challenge.example.com.", "two"),
    Entry("other", "example.org.", "_acme-challenge.example.org.", "three"),
]


def test_what_is_written_is_read_again(paths, clock):
    written = Journal.begin(paths, ENTRIES, clock)
    read = Journal.load(written.path)
    assert read is not None
    assert read.entries == written.entries == tuple(sorted(ENTRIES))
    assert read.owned
    assert read.created == written.created
    assert stat.S_IMODE(written.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(written.path.parent.stat().st_mode) == 0o700


def test_closing_strikes_exactly_these_and_the_last_removes_the_file(paths, clock):
    written = Journal.begin(paths, ENTRIES, clock)
    written.close([ENTRIES[0], Entry("ovh", "example.com.", "not there", "x")])
    assert journal.open_entries(paths) == sorted(ENTRIES[1:])
    assert journal.open_entries(paths, "ovh") == [ENTRIES[1]]
    assert journal.open_entries(paths, "unknown") == []
    written.close(ENTRIES)
    assert list(written.path.parent.iterdir()) == []
    assert Journal.load(written.path) is None
    assert journal.open_entries(paths) == []


def test_nothing_to_add_leaves_no_file(paths, clock):
    assert not Journal.begin(paths, [], clock).path.exists()


def test_many_threads_close(paths, clock):
    entries = [Entry("i", "z.", f"n{number}.", "v") for number in range(40)]
    written = Journal.begin(paths, entries, clock)
    threads = [threading.Thread(target=written.close, args=([added],)) for added in entries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.open_entries(paths) == []


def test_the_owner_is_a_process_not_a_number(paths, clock):
    written = Journal.begin(paths, ENTRIES, clock)
    start = process_start(os.getpid())
    recycled = Journal(written.path, os.getpid(), start - 1, written.created, ENTRIES)
    assert not recycled.owned
    with subprocess.Popen(["sleep", "infinity"]) as other:
        theirs = Journal(
            written.path, other.pid, process_start(other.pid), written.created, ENTRIES
        )
        assert theirs.owned
        other.kill()
    assert not theirs.owned


@pytest.mark.parametrize(
    "damage",
    [b"", b"{}", b"[]", b"\xff", b'{"pid": 1, "pstart": 1, "created": "x", "entries": []}'],
)
def test_a_damaged_journal_is_named(paths, clock, damage):
    written = Journal.begin(paths, ENTRIES, clock)
    written.path.write_bytes(damage)
    with pytest.raises(ConfigError, match="damaged") as caught:
        journal.open_entries(paths)
    assert str(written.path) in caught.value.message
