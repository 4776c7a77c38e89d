"""Locks hold across processes, and do not outlive their holders."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from pvefw import instances
from pvefw.core.errors import Locked, StoreError, UsageError
from pvefw.store import files, leases, locks, node_settings
from pvefw.store.node import Node
from pvefw.store.paths import Paths

HOLD = """
import sys, threading
from pathlib import Path
from pvefw.store import locks
from pvefw.store.paths import Paths
with getattr(locks, sys.argv[1])(Paths(Path(sys.argv[2]), "pve1"), "thing"):
    print("held", flush=True)
    threading.Event().wait()
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
    with getattr(locks, kind)(paths, "thing", timeout=10):
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_holder_lets_go(paths, holder, kind):
    process = holder(kind)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with getattr(locks, kind)(paths, "thing", timeout=0.5):
        pass
    assert not (paths.cluster_locks / "thing").exists()


def test_a_lock_that_another_node_took_over_from_a_killed_holder_stays(paths, holder):
    process = holder("cluster_lock")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    theirs = paths.cluster_locks / "thing"
    made = time.time() + 1
    os.utime(theirs, (made, made))
    with (
        pytest.raises(Locked, match="another node or program"),
        locks.cluster_lock(paths, "thing", timeout=0),
    ):
        pass
    assert theirs.exists()


def test_a_lock_that_was_let_go_leaves_nothing_to_take_over(paths):
    with locks.cluster_lock(paths, "thing"):
        stamp = (paths.cluster_locks / "thing").stat().st_mtime_ns
    theirs = paths.cluster_locks / "thing"
    theirs.mkdir()
    os.utime(theirs, ns=(stamp, stamp))
    with (
        pytest.raises(Locked, match="another node or program"),
        locks.cluster_lock(paths, "thing", timeout=0),
    ):
        pass


def test_an_abandoned_cluster_lock_is_taken_over_after_two_minutes(paths):
    abandoned = paths.cluster_locks / "thing"
    abandoned.mkdir(parents=True)
    os.utime(abandoned, (time.time(), time.time()))  # by the clock that decides whether it is old
    with (
        pytest.raises(Locked, match="another node or program"),
        locks.cluster_lock(paths, "thing", timeout=0),
    ):
        pass
    old = time.time() - 121
    os.utime(abandoned, (old, old))
    with locks.cluster_lock(paths, "thing", timeout=5):
        assert abandoned.exists()
    assert not abandoned.exists()


def test_on_pmxcfs_an_abandoned_lock_is_left_to_pmxcfs(paths, monkeypatch):
    """It compares with its own clock, and removes the lock when it is asked to and the time is up."""
    abandoned = paths.cluster_locks / "thing"
    abandoned.mkdir(parents=True)
    (paths.etc_pve / ".version").touch()
    os.utime(abandoned, (1, 1))
    asked = []
    monkeypatch.setattr(os, "utime", lambda *arguments: asked.append(arguments))
    with pytest.raises(Locked), locks.cluster_lock(paths, "thing", timeout=0):
        pass
    assert asked == [(abandoned, (0, 0))]
    assert abandoned.exists()


def test_a_held_cluster_lock_is_renewed(paths, monkeypatch):
    monkeypatch.setattr(leases, "_RENEW", 0.01)
    with locks.cluster_lock(paths, "thing"):
        lock = paths.cluster_locks / "thing"
        os.utime(lock, (1, 1))
        deadline = time.monotonic() + 5
        while lock.stat().st_mtime < 2:
            assert time.monotonic() < deadline


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", ""])
def test_a_name_that_leads_elsewhere_makes_nothing(paths, kind, name):
    if kind == "local_lock" and not name:
        name = "x/"
    with pytest.raises(UsageError), getattr(locks, kind)(paths, name):
        pass
    assert list(paths.root.iterdir()) == []


def test_a_file_system_without_locks_is_an_error_that_names_the_file(paths, monkeypatch):
    def refuse(_descriptor, _operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreError, match=r"thing\.lock: .*No locks available"):
        locks.local_lock(paths, "thing").__enter__()


def test_a_lock_directory_that_cannot_be_made_is_an_error(paths):
    paths.cluster_locks.parent.mkdir(parents=True)
    paths.cluster_locks.write_text("a file is in the way")
    with pytest.raises(StoreError, match="priv/lock"), locks.cluster_lock(paths, "thing"):
        pass


def test_proxmox_ves_own_lock_is_respected(paths):
    """pvenode(1) takes it to change the node's configuration."""
    paths.pve_node_config_lock.parent.mkdir(parents=True)
    with paths.pve_node_config_lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with (
            pytest.raises(Locked, match=r"process [0-9]+ .* has locked this"),
            locks.node_config_lock(paths, timeout=0),
        ):
            pass
    node_settings.change(paths, {"acmedomain0": "a.example"})


def test_one_process_may_hold_several_locks_but_none_twice(paths):
    with (
        locks.cluster_lock(paths, "one"),
        locks.cluster_lock(paths, "two"),
        pytest.raises(Locked, match=f"process {os.getpid()}"),
        locks.cluster_lock(paths, "one", timeout=0),
    ):
        pass


def test_a_lock_of_another_name_is_free(paths, holder):
    holder("local_lock")
    with locks.local_lock(paths, "other", timeout=0):
        pass


def at_once(paths, body, arguments):
    """Run programs at the same time, each with an argument of its own, and wait for all."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom pvefw.store.paths import Paths\n"
        "paths, first = Paths(Path(sys.argv[1]), 'pve1'), int(sys.argv[2])\n"
    ) + textwrap.dedent(body)
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(paths.root), str(argument)])
        for argument in arguments
    ]
    assert [process.wait(60) for process in running] == [0] * len(running)


def test_concurrent_changes_lose_nothing(paths):
    """Real processes read, change and write the same file at once."""
    at_once(
        paths,
        """
        from pvefw.store import node_settings
        for number in range(first, first + 5):
            node_settings.change(paths, {f"acmedomain{number}": f"n{number}.example"})
        """,
        range(0, 20, 5),
    )
    assert set(Node.open(paths).properties) == {f"acmedomain{number}" for number in range(20)}


def test_concurrent_changes_of_one_instance_see_each_other(paths):
    with instances.files.changing(paths, "dns") as place:
        place.put(instances.Instance("dns", "counter", "ovh", {"N": "0"}))
    at_once(
        paths,
        """
        from dataclasses import replace
        from pvefw import instances
        instances._check = lambda paths, instance: None  # the plugin has no such setting
        def count(old):
            return replace(old, settings={"N": str(int(old.settings["N"]) + 1)})
        for number in range(first, first + 5):
            instances.change(paths, "dns", "counter", count)
            instances.add(paths, instances.Instance("challenge", f"n{number}", "x"))
        """,
        range(0, 20, 5),
    )
    assert instances.load(Node.open(paths), "dns", "counter").settings == {"N": "20"}
    assert len(instances.load_all(Node.open(paths), "dns", "challenge")) == 22


def test_properties_and_instances_in_one_file_do_not_undo_each_other(paths):
    """pvefw.cfg of a node has both, changed by different commands."""
    files.replace(paths.node_pvefw_cfg(), b"guest: counter\n\tn 0\n")
    at_once(
        paths,
        """
        from dataclasses import replace
        from pvefw import instances
        from pvefw.store import node_settings
        instances._check = lambda paths, instance: None  # no plugin has such a setting
        def count(old):
            return replace(old, settings={"n": str(int(old.settings["n"]) + 1)})
        for number in range(first, first + 5):
            instances.change(paths, "guest", "counter", count)
            node_settings.change(paths, {f"acmedomain{number + 10}": f"n{number}.example"})
        """,
        range(0, 20, 5),
    )
    assert instances.load(Node.open(paths), "guest", "counter").settings == {"n": "20"}
    assert len(Node.open(paths).properties) == 20


def test_a_change_in_two_nodes_trees_of_one_cluster(paths):
    """Each node has its own local locks; what they share is the directory in ``/etc/pve``."""
    other = Paths(paths.root.parent / "second", "pve2")
    paths.etc_pve.mkdir(parents=True)
    other.etc_pve.parent.mkdir(parents=True)
    other.etc_pve.symlink_to(paths.etc_pve)
    with (
        locks.cluster_lock(paths, "thing"),
        pytest.raises(Locked, match="another node or program holds"),
        locks.cluster_lock(other, "thing", timeout=0),
    ):
        pass
    with locks.cluster_lock(other, "thing", timeout=0):
        pass


def test_a_task_of_release_1_0_that_still_runs_is_waited_for(paths):
    """It has its locks elsewhere, and goes on while its package is upgraded."""
    paths.former_locks.mkdir(parents=True, mode=0o700)
    former = paths.former_locks / "thing.lock"
    with former.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Locked, match="thing"), locks.local_lock(paths, "thing", timeout=0):
            pass
    with locks.local_lock(paths, "thing", timeout=0), former.open() as again:
        with pytest.raises(BlockingIOError):
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert str(os.getpid()) in former.read_text()


@pytest.mark.parametrize("kind", ["file", "open to everybody", "none"])
def test_what_is_no_directory_of_that_release_holds_nobody_up(paths, kind):
    if kind == "file":
        files.replace(paths.former_locks, b"")
    elif kind != "none":
        paths.former_locks.mkdir(parents=True)
        paths.former_locks.chmod(0o777)
    with locks.local_lock(paths, "thing", timeout=0):
        assert not (paths.former_locks / "thing.lock").exists()
