"""`pvefw task` as an administrator sees it, on histories of ours and of Proxmox VE's."""

import json
import os
import signal
import subprocess
import sys

import pytest

from pvefw.store import files
from pvefw.tasks import history
from pvefw.tasks.latest import latest
from pvefw.tasks.task import run_task
from pvefw.tasks.upid import Upid, process_start

ODD = "UPID:node-2:0003F1A2:1A1B2C3D4:65A0B1C2:aptupdate::root@pam:"
# what Proxmox VE writes: API tokens as users, realms, ids with dots and dashes, long uptimes
INDEX_1 = f"""\
UPID:pve1:00000A11:0000C0DE:659F0001:startall::root@pam: 659F0009 OK
UPID:pve1:00000A12:0000C0DF:659F0002:qmstart:100:admin@pve!auto-1: 659F000A OK
UPID:pve1:00000A13:0000C0E0:659F0003:vzdump::backup@pbs: 659F0100 job errors
UPID:pve1:00000A14:0000C0E1:659F0004:vncproxy:101:a.b+c@ldap.example: 659F0101 unexpected status
UPID:pve1:00000A15:0000C0E2:659F0005:imgdel:100@local\\x3alvm-1:root@pam: 659F0102 command '/x: y' failed
{ODD} 65A0B1D0 OK
"""
INDEX = """\
UPID:pve1:00000B11:0010C0DE:65A10001:qmigrate:100:root@pam: 65A10011 WARNINGS: 2
UPID:pve1:00000B12:0010C0DF:65A10002:download:debian-12.iso:root@pam: 65A10012 interrupted by signal
"""
ACTIVE = """\
UPID:pve1:00000B12:0010C0DF:65A10002:download:debian-12.iso:root@pam: 1 65A10012 interrupted by signal
UPID:pve1:00000B13:0010C0E0:65A10003:vzstart:200:root@pam: 0 65A10013 OK
UPID:pve1:003FFFFF:0010C0E1:65A10004:spiceshell::root@pam: 0
RUNNING 0
"""


def pvefw(paths, *arguments, status=0):
    done = subprocess.run(
        [sys.executable, "-m", "pvefw", "task", *arguments],
        env={**os.environ, "PVEFW_ROOT": str(paths.root), "PVEFW_NODE": paths.node},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if status == 0 else done.stderr


def listed(paths, *arguments):
    return json.loads(pvefw(paths, "list", "--output-format", "json", *arguments))


def running():
    return Upid(
        "pve1", os.getpid(), process_start(os.getpid()), 0x65A20000, "vzdump", "7", "root@pam"
    )


@pytest.fixture
def theirs(paths):
    """A history of Proxmox VE's own."""
    for name, text in (("index.1", INDEX_1), ("index", INDEX), ("active", ACTIVE)):
        data = text.replace("RUNNING", str(running())).encode()
        files.replace(paths.task_dir / name, data)
    killed = Upid.parse(ACTIVE.splitlines()[2].split()[0])
    files.replace(killed.log_path(paths), b"starting shell\n")
    files.replace(Upid.parse(ODD).log_path(paths), b"hello\nstarting apt-get update\nTASK OK\n")
    return paths


# --- Proxmox VE's history ---------------------------------------------------------------------------


def test_it_is_listed_as_it_is(theirs):
    before = {name: (theirs.task_dir / name).read_text() for name in ("index", "index.1")}
    found = listed(theirs, "--source", "all")
    assert [row["upid"] for row in found] == [
        str(running()),
        *(line.split()[0] for line in reversed(ACTIVE.splitlines()[:3])),
        INDEX.split(maxsplit=1)[0],
        *(line.split()[0] for line in reversed(INDEX_1.splitlines())),
    ]
    by_type = {row["type"]: row for row in found}
    assert [row["status"] for row in found if row["type"] == "vzdump"] == ["RUNNING", "job errors"]
    assert by_type["imgdel"] == {
        "upid": r"UPID:pve1:00000A15:0000C0E2:659F0005:imgdel:100@local\x3alvm-1:root@pam:",
        "node": "pve1",
        "pid": 0xA15,
        "pstart": 0xC0E2,
        "starttime": 0x659F0005,
        "type": "imgdel",
        "id": r"100@local\x3alvm-1",
        "user": "root@pam",
        "endtime": 0x659F0102,
        "status": "command '/x: y' failed",
    }
    assert by_type["qmigrate"]["status"] == "WARNINGS: 2"
    assert by_type["aptupdate"]["pstart"] == 0x1A1B2C3D4
    # the ends that were not entered are in the index now; what was there stays
    assert (theirs.task_dir / "index.1").read_text() == before["index.1"]
    assert (theirs.task_dir / "index").read_text().startswith(before["index"])


@pytest.mark.parametrize(
    ("arguments", "types"),
    [
        (["--errors"], "spiceshell download imgdel vncproxy vzdump"),
        (["--vmid", "100"], "qmigrate qmstart"),
        (["--limit", "2"], "spiceshell vzstart"),
        (["--start", "1", "--limit", "1"], "vzstart"),
        (["--since", str(0x65A10002)], "spiceshell vzstart download"),
        (["--until", str(0x659F0002)], "qmstart startall"),
        (["--since", str(0x659F0003), "--until", str(0x659F0004)], "vncproxy vzdump"),
        (["--source", "active"], "vzdump"),
        (["--source", "all", "--limit", "2"], "vzdump spiceshell"),
        (["--typefilter", "vzdump"], "vzdump"),
        (["--typefilter", "vz"], ""),
        (["--statusfilter", "warning"], "qmigrate"),
        (["--statusfilter", "warning, unknown"], "spiceshell qmigrate vncproxy"),
        (["--statusfilter", "running", "--source", "all"], "vzdump"),
        (["--userfilter", "AUTO"], "qmstart"),
        (["--grep", "apt-get"], "aptupdate"),
        (["--grep", "shell", "--errors", "--since", "1"], "spiceshell"),
        (["--grep", "nowhere"], ""),
        (["-errors", "-vmid", "101"], "vncproxy"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_every_filter(theirs, arguments, types):
    assert [row["type"] for row in listed(theirs, *arguments)] == types.split()


def test_what_is_no_status(theirs):
    said = pvefw(theirs, "list", "--statusfilter", "ok,bad", status=2)
    assert "'bad' is not a status" in said
    assert "ok, warning, error, unknown, running" in said


def test_logs_from_a_line_on(theirs):
    assert pvefw(theirs, "log", ODD) == "hello\nstarting apt-get update\nTASK OK\n"
    assert pvefw(theirs, "log", ODD, "--start", "2") == "TASK OK\n"
    assert pvefw(theirs, "log", ODD, "--start", "9") == ""
    gone = INDEX.split(maxsplit=1)[0]
    said = pvefw(theirs, "log", gone, status=1)
    assert "there is no log of this task on this node" in said
    assert "pvefw task list --source all" in said
    assert "is not a task id" in pvefw(theirs, "log", "x", status=2)


def test_how_each_ended(theirs):
    def status(upid):
        return json.loads(pvefw(theirs, "status", upid, "--output-format", "json"))

    assert status(str(running()))["status"] == "running"
    assert "exitstatus" not in status(str(running()))
    ended = status(INDEX.split(maxsplit=1)[0])
    assert (ended["status"], ended["exitstatus"]) == ("stopped", "WARNINGS: 2")
    assert "explanation" not in ended
    killed = status(ACTIVE.splitlines()[2].split()[0])
    assert killed["exitstatus"] == "unexpected status"
    assert "killed (SIGKILL" in killed["explanation"]


def test_a_recycled_pid_is_not_the_task(theirs):
    """The pid is ours, but another process had it when the task began."""
    recycled = Upid("pve1", os.getpid(), process_start(os.getpid()) - 1, 5, "old", "", "root@pam")
    with (theirs.task_dir / "active").open("a") as file:
        file.write(f"{recycled} 0\n")
    [found] = listed(theirs, "--typefilter", "old")
    assert found["status"] == "unexpected status"
    assert [row["type"] for row in listed(theirs, "--source", "active")] == ["vzdump"]


# --- ours -----------------------------------------------------------------------------------------


def test_a_task_that_was_killed_shows_as_such(program, paths):
    process = program(
        """
        with run_task(paths, "vzdump", "100", echo=echo) as task:
            task.log("working")
            task.wait(60)
        """
    )
    assert process.stdout.readline() == "working\n"
    [found] = listed(paths, "--source", "active")
    assert found["status"] == "RUNNING"
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert listed(paths, "--source", "active") == []
    [found] = listed(paths, "--errors")
    assert found["status"] == "unexpected status"
    assert pvefw(paths, "list").splitlines()[1].split()[-1] == "UNKNOWN"
    said = pvefw(paths, "status", found["upid"])
    assert "stopped" in said
    assert history.KILLED in said


@pytest.mark.parametrize("piece", [1, 25, 64])
def test_a_text_is_found_wherever_it_stands_in_a_log(paths, monkeypatch, piece):
    monkeypatch.setattr(history, "_PIECE", piece)
    text = "the text that is looked for"
    for before in (0, 1, 40, 63, 64, 65, 1000):
        with run_task(paths, "x", f"{before}") as task:
            task.log("y" * before + text)
        with run_task(paths, "x", f"not{before}") as task:
            task.log("y" * before + text[:-1])
    found = history.tasks(paths, history.Filter(text=text), limit=100)
    assert [entry.upid.id for entry in found] == ["1000", "65", "64", "63", "40", "1", "0"]
    page = history.tasks(paths, history.Filter(text=text), start=2, limit=3)
    assert page == found[2:5]
    assert len(history.tasks(paths, history.Filter(text="y", source="all"), limit=100)) == 12


def test_the_log_of_a_running_task_is_searched_too(paths):
    with run_task(paths, "x") as task:
        task.log("so far")
        [found] = history.tasks(paths, history.Filter(text="so far", source="all"))
        assert found.upid == task.upid


def test_index_and_prune(paths):
    for number in range(5):
        with run_task(paths, "x", str(number)):
            pass
    assert pvefw(paths, "index") == "5 ended tasks are in the index.\n"
    paths.task_index.write_bytes(b"garbage")
    assert pvefw(paths, "index") == "5 ended tasks are in the index.\n"
    assert pvefw(paths, "index", "--rebuild") == "5 ended tasks are in the index.\n"
    assert pvefw(paths, "prune", "--dry-run") == "0 tasks would be removed.\n"
    files.replace(paths.cluster_pvefw_cfg, b"task-history-count: 2\n")
    assert pvefw(paths, "prune", "--dry-run") == "3 tasks would be removed.\n"
    assert pvefw(paths, "prune") == "3 tasks removed.\nTask OK\n"
    assert [row["id"] for row in listed(paths)] == ["", "4", "3"]


# --- for completion ---------------------------------------------------------------------------------


def test_the_latest_ids(theirs):
    assert latest(theirs.task_dir)[0] == str(running())
    assert set(latest(theirs.task_dir)) == {
        str(running()),
        *(line.split()[0] for line in [*ACTIVE.splitlines()[:3], *INDEX.splitlines()]),
    }
    assert latest(theirs.task_dir, INDEX[:30]) == [INDEX.split(maxsplit=1)[0]]
    assert latest(theirs.task_dir, limit=2) == latest(theirs.task_dir)[:2]
    assert latest(theirs.task_dir / "nowhere") == []


def test_the_latest_of_many_ids_are_read_from_the_end(paths):
    lines = [f"UPID:pve1:{at:08X}:00000001:00000001:x:{at % 1000}:u@pam:" for at in range(5000)]
    text = "".join(f"{line} 00000002 OK\n" for line in lines)
    files.replace(paths.task_dir / "index", text.encode())
    assert latest(paths.task_dir, limit=100) == lines[:-101:-1]
    assert latest(paths.task_dir, lines[7]) == [lines[7]]


def test_completion_imports_nothing_heavy():
    code = (
        "import sys; before = set(sys.modules); import pvefw.tasks.latest;"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"sqlite3", "click", "subprocess", "pvefw.tasks.history"} & set(done.stdout.split())
