"""Index and plain scan give the same answers, whatever is done to either."""

import contextlib
import dataclasses
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from privileges import only_root

from pvefw.core.errors import StoreError
from pvefw.host import programs
from pvefw.store import files
from pvefw.store.paths import Paths
from pvefw.tasks import archive, history, registry, texts
from pvefw.tasks.history import Filter
from pvefw.tasks.index import Damaged, Index, Query
from pvefw.tasks.registry import TaskEntry
from pvefw.tasks.upid import Upid

TYPES, USERS = ["vzdump", "qmstart", "x"], ["root@pam", "Admin@pve", "a@pbs!t-1"]
IDS = ["", "100", "101", "a.b", "ä€"]
STATUSES = ["OK", "WARNINGS: 3", "disk on fire", registry.UNEXPECTED]
STARTS = st.sampled_from([1000, 1001, 1002, 0, 2**31, 2**32 - 1])  # a clock that jumps
UPIDS = st.builds(
    Upid,
    st.just("pve1"),
    st.integers(2**22, 2**22 + 1),
    st.sampled_from([1, 2**33]),
    STARTS,
    st.sampled_from(TYPES),
    st.sampled_from(IDS),
    st.sampled_from(USERS),
)
ENDED = st.builds(TaskEntry, UPIDS, st.integers(1000, 2000), st.sampled_from(STATUSES))
FILTERS = st.builds(
    Filter,
    source=st.sampled_from(["archive", "all"]),
    errors=st.booleans(),
    vmid=st.none() | st.sampled_from([100, 101, 7]),
    since=st.none() | STARTS,
    until=st.none() | STARTS,
    type=st.none() | st.sampled_from([*TYPES, "y"]),
    states=st.frozensets(st.sampled_from(["ok", "error", "warning", "unknown", "running"])),
    user=st.none() | st.sampled_from(["ROOT", "p", "nobody", "", "admin@pve"]),
)


def scan(paths, wanted):
    """What a list is to hold, without an index."""
    found = {}
    for task in registry.indexed(paths):
        found.pop(task.upid, None)
        found[task.upid] = task
    if wanted.source == "all":
        others = [registry.settled(paths, task) for task in registry.active(paths)]
        waiting = [other for other in others if other.upid not in found and not other.saved]
        found |= {task.upid: task for task in waiting}
    by_start = sorted(found.values(), key=lambda value: value.upid.start)
    return [task for task in reversed(by_start) if wanted.wants(task)]


def line(entry):
    return f"{entry.upid} {entry.end:08X} {entry.status}\n".encode()


@contextlib.contextmanager
def small_sizes(**sizes):
    """Everything that is decided by size happens with a few tasks, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "_MARK", 64)
        for name, value in {"SMALL": 0, "_APPENDED": 200, "BATCH": 300, **sizes}.items():
            patch.setattr(archive, name, value)
        yield patch


class History(RuleBasedStateMachine):
    """Appended to, rotated, cut, rewritten; the index lost, damaged, replaced; asked in between."""

    @initialize(sizes=st.sampled_from([(200, 0), (1 << 20, 0), (1 << 20, 400)]))
    def begin(self, sizes):
        at_once, small = sizes
        self.folder = Path(tempfile.mkdtemp())
        self.paths = Paths(self.folder, "pve1")
        self.paths.task_dir.mkdir(parents=True)
        self.damaged = False
        self.stack = contextlib.ExitStack()
        patch = self.stack.enter_context(small_sizes(AT_ONCE=at_once, SMALL=small))
        self.background = []
        patch.setattr(programs, "start_pvefw", lambda *arguments: self.background.append(arguments))

    def teardown(self):
        if hasattr(self, "stack"):
            self.stack.close()
            shutil.rmtree(self.folder)

    @property
    def text(self):
        return self.paths.task_dir / "index"

    # --- the text files -------------------------------------------------------------------------

    @rule(entries=st.lists(ENDED, max_size=8))
    def others_append(self, entries):
        with self.text.open("ab") as file:
            file.writelines(map(line, entries))

    @rule(
        piece=st.sampled_from([b"UPID:pve1:0001", b"\n", b"\n\n", b"x y z\n", b" ", b"\xff\xfe\n"])
    )
    def somebody_writes_garbage(self, piece):
        with self.text.open("ab") as file:
            file.write(piece)

    @rule(entry=ENDED, lower=st.booleans())
    def a_line_without_end(self, entry, lower):
        with self.text.open("ab") as file:
            text = line(entry).rstrip(b"\n")
            file.write(text.lower().replace(b"upid:", b"UPID:") if lower else text)

    @rule(entry=ENDED)
    def a_task_of_ours(self, entry):
        registry.begin(self.paths, entry.upid)
        registry.finish(self.paths, entry.upid, entry.end, entry.status)

    @rule(entry=ENDED)
    def a_task_that_is_not_entered(self, entry):
        registry.begin(self.paths, entry.upid)

    @rule()
    def rotate(self):
        if self.text.exists():
            self.text.rename(self.paths.task_dir / "index.1")

    @rule(keep=st.integers(0, 5), name=st.sampled_from(["index", "index.1"]))
    def rewrite(self, keep, name):
        path = self.paths.task_dir / name
        if path.exists():
            new = path.with_name("new")
            new.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[-keep:]))
            new.rename(path)

    @rule(size=st.integers(0, 300))
    def cut_off(self, size):
        if self.text.exists():
            os.truncate(self.text, min(size, self.text.stat().st_size))

    @rule(name=st.sampled_from(["index", "index.1", "active"]))
    def lose(self, name):
        (self.paths.task_dir / name).unlink(missing_ok=True)

    # --- the index ------------------------------------------------------------------------------

    @rule(size=st.integers(0, 3000))
    def index_is_cut_off(self, size):
        path = self.paths.task_index
        if path.exists():
            os.truncate(path, min(size, path.stat().st_size))

    @rule(at=st.integers(0, 60000), piece=st.binary(min_size=1, max_size=40))
    def index_is_damaged(self, at, piece):
        path = self.paths.task_index
        if path.exists():
            data = bytearray(path.read_bytes())
            at %= len(data) or 1
            data[at : at + len(piece)] = piece[: len(data) - at]
            path.write_bytes(data)
            self.damaged = True

    @rule(garbage=st.sampled_from([b"", b"garbage", b"SQLite format 3\0" + b"x" * 5000]))
    def index_is_something_else(self, garbage):
        self.paths.task_index.parent.mkdir(parents=True, exist_ok=True)
        self.paths.task_index.write_bytes(garbage)

    @rule()
    def index_is_gone(self):
        self.paths.task_index.unlink(missing_ok=True)

    @rule(version=st.sampled_from([0, 2, 10**6]))
    def index_is_of_another_version(self, version):
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(self.paths.task_index)) as connection,
        ):
            connection.execute(f"PRAGMA user_version = {version}")

    @rule(rebuild=st.booleans())
    def index_is_brought_up_to_date(self, rebuild):
        # a line without its end is not taken in, as it may grow
        archive.bring_up_to_date(self.paths, rebuild=rebuild)
        self.damaged &= not rebuild

    # --- asking ---------------------------------------------------------------------------------

    @rule(wanted=FILTERS, start=st.integers(0, 12), limit=st.integers(0, 12))
    def list(self, wanted, start, limit):
        expected = scan(self.paths, wanted)
        told = []
        found = history.tasks(self.paths, wanted, start=start, limit=limit, note=told.append)
        if told:
            # what is there is right, and the rest comes
            assert self.background
            others = iter(expected)
            assert all(task in others for task in found)
            archive.bring_up_to_date(self.paths)
            found = history.tasks(self.paths, wanted, start=start, limit=limit, note=told.append)
            assert len(told) == 1
        if self.damaged and found != expected[start : start + limit]:
            # SQLite need not notice; but nothing is listed that is not so
            assert all(task in expected for task in found)
            self.index_is_brought_up_to_date(rebuild=True)
            found = history.tasks(self.paths, wanted, start=start, limit=limit)
        assert found == expected[start : start + limit]

    @rule(upid=UPIDS)
    def look_up_another(self, upid):
        self.look_up(upid)

    @rule(number=st.integers(0, 50))
    def look_up_one(self, number):
        known = list(registry.indexed(self.paths))
        if known:
            self.look_up(known[number % len(known)].upid)

    def look_up(self, upid):
        expected = [task for task in registry.indexed(self.paths) if task.upid == upid]
        found, _ = archive.ask(self.paths, lambda kept: kept.find(upid) or kept.search(upid))
        assert found == (expected[-1] if expected else None)

    @invariant()
    def nothing_is_left_behind(self):
        if hasattr(self, "folder") and self.paths.state_dir.exists():
            names = {path.name for path in self.paths.state_dir.iterdir()}
            assert names <= {"task-index.sqlite"}


TestHistory = History.TestCase
TestHistory.settings = settings(
    max_examples=settings.default.max_examples // 2,
    stateful_step_count=25,
    suppress_health_check=list(HealthCheck),
)


# --- a long history ---------------------------------------------------------------------------------


@pytest.fixture
def background(monkeypatch):
    started = []
    monkeypatch.setattr(programs, "start_pvefw", lambda *arguments: started.append(arguments))
    return started


def entry(number, **changes):
    upid = Upid("pve1", 2**22 + number, 1, 1000 + number, "vzdump", f"{number % 7}", "root@pam")
    return TaskEntry(dataclasses.replace(upid, **changes), 1005 + number, STATUSES[number % 4])


@pytest.fixture
def long(paths):
    """A history whose index is kept."""
    paths.task_dir.mkdir(parents=True)
    count = 2 * archive.SMALL // len(line(entry(0)))
    (paths.task_dir / "index").write_bytes(b"".join(line(entry(at)) for at in range(count)))
    return [entry(at) for at in range(count)]


def test_a_long_history_is_taken_in_from_its_end(paths, long, background, monkeypatch):
    monkeypatch.setattr(archive, "AT_ONCE", 5000)
    told = []
    found = history.tasks(paths, Filter(), limit=10, note=told.append)
    assert found == long[:-11:-1]
    assert told == ["The history is being indexed; older tasks are not listed until that is done."]
    assert background == [("task", "index", "--root", str(paths.root), "--node", "pve1")]
    # looked up by its id, each is known already
    assert history.status(paths, long[0].upid) == long[0]
    assert history.status(paths, long[-1].upid) == long[-1]
    seen = len(history.tasks(paths, Filter(), limit=len(long)))
    assert 0 < seen < len(long)
    assert archive.bring_up_to_date(paths) == len(long)
    assert history.tasks(paths, Filter(), limit=len(long), note=told.append) == long[::-1]
    assert len(told) == 1


@pytest.mark.parametrize("limit", [7, 50])
def test_page_after_page_of_all_sources_every_task_comes_once(paths, long, background, limit):
    """Those that are not archived lie between the others by their start, on the deepest page, too."""
    archive.bring_up_to_date(paths)
    count = len(long)
    started = [1000, 1001, 1003, 1003 + count // 2, 1004 + count // 2, 1000 + count, 2000 + count]
    others = [
        Upid("pve1", 2**21 + at, 1, start, "x", "", "root@pam") for at, start in enumerate(started)
    ]
    active = [f"{other} 0\n" for other in others]
    archived = [f"{task.upid} 1 {task.end:08X} {task.status}\n" for task in long[-3:]]
    (paths.task_dir / "active").write_text("".join([*active, *archived]))

    wanted = Filter(source="all")
    pages = []
    while page := history.tasks(paths, wanted, start=len(pages), limit=limit):
        assert len(page) == min(limit, count + len(others) - len(pages))
        pages += page
    assert pages == scan(paths, wanted)
    assert {shown.upid for shown in pages} == {*others, *(task.upid for task in long)}
    assert history.tasks(paths, wanted, start=10**9, limit=limit) == []


def test_the_process_in_the_background(paths, long, monkeypatch):
    """The one that is really started; its end is when it lets go of the lock."""
    monkeypatch.setattr(archive, "AT_ONCE", 5000)
    arguments = []
    monkeypatch.setattr(programs, "start_pvefw", lambda *given: arguments.extend(given))
    history.tasks(paths, Filter())
    done = subprocess.run(
        [sys.executable, "-m", "pvefw", *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{len(long)} ended tasks are in the index.\n"
    told = []
    assert history.tasks(paths, Filter(vmid=3), limit=10**6, note=told.append) == [
        task for task in reversed(long) if task.upid.id == "3"
    ]
    assert told == []


def test_who_cannot_keep_an_index_gets_the_whole_answer(paths, long, background, monkeypatch):
    monkeypatch.setattr(archive, "AT_ONCE", 5000)
    paths.state_dir.parent.mkdir(parents=True)
    paths.state_dir.write_text("a file in the place of the directory")
    told = []
    assert history.tasks(paths, Filter(), limit=10**6, note=told.append) == long[::-1]
    assert (told, background) == ([], [])


def test_an_index_that_cannot_be_written_any_more(paths, long, background, monkeypatch):
    archive.bring_up_to_date(paths)

    def full(self):
        raise Damaged("database or disk is full")

    monkeypatch.setattr(Index, "save", full)
    more = [entry(10**5 + at) for at in range(1000)]
    with (paths.task_dir / "index").open("ab") as file:
        file.writelines(map(line, more))
    assert history.tasks(paths, Filter(), limit=10**6) == [*long, *more][::-1]
    with pytest.raises(
        StoreError, match=r"task-index\.sqlite: could not write the file: database or"
    ):
        archive.bring_up_to_date(paths, rebuild=True)


nobody = only_root("becomes another user")


@pytest.fixture
def public(paths, long):
    """The same history where everybody may go."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shutil.copytree(paths.root, Path(folder) / "root")
        yield Paths(Path(folder) / "root", "pve1")


@nobody
@pytest.mark.parametrize("kept", [True, False])
def test_an_unprivileged_caller(public, long, kept):
    if kept:
        archive.bring_up_to_date(public)
    code = (
        "import os, sys; from pathlib import Path; from pvefw.store.paths import Paths\n"
        "from pvefw.tasks import history\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "paths = Paths(Path(sys.argv[1]), 'pve1')\n"
        "print(len(history.tasks(paths, history.Filter(errors=True), limit=10**6)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, public.root], capture_output=True, text=True, check=False
    )
    expected = [task for task in long if history.state(task) in ("ERROR", "UNKNOWN")]
    assert (done.stdout, done.stderr) == (f"{len(expected)}\n", "")
    assert public.task_index.exists() == kept


WORKS = """
    from pvefw.tasks import archive, history, registry
    from pvefw.tasks.upid import Upid
    archive._APPENDED = 500
    who = int(sys.stdin.readline())
    for number in range(60):
        upid = Upid("pve1", 2**22 + who, 1, 10**6 + number, "ours", str(who), "root@pam")
        registry.begin(paths, upid)
        registry.finish(paths, upid, 10**6, "OK")
        found = history.tasks(paths, history.Filter(type="ours", vmid=who), limit=100)
        assert len(found) == number + 1, (who, number, len(found))
        assert history.status(paths, upid).status == "OK"
    """


def test_several_processes_enter_and_list_at_once(program, paths, long):
    workers = [program(WORKS, stdin=subprocess.PIPE) for _ in range(3)]
    for who, worker in enumerate(workers):
        worker.stdin.write(f"{who}\n")
        worker.stdin.flush()
    for number in range(5):
        paths.task_index.unlink(missing_ok=True)
        if number % 2:
            paths.task_index.write_bytes(b"garbage")
        history.tasks(paths, Filter(vmid=1))
    for worker in workers:
        said, _ = worker.communicate(timeout=120)
        assert worker.returncode == 0, said
    assert len(history.tasks(paths, Filter(type="ours"), limit=1000)) == 180
    assert archive.bring_up_to_date(paths) == len(long) + 180


def test_lists_go_on_while_a_log_is_searched(paths, long, monkeypatch):
    """Who reads logs for long does not keep others from writing the index."""
    archive.bring_up_to_date(paths)
    reading, go_on = threading.Event(), threading.Event()

    def says(*_args):
        reading.set()
        return go_on.wait(60)

    monkeypatch.setattr(history, "_says", says)
    thread = threading.Thread(target=lambda: history.tasks(paths, Filter(text="x"), limit=1))
    thread.start()
    try:
        assert reading.wait(60)
        with (paths.task_dir / "index").open("ab") as file:
            file.write(line(entry(10**5)))
        assert archive.bring_up_to_date(paths) == len(long) + 1
    finally:
        go_on.set()
        thread.join()


WRONG = [
    "UPDATE task SET state = 3 - state",
    "UPDATE task SET id = id + 1",
    "UPDATE task SET place = place + 1",
    "UPDATE task SET start = start + 300",
    "UPDATE source SET low = 100",
    "UPDATE source SET high = high - 50",
    "UPDATE source SET high = 'x'",
    "UPDATE source SET mark = 0",
    "DELETE FROM source",
    "DROP TABLE word",
    "DROP INDEX by_id",
    "PRAGMA user_version = 7",
]


@pytest.mark.parametrize("statement", WRONG)
def test_an_index_that_says_something_else(paths, long, statement):
    archive.bring_up_to_date(paths)
    with contextlib.closing(sqlite3.connect(paths.task_index, isolation_level=None)) as connection:
        connection.execute(statement)
    wanted = Filter(errors=True, vmid=3, since=1200)
    expected = [task for task in reversed(long) if wanted.wants(task)]
    assert expected
    assert history.tasks(paths, wanted, limit=10**6) == expected
    assert history.status(paths, long[300].upid) == long[300]


def test_a_file_that_is_another_one_with_the_same_end(paths, long):
    archive.bring_up_to_date(paths)
    path = paths.task_dir / "index"
    data = path.read_bytes()
    data = data[:-1000].replace(b":vzdump:3:", b":vzdump:9:") + data[-1000:]
    files.replace(path, data)
    assert len(history.tasks(paths, Filter(vmid=9), limit=10**6)) == data.count(b":9:")
    assert len(history.tasks(paths, Filter(vmid=3), limit=10**6)) == data.count(b":3:")


def test_a_file_that_is_written_anew_in_its_place(paths, long):
    archive.bring_up_to_date(paths)
    path = paths.task_dir / "index"
    path.write_bytes(path.read_bytes().replace(b":vzdump:", b":backup:"))
    assert len(history.tasks(paths, Filter(type="backup"), limit=10**6)) == len(long)
    assert history.tasks(paths, Filter(type="vzdump")) == []


def test_a_journal_that_somebody_left_behind(paths, long):
    """A process was killed while it wrote the index, which then was replaced by garbage."""
    archive.bring_up_to_date(paths)
    journal = paths.task_index.with_name("task-index.sqlite-journal")
    with contextlib.closing(sqlite3.connect(paths.task_index, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.execute("UPDATE task SET state = 3 - state")
        left = journal.read_bytes()
        connection.execute("ROLLBACK")
    for data in (b"garbage", paths.task_index.read_bytes()):
        paths.task_index.write_bytes(data)
        journal.write_bytes(left)
        assert history.tasks(paths, Filter(vmid=3), limit=10**6) == [
            task for task in reversed(long) if task.upid.id == "3"
        ]
        assert not journal.exists()


def test_damage_to_any_page_of_the_index(paths, long):
    """Lists hold nothing that is not so, each task is known, and `task index` makes it whole."""
    archive.bring_up_to_date(paths)
    whole, page = paths.task_index.read_bytes(), 4096
    wanted = Filter(errors=True, vmid=3)
    expected = [task for task in reversed(long) if wanted.wants(task)]
    for at in range(0, len(whole), page):
        data = bytearray(whole)
        data[at + page // 4 : at + page // 2] = bytes(page // 4)
        paths.task_index.write_bytes(data)
        found = history.tasks(paths, wanted, limit=10**6)
        assert set(found) <= set(expected)
        assert history.status(paths, long[at % len(long)].upid) == long[at % len(long)]
        assert archive.bring_up_to_date(paths) == len(long)
        assert history.tasks(paths, wanted, limit=10**6) == expected


def test_an_index_that_others_bring_up_to_date_meanwhile(paths, long, monkeypatch):
    """It is ahead of the text file as that was opened, and is not taken for another's."""
    archive.bring_up_to_date(paths)
    made, indexed, more = paths.task_index.stat().st_ino, archive._indexed, entry(10**5)

    def later(path):
        monkeypatch.setattr(archive, "_indexed", indexed)
        with (paths.task_dir / "index").open("ab") as file:
            file.write(line(more))
        archive.bring_up_to_date(paths)
        return indexed(path)

    monkeypatch.setattr(archive, "_indexed", later)
    assert history.tasks(paths, Filter(), limit=10**6) == [*long, more][::-1]
    assert paths.task_index.stat().st_ino == made


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        (Filter(since=10**30), {}),
        (Filter(since=-(10**30), until=10**30), {}),
        (Filter(vmid=10**30), {}),
        (Filter(type="\udcff"), {}),
        (Filter(user="\udcff"), {}),
        (Filter(states=frozenset({"running"})), {}),
        (Filter(), {"start": 10**30}),
        (Filter(), {"limit": 10**30}),
    ],
)
def test_filters_that_sqlite_cannot_take(paths, long, wanted, part):
    archive.bring_up_to_date(paths)
    made = paths.task_index.stat().st_ino
    expected = list(filter(wanted.wants, reversed(long)))
    start, limit = part.get("start", 0), part.get("limit", 50)
    assert history.tasks(paths, wanted, **part) == expected[start : start + limit]
    assert paths.task_index.stat().st_ino == made


def test_lines_with_numbers_that_sqlite_cannot_keep(paths, long):
    """They are no tasks, and keep nobody from listing the others."""
    with (paths.task_dir / "index").open("ab") as file:
        for size in (16, 17, 40):
            number = b"F" * size
            file.write(b"UPID:pve1:%b:%b:6124E1B9:x::root@pam: 6124E1C0 OK\n" % (number, number))
    assert archive.bring_up_to_date(paths) == len(long)
    assert history.tasks(paths, Filter(), limit=10**6) == long[::-1]


OFTEN = {
    "by_id": Query(id="1", type="x", states={"ERROR"}, user="r", since=1),
    "by_type": Query(type="x", states={"OK"}, user="r", until=9),
    "not_ok": Query(states={"ERROR", "UNKNOWN"}, since=1),
    "PRIMARY KEY": Query(since=1, until=9, user="r"),
    "SCAN task": Query(user="r", states={"OK"}),
}


@pytest.mark.parametrize("index", OFTEN)
def test_no_list_sorts_or_looks_beside_the_index_that_it_goes_through(index):
    with contextlib.closing(Index(None, create=True)) as kept:
        wanted = OFTEN[index]
        plan = kept._connection.execute(
            f"EXPLAIN QUERY PLAN {wanted.query({7})}", wanted.values()
        ).fetchall()
    steps = [step for *_, step in plan if " task" in step or "ORDER" in step]
    assert len(steps) == 1, plan
    assert index in steps[0]
    assert "COVERING" in steps[0] or index not in ("by_id", "by_type", "not_ok")
