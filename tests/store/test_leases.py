"""A lock that was lost is left alone, and who lost it writes nothing; who waits learns for whom."""

import contextlib
import os
import time

import pytest
from shifted_clock import needs_the_machines_clock
from waiting import wait_until

from pvefw.core.errors import Locked, NoQuorum
from pvefw.host import foreign
from pvefw.store import files, leases, locks, pmxcfs
from pvefw.store.paths import Paths


@pytest.fixture
def other(paths):
    """Another node on the same cluster file system."""
    found = Paths(paths.root.parent / "second", "pve2")
    paths.etc_pve.mkdir(parents=True)
    found.etc_pve.parent.mkdir(parents=True)
    found.etc_pve.symlink_to(paths.etc_pve)
    return found


@pytest.fixture
def lock(paths):
    return paths.cluster_locks / "thing"


def age(lock):
    """As if nobody had renewed it for two minutes."""
    then = time.time() - 130
    os.utime(lock, (then, then))


def test_who_slept_for_too_long_leaves_the_lock_of_the_next_one(paths, other, lock):
    with contextlib.ExitStack() as theirs:
        with locks.cluster_lock(paths, "thing"):
            age(lock)
            theirs.enter_context(locks.cluster_lock(other, "thing", timeout=5))
            stamp = lock.stat().st_mtime_ns
        assert lock.stat().st_mtime_ns == stamp
    assert not lock.exists()


@pytest.mark.parametrize("gone", [False, True], ids=["the next one has it", "nobody has it"])
def test_who_lost_a_lock_writes_nothing_to_the_cluster(paths, other, lock, gone):
    files.replace(paths.cluster_pvefw_cfg, b"theirs")
    with contextlib.ExitStack() as theirs, locks.cluster_lock(paths, "thing"):
        files.replace(paths.cluster_pvefw_cfg, b"ours")
        age(lock)
        theirs.enter_context(locks.cluster_lock(other, "thing", timeout=5))
        if gone:
            theirs.close()
        for change in (
            lambda: files.replace(paths.cluster_pvefw_cfg, b"late"),
            lambda: files.rename(paths.cluster_pvefw_cfg, paths.datacenter_cfg),
        ):
            with pytest.raises(Locked, match="slept for longer"):
                change()
        files.replace(paths.renewal_state, b"this host's own")
    assert paths.cluster_pvefw_cfg.read_bytes() == b"ours"


class Awake:
    """Stands in for an event: the time to renew has come, and come again."""

    def __init__(self):
        self.answers = [False, False, True]

    def wait(self, _seconds):
        return self.answers.pop(0)


@pytest.mark.parametrize("lost", [False, True])
def test_a_lock_is_renewed_only_by_who_has_it(paths, lock, lost):
    lock.parent.mkdir(parents=True)
    stamps = []
    lease = leases.Lease(lock, leases.Note(paths.lock_holders / "thing"), "pve1", stamps.append)
    assert lease.take()
    with lease.kept():
        if lost:
            lock.rmdir()
            lock.mkdir()
        later = time.time() + 5
        os.utime(lock, (later, later) if lost else (1, 1))
        before = lock.stat().st_mtime_ns
        lease._renew(Awake())
        assert (lock.stat().st_mtime_ns == before) is lost
    assert lock.exists() is lost


def test_a_lock_that_was_dated_back_by_who_waits_is_still_ours(paths, lock):
    """Where the clock of the host that has it goes ahead."""
    needs_the_machines_clock("a lock looks abandoned by the time stamps of its files")
    with locks.cluster_lock(paths, "thing"):
        before = time.time() - 5
        os.utime(lock, (before, before))
        leases.check()
    assert not lock.exists()


def test_who_waits_learns_for_whom(paths, other, monkeypatch):
    needs_the_machines_clock("a lock looks abandoned by the time stamps of its files")
    monkeypatch.setattr(leases, "_NOTED_AFTER", 0)
    monkeypatch.setattr(locks, "_REMARK", 0)
    said = []
    with locks.cluster_lock(paths, "thing"):
        note = paths.lock_holders / "thing"
        wait_until(note.exists, "the note")
        with (
            pytest.raises(Locked, match=f"node pve1 .process {os.getpid()}, since 2"),
            locks.cluster_lock(other, "thing", timeout=0.1, say=said.append),
        ):
            pass
    assert not note.exists()
    assert len(said) == 1
    assert said[0].startswith(f"Waiting for node pve1 (process {os.getpid()}")


@pytest.mark.parametrize(
    "note", [b"", b"[]", b"{}", b'{"node": "x", "pid": 1, "since": 5}', b"[" * 99999]
)
def test_a_note_that_is_damaged_is_none(paths, lock, note):
    files.replace(paths.lock_holders / "thing", note)
    lock.mkdir(parents=True)
    with (
        pytest.raises(Locked, match="another node or program holds"),
        locks.cluster_lock(paths, "thing", timeout=0),
    ):
        pass


@pytest.fixture
def frozen(paths, lock, monkeypatch):
    """What a file system shows that answers as pmxcfs without quorum, and says so nowhere."""
    lock.mkdir(parents=True)
    (paths.etc_pve / ".version").touch()

    def refuse(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(foreign.Directory, "create", refuse)
    monkeypatch.setattr(os, "utime", refuse)


def test_without_quorum_nobody_waits(paths, frozen):
    assert not pmxcfs.has_quorum(paths.etc_pve)
    with (
        pytest.raises(NoQuorum, match="no quorum, and another node or program holds the lock"),
        locks.cluster_lock(paths, "thing", timeout=10**6),
    ):
        pass


def test_a_directory_that_is_not_pmxcfs_has_quorum(paths):
    assert pmxcfs.has_quorum(paths.etc_pve)
    paths.etc_pve.mkdir(parents=True)
    (paths.etc_pve / ".version").touch()
    assert pmxcfs.has_quorum(paths.etc_pve)
    assert [path.name for path in paths.etc_pve.iterdir()] == [".version"]
    (paths.etc_pve / "local").symlink_to("nodes/pve1")
    assert pmxcfs.has_quorum(paths.etc_pve)
    assert pmxcfs.has_quorum(paths.root)
