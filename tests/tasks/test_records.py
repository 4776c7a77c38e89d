"""``active``, ``index`` and the logs, shared with Proxmox VE's own tools: whatever state they are in."""

import errno
import os
import re
import shutil
import stat
import subprocess
import sys
import textwrap

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pvefw.core.errors import StoreError
from pvefw.tasks import history, registry
from pvefw.tasks.history import Filter
from pvefw.tasks.registry import TaskEntry
from pvefw.tasks.task import run_task
from pvefw.tasks.upid import Upid, process_start

WORDS = st.from_regex(r"[a-zA-Z0-9@._!-]{1,12}", fullmatch=True)
UPIDS = st.builds(
    Upid,
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True),
    st.integers(1, 2**32 - 1),
    st.integers(0, 2**36 - 1),
    st.integers(0, 2**32 - 1),
    WORDS,
    st.just("") | WORDS,
    WORDS,
)
STATUSES = st.sampled_from(["OK", "WARNINGS: 3", registry.UNEXPECTED]) | st.text(
    st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=40
)
ENDED = st.builds(TaskEntry, UPIDS, st.integers(0, 2**32 - 1), STATUSES)
GARBAGE = st.binary(max_size=60).filter(lambda data: b"\n" not in data and b"UPID" not in data)


def dead(number=0, start=0x6124E1B9):
    """A task whose process has gone."""
    return Upid("pve1", 2**22 + number, 1, start, "vzdump", "100", "root@pam")


def running():
    return Upid("pve1", os.getpid(), process_start(os.getpid()), 1, "vzdump", "100", "root@pam")


def write(paths, name, *lines):
    paths.task_dir.mkdir(parents=True, exist_ok=True)
    (paths.task_dir / name).write_bytes(
        b"".join(line if isinstance(line, bytes) else f"{line}\n".encode() for line in lines)
    )


def write_log(paths, upid, text):
    path = upid.log_path(paths)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (0x6124E200, 0x6124E200))


def a_task(paths):
    with run_task(paths, "x") as task:
        pass
    return task.upid


# --- any content --------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ENDED | GARBAGE, max_size=8, unique_by=lambda task: getattr(task, "upid", task)))
def test_an_index_with_damage_is_read_around_it(paths, lines):
    ended = [line for line in lines if isinstance(line, TaskEntry)]
    write(
        paths,
        "index",
        *(
            line + b"\n" if isinstance(line, bytes) else f"{line.upid} {line.end:08X} {line.status}"
            for line in lines
        ),
    )
    assert list(registry.indexed(paths)) == ended
    listed = history.tasks(paths, Filter(), limit=100)
    assert {task.upid for task in listed} == {task.upid for task in ended}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(ENDED, max_size=40, unique_by=lambda task: task.upid), st.binary(max_size=60))
def test_what_was_active_is_kept_or_found_in_the_index(paths, ended, garbage):
    shutil.rmtree(paths.task_dir, ignore_errors=True)
    lines = [f"{task.upid} 0 {task.end:08X} {task.status}" for task in ended]
    write(paths, "active", f"{running()} 0", garbage.replace(b"\n", b"") + b"\n", *lines)
    mine = a_task(paths)
    kept = registry.active(paths)
    assert {task.upid for task in kept if task.end is None} == {running()}
    assert len(kept) == 1 + min(len(ended) + 1, 25)
    archived = list(registry.indexed(paths))
    assert sorted(archived[:-1], key=str) == sorted(ended, key=str)
    assert archived[-1].upid == mine
    again = a_task(paths)
    assert [task.upid for task in registry.indexed(paths)][-2:] == [mine, again]
    assert len(list(registry.indexed(paths))) == len(ended) + 2


# --- a task of theirs that has ended, and that nobody has entered yet -----------------------------


@pytest.mark.parametrize(
    ("log", "status", "state"),
    [
        ("hello\nTASK OK\n", "OK", "OK"),
        ("hello\nTASK OK", "OK", "OK"),
        ("TASK WARNINGS: 2\n", "WARNINGS: 2", "WARNING"),
        ("hello\nTASK ERROR: disk on fire\n", "disk on fire", "ERROR"),
        ("x" * 10000 + "\nTASK ERROR: after a long line\n", "after a long line", "ERROR"),
        ("hello\n", "unexpected status", "UNKNOWN"),
        ("TASK OK\nhello\n", "unexpected status", "UNKNOWN"),
        ("", "unexpected status", "UNKNOWN"),
        (None, "unexpected status", "UNKNOWN"),
    ],
)
def test_its_log_says_how_it_ended(paths, log, status, state):
    upid = dead()
    write(paths, "active", f"{upid} 0")
    if log is not None:
        write_log(paths, upid, log)
    end = 0x6124E200 if log is not None else upid.start
    for source in ("active", "all"):
        [found] = history.tasks(paths, Filter(source=source))
        assert (found.end, found.status, history.state(found)) == (end, status, state)
    assert history.status(paths, upid).status == status
    assert history.tasks(paths, Filter()) == []
    a_task(paths)
    [found] = history.tasks(paths, Filter(type="vzdump"))
    assert (found.end, found.status) == (end, status)
    assert history.tasks(paths, Filter(source="active")) == []


def test_a_task_that_the_lists_have_forgotten_is_known_by_its_log(paths):
    write_log(paths, dead(), "TASK ERROR: long ago\n")
    assert history.status(paths, dead()) == TaskEntry(dead(), 0x6124E200, "long ago")


def test_running_tasks_say_so_to_programs(paths):
    with run_task(paths, "x"):
        [found] = history.tasks(paths, Filter(source="active"))
        assert history.as_dict(found)["status"] == "RUNNING"
        assert "endtime" not in history.as_dict(found)
        assert history.tasks(paths, Filter()) == []


def test_the_archive_is_not_listed_as_active(paths):
    upid = a_task(paths)
    assert history.tasks(paths, Filter(source="active")) == []
    assert [entry.upid for entry in history.tasks(paths, Filter(source="all"))] == [upid]


# --- what others may do ---------------------------------------------------------------------------


def test_who_may_read_what(paths):
    """Proxmox VE's web server lists tasks without being root; logs it reads through its daemon."""
    upid = a_task(paths)
    for path, mode in ((paths.task_dir / "index", 0o644), (upid.log_path(paths), 0o640)):
        assert stat.S_IMODE(path.stat().st_mode) == mode & ~current_umask()


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_their_rotation_of_the_index(paths):
    first = a_task(paths)
    (paths.task_dir / "index").rename(paths.task_dir / "index.1")
    second = a_task(paths)
    assert [entry.upid for entry in history.tasks(paths, Filter())] == [second, first]


def test_a_torn_line_does_not_swallow_the_next(paths):
    """Somebody lost power while appending."""
    write(paths, "index", f"{dead()} 6124E200 OK", b"UPID:pve1:0001")
    upid = a_task(paths)
    assert [task.upid for task in registry.indexed(paths)] == [dead(), upid]


def test_tasks_alike_in_one_second_have_ids_of_their_own(paths):
    upids = [a_task(paths) for _ in range(3)]
    assert len(set(upids)) == 3
    for upid in upids:
        assert list(history.log(paths, upid)) == ["TASK OK"]
    assert len(history.tasks(paths, Filter())) == 3


def test_of_tasks_alike_the_one_entered_last_comes_first(paths):
    write(paths, "index", *(f"{dead(number)} 6124E200 OK" for number in range(3)))
    listed = [entry.upid for entry in history.tasks(paths, Filter())]
    assert listed == [dead(2), dead(1), dead(0)]


def test_users_are_found_in_any_case(paths):
    write(paths, "index", f"{dead()} 6124E200 OK")
    assert len(history.tasks(paths, Filter(user="ROOT"))) == 1
    assert history.tasks(paths, Filter(user="admin")) == []


def test_a_list_that_cannot_be_read_is_an_error_that_names_it(paths):
    (paths.task_dir / "index").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"tasks/index: could not read the file"):
        history.tasks(paths, Filter())


# --- statuses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StoreError("long " * 1000), ("long " * 1000)[:1000]),
        (StoreError(""), "StoreError"),
        (ValueError(), "ValueError"),
        (ValueError("a\r\nb\u2028c"), "ValueError: a b c"),
    ],
)
def test_a_status_is_one_line_that_their_tools_find(paths, error, status):
    with pytest.raises(type(error)), run_task(paths, "x"):
        raise error
    [found] = history.tasks(paths, Filter())
    assert found.status == status
    log = found.upid.log_path(paths).read_bytes()
    assert log.endswith(f"TASK ERROR: {status}\n".encode())
    assert registry._last_status(found.upid.log_path(paths)) == status


# --- full disks -----------------------------------------------------------------------------------


def test_a_task_that_the_index_had_no_room_for_is_entered_later(paths, monkeypatch):
    heard = []
    a_task(paths)
    before = (paths.task_dir / "index").read_bytes()
    original = os.write

    def write(descriptor, data):
        """Half of the index' line is written, then the disk is full."""
        if data.startswith(b"TASK") or not data.endswith(b" OK\n"):
            return original(descriptor, data)
        if data.startswith(b"UPID"):
            return original(descriptor, data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        with run_task(paths, "lost", echo=heard.append):
            pass
    assert (paths.task_dir / "index").read_bytes() == before
    assert ["No space left" in warning for warning in heard] == [True]
    [waiting] = history.tasks(paths, Filter(source="active"))
    assert (waiting.upid.type, waiting.status, waiting.saved) == ("lost", "OK", False)
    a_task(paths)
    assert [task.upid.type for task in registry.indexed(paths)] == ["x", "lost", "x"]


FULL = """
    import errno, os, sys
    from pathlib import Path
    from pvefw.store.paths import Paths
    from pvefw.tasks import history
    from pvefw.tasks.task import run_task

    paths = Paths(Path(sys.argv[1]), "pve1")
    ballast = open(paths.root / "ballast", "wb", buffering=0)

    def fill():
        size = 4096
        while size:
            try:
                ballast.write(b"x" * size)
            except OSError as error:
                assert error.errno == errno.ENOSPC
                size //= 2

    FIRST
    with run_task(paths, "x", echo=print) as task:
        task.log("first")
        fill()
        for number in range(2000):
            task.log(f"line {number}")
        LATER
        task.log("last")
    print("done")
    [found] = history.tasks(paths, history.Filter(source="all"))
    print(found.status, list(history.log(paths, task.upid))[-2:])
    """


def on_a_small_disk(tmp_path, program):
    """What a program says that runs on a file system of 64 KiB."""
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = 'mount -t tmpfs -o size=64k none "$1" && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", mount, "sh", mounted, sys.executable, program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


can_mount = pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode,
    reason="needs a file system of its own",
)


@can_mount
def test_a_disk_that_is_full_from_the_start(tmp_path):
    program = textwrap.dedent(FULL).replace("FIRST", "fill()").replace("LATER", "")
    program = program.partition("[found]")[0]
    said = on_a_small_disk(tmp_path, program)
    assert [line for line in said if not line.startswith("WARN")] == [
        "first",
        *(f"line {number}" for number in range(2000)),
        "last",
        "done",
    ]
    [warning] = [line for line in said if line.startswith("WARN")]
    assert "No space left on device" in warning


@can_mount
def test_a_disk_that_is_full_for_a_while(tmp_path):
    program = textwrap.dedent(FULL).replace("FIRST", "").replace("LATER", "ballast.truncate(0)")
    said = on_a_small_disk(tmp_path, program)
    assert len([line for line in said if line.startswith("WARN")]) == 1
    assert said[-1] == "OK ['last', 'TASK OK']"


def test_whoever_must_not_write_is_told_at_once(paths, monkeypatch):
    """No reason to go on: what the task wants to do is not allowed either."""

    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError, match="Permission denied") as caught, run_task(paths, "x"):
        raise AssertionError
    assert re.search("as root|Root is refused", caught.value.hint)
