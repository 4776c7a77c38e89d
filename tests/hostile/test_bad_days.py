"""Full disks, no descriptors, clocks that are wrong, plugins that leave things behind."""

import errno
import http.client
import os
import resource
import socket
import subprocess
import sys
import textwrap
import time

import pytest
from resources import uses

from pvefw.certs import accounts
from pvefw.core.errors import StoreError
from pvefw.store import files, leases, locks
from pvefw.tasks import history
from pvefw.tasks.task import run_task
from pvefw_acme_standalone.listener import PREFIX, Listener


def free_port():
    with socket.socket() as client:
        client.bind(("127.0.0.1", 0))
        return client.getsockname()[1]


@uses("program")
def python(code):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


# --- plugins ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "left",
    [
        "threading.Thread(target=threading.Event().wait).start()",
        "concurrent.futures.ThreadPoolExecutor().submit(threading.Event().wait)",
    ],
    ids=["thread", "executor"],
)
def test_threads_that_a_plugin_left_do_not_keep_a_finished_command(left):
    began = time.monotonic()
    done = python(
        f"""
        import concurrent.futures, sys, threading
        from pvefw import cli
        import pvefw.cli.run
        def work(_args):
            {left}
            print("done")
            return 3
        pvefw.cli.run.run = work
        sys.argv = ["pvefw", "x"]
        cli.main()
        """
    )
    assert (done.returncode, done.stdout) == (3, "done\n")
    assert time.monotonic() - began < 25


def test_threads_that_a_plugin_left_do_not_keep_the_tab_key():
    done = python(
        """
        import os, threading
        from pvefw import cli
        import pvefw.cli.complete
        def answer(*_words):
            threading.Thread(target=threading.Event().wait).start()
            return "offered"
        pvefw.cli.complete.answer = answer
        os.environ["_PVEFW_COMPLETE"] = "bash"
        cli.main()
        """
    )
    assert (done.returncode, done.stdout) == (0, "offered")


def test_a_plugin_that_closes_standard_output_does_not_end_the_task(paths, monkeypatch):
    def echo(_line):
        raise ValueError("I/O operation on closed file.")

    with run_task(paths, "x", echo=echo) as task:
        task.log("still")
        task.log("here")
    assert list(history.log(paths, task.upid)) == ["still", "here", "TASK OK"]


def test_a_command_whose_standard_output_was_closed_ends_well():
    done = python(
        """
        import sys
        from pvefw.cli.tasks import _say
        sys.stdout.close()
        _say("x")
        _say("y")
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- the listener -------------------------------------------------------------------------------------


@pytest.fixture
def listener():
    port = free_port()
    listener_ = Listener(["127.0.0.1"], port, {"token": "answer"})
    yield port
    listener_.close()


def ask(port, target):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest("GET", target, skip_host=False)
    connection.endheaders()
    answer = connection.getresponse()
    said = answer.status, answer.read().decode()
    connection.close()
    return said


@pytest.mark.parametrize("host", ["", "http://a.test", "HTTP://a.test:80", "https://a.test"])
def test_a_target_may_name_the_host(listener, host):
    """RFC 9112 section 3.2.2: servers must take the absolute form."""
    assert ask(listener, f"{host}{PREFIX}token") == (200, "answer")


def test_without_descriptors_the_listener_goes_on(listener):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = socket.socket()
    others = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe.fileno() + 1, hard))
        probe.connect(("127.0.0.1", listener))
        while True:
            others.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        assert error.errno == errno.EMFILE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for other in others:
            os.close(other)
        probe.close()
    assert ask(listener, f"{PREFIX}token") == (200, "answer")


# --- disks and states ---------------------------------------------------------------------------------


def test_the_authority_is_not_asked_where_its_account_could_not_be_kept(paths, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    asked = []
    monkeypatch.setattr(accounts, "Transport", lambda **_more: asked.append(1))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"), accounts._room(paths):
        asked.append(1)
    assert asked == []


def test_room_is_written_and_given_back(paths):
    with accounts._room(paths):
        [room] = paths.acme_dir.iterdir()
        assert room.stat().st_size >= 8192
        assert room.read_bytes().count(0) == room.stat().st_size
    assert list(paths.acme_dir.iterdir()) == []


@pytest.mark.parametrize(
    "data",
    [b"[" * 10_000, b"{" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000, b"\xff", b"[1]"],
)
def test_a_state_file_that_is_damaged_is_no_state(tmp_path, data):
    (tmp_path / "state").write_bytes(data)
    assert files.read_object(tmp_path / "state") == {}


# --- locks --------------------------------------------------------------------------------------------


def test_a_cluster_lock_from_the_future_expires(paths):
    path = paths.cluster_locks / "x"
    path.mkdir(parents=True)
    os.utime(path, (time.time() + 10**9,) * 2)
    leases._take_over(path)
    assert abs(path.stat().st_mtime - time.time()) < 60
    os.utime(path, (time.time() - 121,) * 2)
    leases._take_over(path)
    assert not path.exists()


def test_a_strangers_lock_file_keeps_nobody_waiting(paths):
    """Where Proxmox VE does not run, its names in /run/lock mean nothing."""
    if os.geteuid() != 0:
        pytest.skip("only root makes files that belong to somebody else")
    import fcntl

    path = paths.pve_certificate_lock
    path.parent.mkdir(parents=True)
    path.touch()
    os.chown(path, 4711, 4711)
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with locks.certificate_lock(paths, timeout=0):
            pass
