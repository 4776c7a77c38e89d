"""Tasks: ids, logs, ends, cancellation, and a history that Proxmox VE's tools could share."""

import errno
import os
import signal
import subprocess
import threading
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvefw.core.errors import Cancelled, NotFound, UsageError
from pvefw.host.clock import SystemClock
from pvefw.store import files
from pvefw.tasks import control, history, registry
from pvefw.tasks.history import Filter
from pvefw.tasks.task import run_task
from pvefw.tasks.upid import Upid, process_start, runs, safe_id

REFERENCE = "UPID:pve1:00010D94:001CA6EA:6124E1B9:vzdump:100:root@pam:"


# --- ids ------------------------------------------------------------------------------------------


def test_the_guides_upid():
    upid = Upid.parse(REFERENCE)
    assert upid == Upid("pve1", 0x10D94, 0x1CA6EA, 0x6124E1B9, "vzdump", "100", "root@pam")
    assert str(upid) == REFERENCE


words = st.from_regex(r"[a-z0-9@._!-]{1,12}", fullmatch=True)


@given(
    st.builds(
        Upid,
        st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True),
        st.integers(1, 2**22),
        st.integers(0, 2**35),
        st.integers(0, 2**32 - 1),
        words,
        st.text(max_size=20).map(safe_id),
        words,
    )
)
def test_every_upid_is_read_again(upid):
    assert Upid.parse(str(upid)) == upid


@pytest.mark.parametrize("text", ["", "UPID", REFERENCE[:-1], REFERENCE + "x", f"../{REFERENCE}"])
def test_what_is_no_upid(text):
    with pytest.raises(UsageError, match="is not a task id"):
        Upid.parse(text)


def test_a_recycled_pid_is_not_taken_for_the_task():
    start = process_start(os.getpid())
    assert runs(Upid("n", os.getpid(), start, 0, "t", "", "u"))
    assert not runs(Upid("n", os.getpid(), start - 1, 0, "t", "", "u"))


# --- how they end ---------------------------------------------------------------------------------


def the_task(paths):
    [found] = history.tasks(paths, Filter(source="all"))
    return found, list(history.log(paths, found.upid))


def test_a_task_that_ends_well(paths):
    heard = []
    with run_task(paths, "acmenewcert", "a/b c", echo=heard.append) as task:
        task.log("one\ntwo")
        assert history.state(history.status(paths, task.upid)) == "RUNNING"
    found, log = the_task(paths)
    assert log == ["one two", "TASK OK"]
    assert heard == ["one two"]  # one event, one line
    assert (found.status, found.upid.id) == ("OK", "a%2Fb%20c")
    assert found.upid.log_path(paths).parent.name == f"{found.upid.start & 15:X}"
    assert history.state(history.status(paths, found.upid)) == "OK"


def test_warnings_are_counted(paths):
    with run_task(paths, "x") as task:
        task.warn("mind the gap")
        task.warn("and this one")
    found, log = the_task(paths)
    assert log == ["WARN: mind the gap", "WARN: and this one", "TASK WARNINGS: 2"]
    assert history.state(found) == "WARNING"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("two\nlines"), "two lines"),
        (KeyError("x"), "KeyError: 'x'"),
        (Cancelled(), "interrupted by signal"),
        (KeyboardInterrupt(), "interrupted by signal"),
    ],
)
def test_a_task_that_fails(paths, error, status):
    with pytest.raises(type(error)), run_task(paths, "x"):
        raise error
    found, log = the_task(paths)
    assert log == [f"TASK ERROR: {status}"]
    assert found.status == status
    assert history.state(found) == "ERROR"


def test_hooks_log_from_many_threads(paths):
    with run_task(paths, "x") as task:
        threads = [
            threading.Thread(target=lambda n=n: [task.log(f"{n} {m}") for m in range(50)])
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    _, log = the_task(paths)
    assert sorted(log[:-1]) == sorted(f"{n} {m}" for n in range(8) for m in range(50))


def test_a_log_that_cannot_be_written_any_more_does_not_stop_the_work(paths, monkeypatch):
    heard = []
    original = os.write

    def write(descriptor, data):
        if b"second" in data:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    with run_task(paths, "x", echo=heard.append) as task:
        for line in ("first", "second", "third"):
            task.log(line)
    assert [line for line in heard if not line.startswith("WARN")] == ["first", "second", "third"]
    [warning] = [line for line in heard if line.startswith("WARN")]
    assert "No space left" in warning


# --- cancelled ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_once_and_clean_up_is_not_interrupted(program, paths, number):
    process = program(
        """
        try:
            with run_task(paths, "x", echo=echo) as task:
                try:
                    task.log("working")
                    threading.Event().wait()
                finally:
                    task.log(f"cleaning up, cancelled is {task.cancelled}")
                    sys.stdin.readline()
                    task.log("cleaned up")
        except Cancelled:
            print("cancelled", flush=True)
        """,
        stdin=subprocess.PIPE,
    )
    assert process.stdout.readline() == "working\n"
    process.send_signal(number)
    assert process.stdout.readline() == "cleaning up, cancelled is True\n"
    process.send_signal(number)
    assert process.stdout.readline() == "Still cleaning up, please wait\n"
    rest = process.communicate("go on\n", timeout=60)[0].splitlines()
    assert rest == ["cleaned up", "cancelled"]
    found, log = the_task(paths)
    assert log[-1] == "TASK ERROR: interrupted by signal"
    assert found.status == "interrupted by signal"


def test_waiting_ends_when_another_thread_cancels(paths):
    with pytest.raises(Cancelled), run_task(paths, "x") as task:
        threading.Timer(0.05, task.cancel).start()
        task.wait(30)


def test_old_signal_handlers_come_back(paths):
    before = signal.getsignal(signal.SIGTERM)
    with run_task(paths, "x"):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_killed_task_shows_as_such(program, paths):
    process = program(
        """
        with run_task(paths, "x", echo=echo) as task:
            task.log("working")
            threading.Event().wait()
        """
    )
    assert process.stdout.readline() == "working\n"
    [running] = history.tasks(paths, Filter(source="active"))
    assert history.state(running) == "RUNNING"
    process.kill()
    process.wait()
    [killed] = history.tasks(paths, Filter(source="all"))
    assert history.state(killed) == "UNKNOWN"
    with run_task(paths, "y"):
        pass
    [entry] = history.tasks(paths, Filter(type="x"))
    assert entry.status == "unexpected status"
    assert entry.end is not None


def test_many_processes_lose_no_task(program, paths):
    body = """
        for number in range(10):
            with run_task(paths, "x", str(number)) as task:
                task.log("here")
        """
    processes = [program(body) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert len(history.tasks(paths, Filter(), limit=1000)) == 40
    assert len(registry.active(paths)) <= 26


# --- history --------------------------------------------------------------------------------------


def line(start, kind, id_, user="root@pam", status="OK"):
    return (
        f"UPID:pve1:00000001:00000001:{start:08X}:{kind}:{id_}:{user}: {start + 5:08X} {status}\n"
    )


@pytest.fixture
def theirs(paths):
    """A history as Proxmox VE writes it, with a damaged line."""
    lines = [
        line(100, "vzdump", "100"),
        line(200, "qmstart", "101", status="start failed: exit code 1"),
        "damaged line\n",
        line(300, "vzdump", "100", status="job errors"),
        line(400, "qmstart", "100", "admin@pve", "WARNINGS: 3"),
    ]
    files.replace(paths.task_dir / "index", "".join(lines[2:]).encode())
    files.replace(paths.task_dir / "index.1", "".join(lines[:2]).encode())
    return paths


@pytest.mark.parametrize(
    ("wanted", "starts"),
    [
        (Filter(), [400, 300, 200, 100]),
        (Filter(errors=True), [300, 200]),
        (Filter(errors=True, vmid=100), [300]),
        (Filter(vmid=100), [400, 300, 100]),
        (Filter(since=200, until=300), [300, 200]),
        (Filter(type="vzdump"), [300, 100]),
        (Filter(states=frozenset(["ok", "warning"])), [400, 100]),
        (Filter(user="admin"), [400]),
        (Filter(source="active"), []),
    ],
)
def test_filters(theirs, wanted, starts):
    assert [entry.upid.start for entry in history.tasks(theirs, wanted)] == starts


def test_start_and_limit(theirs):
    assert [entry.upid.start for entry in history.tasks(theirs, Filter(), start=1, limit=2)] == [
        300,
        200,
    ]


def test_a_log_from_some_line_on(paths):
    with run_task(paths, "x") as task:
        for number in range(5):
            task.log(str(number))
    assert list(history.log(paths, task.upid, start=3)) == ["3", "4", "TASK OK"]
    assert list(history.log(paths, task.upid, start=1, limit=2)) == ["1", "2"]


def test_a_line_without_end_fills_no_memory(paths):
    """As of a program that prints a file: 64 MB in the log, and a few of them in memory."""
    with run_task(paths, "x") as task:
        task.log("first")
    log = task.upid.log_path(paths)
    with log.open("ab") as file:
        for _ in range(64):
            file.write(b"x" * 1_000_000)
        file.write(b"\nlast\n")
    for read in (history.log, control.follow):
        tracemalloc.start()
        try:
            lengths = [len(line) for line in read(paths, task.upid)]
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert lengths == [5, 7, 1 << 20, 4]
        assert most < 20_000_000


def test_unknown_tasks(paths):
    upid = Upid.parse(REFERENCE)
    with pytest.raises(NotFound, match="no log of this task"):
        list(history.log(paths, upid))
    with pytest.raises(NotFound, match="not known"):
        history.status(paths, upid)


def test_the_files_are_in_the_references_form(paths):
    with run_task(paths, "x") as task:
        during = (paths.task_dir / "active").read_text()
        assert during == f"{task.upid} 0\n"
    end = int(SystemClock().now().timestamp())
    index = (paths.task_dir / "index").read_text()
    upid, ended, status = index.split()
    assert (upid, status) == (str(task.upid), "OK")
    assert abs(int(ended, 16) - end) < 5
    assert (paths.task_dir / "active").read_text() == f"{task.upid} 1 {ended} OK\n"
