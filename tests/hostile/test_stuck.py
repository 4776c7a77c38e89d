"""What does not go on: the process that holds a lock, an order, a lock of the cluster that was left."""

import errno
import os
import signal
import subprocess
import sys

import certificates
import pytest
from certificates import Calendar
from resources import uses
from servers.processes import free_port
from waiting import wait_until

from pvefw.certs import issue
from pvefw.cli.run import run
from pvefw.core.errors import Locked, StoreError
from pvefw.store import files, leases, locks, node_settings
from pvefw.tasks import registry
from pvefw.testing import acme_server
from pvefw.testing.fakes import FakeTask

HOLD = """
import sys, threading
from pathlib import Path
from pvefw.store import locks
from pvefw.store.paths import Paths
from pvefw.tasks import registry
paths = Paths(Path(sys.argv[2]), "pve1")
kinds = {
    "local": lambda: locks.local_lock(paths, "thing"),
    "cluster": lambda: locks.cluster_lock(paths, "thing"),
    "task list": lambda: registry.locked(paths),
}
with kinds[sys.argv[1]]():
    print("held", flush=True)
    threading.Event().wait()
"""
MINE = {
    "local": lambda paths: locks.local_lock(paths, "thing", timeout=0),
    "cluster": lambda paths: locks.cluster_lock(paths, "thing", timeout=0),
    "task list": registry.locked,
}


@uses("program")
@pytest.mark.parametrize("kind", MINE)
def test_a_lock_whose_holder_was_stopped_is_named_with_what_helps(paths, monkeypatch, kind):
    monkeypatch.setattr(registry, "_PATIENCE", 0.1)
    command = [sys.executable, "-c", HOLD, kind, str(paths.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            process.send_signal(signal.SIGSTOP)
            wait_until(lambda: locks._is_stopped(str(process.pid)), "it is stopped")
            with pytest.raises(Locked, match="has locked this, and was stopped") as caught:
                MINE[kind](paths).__enter__()
            assert f"process {process.pid} (" in caught.value.message
            assert f"kill -CONT {process.pid}" in caught.value.hint
        finally:
            process.kill()
    with MINE[kind](paths):
        pass


def test_who_was_stopped_for_long_does_not_touch_a_lock_that_may_be_anothers(paths, monkeypatch):
    """What it writes meanwhile: tests/store/test_leases.py."""
    clock = Calendar()
    monkeypatch.setattr(leases, "_CLOCK", clock)
    place = paths.cluster_locks / "thing"
    with locks.cluster_lock(paths, "thing"):
        clock.wait(leases.threading.Event(), leases._STALE + 1)
        place.rmdir()
        place.mkdir()  # another node's
    assert place.is_dir()


def test_what_fails_while_stopped_says_why_it_failed(paths, monkeypatch):
    clock = Calendar()
    monkeypatch.setattr(leases, "_CLOCK", clock)
    with pytest.raises(ValueError), locks.cluster_lock(paths, "thing"):
        clock.wait(leases.threading.Event(), leases._STALE + 1)
        raise ValueError


# --- an order -------------------------------------------------------------------------------------------


@pytest.fixture
def typed(paths, monkeypatch, capfd):
    monkeypatch.setenv("PVEFW_ROOT", str(paths.root))
    monkeypatch.setenv("PVEFW_NODE", paths.node)

    def type_(*words):
        status = run([str(word) for word in words])
        return status, "".join(capfd.readouterr())

    return type_


@uses("server")
def test_an_order_that_stays_in_processing_leaves_time_for_a_new_one(tmp_path, typed, monkeypatch):
    """The old one is asked for again, for a while; then another is placed, with all of the time."""
    (tmp_path / "data").write_text(f"port={free_port()}\n")
    stuck = []
    show = acme_server.AcmeServer._shown

    def shown(server, key):
        found = show(server, key)
        if key in stuck and found["status"] == "valid":
            return {**found, "status": "processing"}
        return found

    monkeypatch.setattr(acme_server.AcmeServer, "_shown", shown)
    monkeypatch.setattr(acme_server.AcmeServer, "_problem", lambda *_: "")  # all names are good
    with acme_server.acme_server(tmp_path) as server:
        monkeypatch.setattr(server, "_orders", Orders(stuck))
        where = ("--directory", server.directory, "--ca-file", server.ca_file, "--accept-tos")
        typed("acme", "account", "register", "default", "m@example.com", *where)
        typed("config", "set", "--reload-command", "-", "-acmedomain0", "a.example")
        typed("acme", "plugin", "set", "standalone", "--data", tmp_path / "data")
        monkeypatch.setattr(issue, "_ORDER_SECONDS", 10.0)
        status, said = typed("acme", "cert", "order")
        assert (status, len(stuck)) == (1, 1), said
        assert "not done in time" in said
        server._orders.closed = True
        monkeypatch.setattr(issue, "_ORDER_SECONDS", 300.0)
        monkeypatch.setattr(issue, "_RESUME_SECONDS", 10.0)
        status, said = typed("acme", "cert", "order")
    assert "Resuming order" in said
    assert "The interrupted order cannot be completed" in said
    assert status == 0, said


class Orders(dict):
    """The orders of a server; each that is placed until this is closed gets stuck."""

    closed = False

    def __init__(self, stuck):
        super().__init__()
        self._stuck = stuck

    def __setitem__(self, key, value):
        if not self.closed:
            self._stuck.append(key)
        super().__setitem__(key, value)


# --- disks ----------------------------------------------------------------------------------------------


def test_an_order_is_not_placed_where_its_record_could_not_be_kept(paths, monkeypatch):
    node_settings.change(paths, {"acmedomain0": "a.example"})
    real = files.make_directory

    def refuse(path, **more):
        if path == paths.state_dir:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        real(path, **more)

    monkeypatch.setattr(files, "make_directory", refuse)
    with pytest.raises(StoreError, match="Read-only file system"):
        issue.obtain(certificates.own(paths), FakeTask())
