"""Retention: what goes, what stays, and that lines and logs go together whatever interrupts it."""

import os
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from pvefw.host import programs
from pvefw.store import files, node_settings
from pvefw.store.node import Node
from pvefw.tasks import archive, history, registry, retention
from pvefw.tasks.history import Filter
from pvefw.tasks.task import run_task
from pvefw.tasks.upid import Upid, process_start

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def task(number, *, end=None):
    """The line of a task that ended so many days before now."""
    days = timedelta(days=100 - number)
    stamp = int((NOW - days).timestamp())
    upid = Upid("pve1", 2**22 + number, 1, stamp - 60, "vzdump", f"{number}", "root@pam")
    return upid, f"{upid} {stamp if end is None else end:08X} OK\n"


@pytest.fixture
def started(monkeypatch):
    """The commands that were started in the background."""
    commands = []
    monkeypatch.setattr(programs, "start_pvefw", lambda *arguments: commands.append(arguments))
    return commands


@pytest.fixture
def upids(paths):
    """A hundred tasks, one a day, with logs; the older half in the file that was rotated."""
    tasks = [task(number) for number in range(100)]
    files.replace(paths.task_dir / "index.1", "".join(line for _, line in tasks[:50]).encode())
    files.replace(paths.task_dir / "index", "".join(line for _, line in tasks[50:]).encode())
    for upid, _ in tasks:
        files.replace(upid.log_path(paths), b"TASK OK\n")
    return [upid for upid, _ in tasks]


def keep(paths, **values):
    node_settings.change(
        paths, {f"task-history-{key}": str(value) for key, value in values.items()}
    )


def there(paths):
    """The tasks in the lists, oldest first; their logs must be the ones that there are."""
    listed = [entry.upid for entry in registry.indexed(paths)]
    logs = {path.name for path in paths.task_dir.glob("?/*")}
    assert logs == {str(upid) for upid in listed}
    return listed


def test_everything_is_kept_by_default(paths, upids):
    assert retention.prune(paths, NOW) == 0
    assert there(paths) == upids


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ({"count": 30}, 30),
        ({"count": 70}, 70),
        ({"count": 1000}, 100),
        ({"days": 10}, 10),
        ({"days": 70}, 70),
        ({"count": 30, "days": 10}, 10),
        ({"count": 10, "days": 30}, 10),
    ],
)
def test_by_count_and_by_age(paths, upids, values, kept):
    keep(paths, **values)
    assert retention.prune(paths, NOW, dry_run=True) == 100 - kept
    assert there(paths) == upids
    assert retention.prune(paths, NOW) == 100 - kept
    assert there(paths) == upids[100 - kept :]
    assert [entry.upid for entry in history.tasks(paths, Filter(), limit=200)] == upids[
        : -1 - kept : -1
    ]
    assert retention.prune(paths, NOW) == 0


def test_what_is_not_understood_owner_and_mode_stay(paths, upids):
    path = paths.task_dir / "index"
    path.write_bytes(b"garbage \xff\n" + path.read_bytes() + b"UPID:torn")
    path.chmod(0o640)
    keep(paths, count=1)
    retention.prune(paths, NOW)
    assert path.read_bytes() == b"garbage \xff\n" + task(99)[1].encode() + b"UPID:torn"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_task_that_was_entered_twice_is_as_old_as_its_last_line(paths, upids):
    with (paths.task_dir / "index").open("a") as file:
        file.write(task(0)[1])
    keep(paths, count=10)
    retention.prune(paths, NOW)
    assert upids[0] in there(paths)


def test_a_running_task_is_not_touched(paths, upids):
    """Not even where the index takes it for ended, or it started long ago."""
    upid = Upid("pve1", os.getpid(), process_start(os.getpid()), 1, "vzdump", "1", "root@pam")
    registry.begin(paths, upid)
    with (paths.task_dir / "index").open("a") as file:
        file.write(f"{upid} 00000001 OK\n")
    files.replace(upid.log_path(paths), b"working\n")
    keep(paths, days=1)
    retention.prune(paths, NOW)
    assert upid.log_path(paths).exists()
    assert [active.upid for active in registry.active(paths) if active.end is None] == [upid]


def test_recent_tasks_are_struck_off_their_list_too(paths, upids):
    with run_task(paths, "x") as mine:
        pass
    [(line, entry)] = [(str(active.upid), active) for active in registry.active(paths)]
    assert entry.saved
    keep(paths, days=1)
    retention.prune(paths, datetime.now(UTC) + timedelta(days=5))
    assert line == str(mine.upid)
    assert registry.active(paths) == []
    assert there(paths) == []


def test_the_index_follows(paths, upids, monkeypatch):
    monkeypatch.setattr(archive, "SMALL", 0)
    archive.bring_up_to_date(paths)
    keep(paths, count=5)
    retention.prune(paths, NOW)
    assert archive.bring_up_to_date(paths) == 5
    assert history.tasks(paths, Filter(vmid=1)) == []
    assert len(history.tasks(paths, Filter())) == 5


PRUNES = """
    import os
    from datetime import datetime
    from pvefw.store import files
    from pvefw.tasks import retention
    at = int(sys.stdin.readline())
    done = 0

    def counted(original):
        def call(*arguments, **options):
            global done
            done += 1
            if done == at:
                os.kill(os.getpid(), 9)
            return original(*arguments, **options)
        return call

    for name in ("open", "unlink", "rename", "replace", "fsync", "write"):
        setattr(os, name, counted(getattr(os, name)))
    print(retention.prune(paths, datetime.fromisoformat(sys.stdin.readline().strip())))
    """


@pytest.mark.parametrize("at", [1, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 60, 100])
def test_a_kill_at_any_moment(program, paths, upids, at):
    keep(paths, count=20)
    process = program(PRUNES, stdin=subprocess.PIPE)
    process.communicate(f"{at}\n{NOW.isoformat()}\n", timeout=60)
    listed = [entry.upid for entry in registry.indexed(paths)]
    assert listed[-20:] == upids[-20:]
    # a line has its log, or it is written down that it goes
    going = paths.task_removals.read_text().split() if paths.task_removals.exists() else []
    assert all(upid.log_path(paths).exists() or str(upid) in going for upid in listed)
    retention.prune(paths, NOW)
    assert there(paths) == upids[-20:]
    assert not paths.task_removals.exists()


def test_an_interrupted_removal_is_finished_though_the_setting_has_gone(paths, upids):
    files.replace(paths.task_removals, f"{upids[3]}\ngarbage\n../../x".encode())
    assert retention.prune(paths, NOW) == 0
    assert there(paths) == [*upids[:3], *upids[4:]]


# --- when it happens --------------------------------------------------------------------------------


def end_a_task(paths, type_="x"):
    heard = []
    with run_task(paths, type_, echo=heard.append):
        pass
    return heard


def test_the_first_task_of_a_day_that_ends_starts_it(paths, started):
    end_a_task(paths)
    assert started == []
    keep(paths, count=5)
    end_a_task(paths, "taskprune")
    assert started == []
    end_a_task(paths)
    assert started == [("task", "prune", "--root", str(paths.root), "--node", "pve1")]
    retention.prune(paths, datetime.now(UTC))
    end_a_task(paths)
    assert len(started) == 1
    for days in (-2, 2):  # a day has passed, or the clock was set back
        stamp = (datetime.now(UTC) + timedelta(days=days)).timestamp()
        paths.task_retention.write_text(str(stamp))
        end_a_task(paths)
    assert len(started) == 3


def test_the_day_is_one_of_our_clock(paths):
    """The log may be on a server whose clock is another."""
    at = datetime.now(UTC) + timedelta(days=3)
    keep(paths, count=5)
    retention.prune(paths, at)
    node = Node.open(paths)
    assert not retention.is_due(node, at + timedelta(hours=23))
    assert retention.is_due(node, at + timedelta(hours=25))


@pytest.mark.parametrize("note", ["", "yesterday", "\0" * 20])
def test_a_note_that_says_nothing_is_none(paths, note):
    keep(paths, count=5)
    files.replace(paths.task_retention, note.encode())
    assert retention.is_due(Node.open(paths), datetime.now(UTC))


@pytest.mark.parametrize("years", [-50, 50])
def test_a_clock_that_leaps_does_not_cost_the_history(paths, started, years):
    keep(paths, days=30)
    retention.prune(paths, datetime.now(UTC))
    stamp = (datetime.now(UTC) - timedelta(days=365 * years)).timestamp()
    paths.task_retention.write_text(str(stamp))
    end_a_task(paths)
    end_a_task(paths)
    assert started == []


def test_a_wrong_setting_is_said(paths, started):
    files.replace(paths.cluster_pvefw_cfg, b"task-history-days: soon\n")
    [warning] = end_a_task(paths)
    assert "task-history-days: 'soon' is not a whole number from 1 to 36500" in warning
    assert "1..36500" in warning
    assert started == []


def test_with_a_wrong_setting_everything_is_kept(paths):
    files.replace(paths.cluster_pvefw_cfg, b"task-history-days: 1\ntask-history-count: 1\n")
    files.replace(paths.node_pvefw_cfg(), b"task-history-days: 30 days\n")
    assert retention.rule(Node.open(paths)).everything
