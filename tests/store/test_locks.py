"""Locks hold across processes, and do not outlive their holders."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from pvefw.errors import Locked
from pvefw.store import locks, node_settings

HOLD = """
import sys, threading
from pathlib import Path
from pvefw.store import locks
from pvefw.store.paths import Paths
with getattr(locks, sys.argv[1])(Paths(Path(sys.argv[2]), "pve1"), "thing"):
    print("held", flush=True)
    threading.Event().wait(60)
"""
KINDS = ["local_lock", "cluster_lock"]


@pytest.fixture
def holder(paths):
    """Another process that holds a lock."""
    started = []

    def hold(kind):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, kind, str(paths.root)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("kind", KINDS)
def test_a_held_lock_is_refused_and_says_by_whom(paths, holder, kind):
    process = holder(kind)
    with pytest.raises(Locked) as caught, getattr(locks, kind)(paths, "thing", timeout=0):
        pass
    assert f"process {process.pid} (" in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lock_is_waited_for(paths, holder, kind):
    process = holder(kind)
    os.kill(process.pid, signal.SIGTERM)
    if kind == "cluster_lock":
        process.wait()
        (paths.cluster_locks / "thing").rmdir()
    with getattr(locks, kind)(paths, "thing", timeout=10):
        pass


def test_a_killed_holder_lets_go(paths, holder):
    process = holder("local_lock")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with locks.local_lock(paths, "thing", timeout=0):
        pass


def test_an_abandoned_cluster_lock_is_taken_over_after_two_minutes(paths):
    abandoned = paths.cluster_locks / "thing"
    abandoned.mkdir(parents=True)
    with pytest.raises(Locked, match="another node"), locks.cluster_lock(paths, "thing", timeout=0):
        pass
    old = time.time() - 121
    os.utime(abandoned, (old, old))
    with locks.cluster_lock(paths, "thing", timeout=5):
        assert abandoned.exists()
    assert not abandoned.exists()


def test_a_held_cluster_lock_is_renewed(paths, monkeypatch):
    monkeypatch.setattr(locks, "_RENEW", 0.01)
    with locks.cluster_lock(paths, "thing"):
        lock = paths.cluster_locks / "thing"
        os.utime(lock, (1, 1))
        deadline = time.monotonic() + 5
        while lock.stat().st_mtime < 2:
            assert time.monotonic() < deadline


def test_a_lock_of_another_name_is_free(paths, holder):
    holder("local_lock")
    with locks.local_lock(paths, "other", timeout=0):
        pass


def test_concurrent_changes_lose_nothing(paths):
    """Real processes read, change and write the same file at once."""
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from pvefw.store import node_settings
        from pvefw.store.paths import Paths
        first = int(sys.argv[2])
        for number in range(first, first + 5):
            node_settings.change(
                Paths(Path(sys.argv[1]), "pve1"), {f"acmedomain{number}": f"n{number}.example"}
            )
        """
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(paths.root), str(first)])
        for first in range(0, 20, 5)
    ]
    assert [process.wait(60) for process in running] == [0] * 4
    assert set(node_settings.load(paths)) == {f"acmedomain{number}" for number in range(20)}
