"""Tasks that go on by themselves: `--detach`, `task log --follow`, `task stop`."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pexpect
import pytest

from pvefw.cli import detached
from pvefw.core.errors import NotFound
from pvefw.host import programs
from pvefw.tasks import control, history, registry
from pvefw.tasks.task import run_task
from pvefw.tasks.upid import Upid, process_start, runs

PVEFW = [sys.executable, "-m", "pvefw"]
DELAY = "waiting 60 s before the first guest"


@pytest.fixture
def env(paths):
    """A node on which a task of the boot waits for a minute."""
    surroundings = {**os.environ, "PVEFW_ROOT": str(paths.root), "PVEFW_NODE": paths.node}
    paths.cluster_pvefw_cfg.parent.mkdir(parents=True)
    paths.cluster_pvefw_cfg.write_text("guest: libvirt\n\turi test:///default\n")
    setting = [*PVEFW, "config", "set", "--startall-onboot-delay", "60"]
    subprocess.run(setting, env=surroundings, check=True, capture_output=True, timeout=60)
    return surroundings


@pytest.fixture
def started(paths):
    """UPIDs of tasks that are killed with the test, if they still run."""
    upids = []
    yield upids
    for upid in upids:
        if runs(upid):
            os.kill(upid.pid, signal.SIGKILL)


def pvefw(env, *arguments, status=0):
    done = subprocess.run(
        [*PVEFW, *arguments], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def standard_streams(upid):
    """What the task's process reads from and writes to; other files come and go while it works."""
    return {str(Path(f"/proc/{upid.pid}/fd/{number}").readlink()) for number in range(3)}


def wait_for_line(paths, upid, text):
    """Return when the log has it; the test fails where it ends without."""
    assert any(text in line for line in control.follow(paths, upid))


def test_the_id_is_printed_and_the_task_goes_on(paths, env, started):
    said = pvefw(env, "boot-guests", "--detach")
    upid = Upid.parse(said.strip())
    started.append(upid)
    assert said == f"{upid}\n"
    assert upid.type == "startall"
    assert history.state(history.status(paths, upid)) == "RUNNING"
    assert os.getsid(upid.pid) == upid.pid
    if os.geteuid() == 0:  # it may hold keys: its own user may not look into it
        assert standard_streams(upid) == {os.devnull}
    wait_for_line(paths, upid, DELAY)
    stopped = pvefw(env, "task", "stop", str(upid))
    assert stopped == "The task has ended: interrupted by signal\n"
    assert list(history.log(paths, upid))[-1] == "TASK ERROR: interrupted by signal"
    assert pvefw(env, "task", "stop", str(upid)) == stopped


def test_it_outlives_its_terminal(paths, env, started):
    terminal = pexpect.spawn("/bin/sh", env=env, encoding="utf-8", timeout=60)
    terminal.sendline(f"{sys.executable} -m pvefw boot-guests --detach; echo do''ne")
    terminal.expect(r"(UPID:\S+)")
    upid = Upid.parse(terminal.match[1])
    started.append(upid)
    terminal.expect_exact("done")
    terminal.close(force=True)  # hangs up, as closing the window or the connection does
    assert not terminal.isalive()
    wait_for_line(paths, upid, DELAY)
    assert runs(upid)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_it_outlives_its_callers_group(paths, env, started, number):
    code = "import subprocess, sys; subprocess.run(sys.argv[1:]); sys.stdin.read()"
    caller = subprocess.Popen(
        [sys.executable, "-c", code, *PVEFW, "boot-guests", "--detach"],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with caller:
        upid = Upid.parse(caller.stdout.readline().strip())
        started.append(upid)
        os.killpg(caller.pid, number)
        caller.wait(60)
    wait_for_line(paths, upid, DELAY)
    assert runs(upid)


def test_a_command_that_fails_before_its_task_says_so(env):
    plain = pvefw(env, "migrateall", "pve1", status=2)
    assert "pve1 is this node" in plain
    assert pvefw(env, "migrateall", "pve1", "--detach", status=2) == plain


def test_a_command_without_a_task_is_as_ever(env):
    plain = pvefw(env, "task", "list", "--output-format", "json")
    assert json.loads(plain) == []
    assert pvefw(env, "--detach", "task", "list", "--output-format", "json") == plain


def test_it_gets_a_unit_of_its_own_where_systemd_runs(
    paths, env, started, monkeypatch, tmp_path, capsys
):
    """A stand-in for systemd-run, as no systemd runs here."""
    program = tmp_path / "systemd-run"
    program.write_text(
        f'#!/bin/sh\necho "$@" >{tmp_path}/called\n'
        'while [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n'
    )
    program.chmod(0o755)
    for name, value in {**env, "PATH": f"{tmp_path}:{os.environ['PATH']}"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(programs, "_SYSTEMD", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert detached.run_apart(["boot-guests", "--detach"]) == 0
    upid = Upid.parse(capsys.readouterr().out.strip())
    started.append(upid)
    options, _, command = (tmp_path / "called").read_text().partition(" -- ")
    assert options.startswith("--scope --collect --quiet --unit=pvefw-task-")
    assert command.split()[1:] == ["-m", "pvefw", "boot-guests", "--detach"]
    wait_for_line(paths, upid, DELAY)


WRITES = """
    with run_task(paths, "x") as task:
        print(task.upid, flush=True)
        for line in sys.stdin:
            task.log(line.rstrip())
    """


@pytest.mark.parametrize("start", [0, 2])
def test_a_log_is_followed_to_its_end(program, paths, start):
    worker = program(WRITES, stdin=subprocess.PIPE)
    upid = Upid.parse(worker.stdout.readline().strip())
    lines, seen, first = [], threading.Event(), f"line {start}"

    def read():
        for line in control.follow(paths, upid, start=start):
            lines.append(line)
            if line == first:
                seen.set()

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(start + 1):
        print(f"line {number}", file=worker.stdin, flush=True)
    assert seen.wait(30), lines
    print("the last", file=worker.stdin, flush=True)
    worker.stdin.close()
    reader.join(30)
    assert lines == [first, "the last", "TASK OK"]


def test_a_log_that_nobody_writes_any_more(paths, env):
    with run_task(paths, "x") as task:
        task.log("a line")
    found = json.loads(
        pvefw(env, "task", "log", "--follow", str(task.upid), "--output-format", "json")
    )
    assert found == [{"n": 1, "t": "a line"}, {"n": 2, "t": "TASK OK"}]
    with task.upid.log_path(paths).open("a") as file:
        file.write("without end")
    assert list(control.follow(paths, task.upid, start=1)) == ["TASK OK", "without end"]
    assert list(control.follow(paths, task.upid, start=9)) == []


def test_a_process_that_goes_on_after_its_task_is_left_alone(paths):
    with run_task(paths, "x") as task:
        pass
    assert runs(task.upid)
    assert control.stop(paths, task.upid, 30).status == "OK"


def test_another_process_with_the_same_pid_is_not_stopped(paths):
    with subprocess.Popen(["sleep", "infinity"]) as other:
        upid = Upid(
            "pve1", other.pid, (process_start(other.pid) or 0) + 1, 1000, "x", "", "root@pam"
        )
        registry.begin(paths, upid)
        assert control.stop(paths, upid, 0).status == registry.UNEXPECTED
        assert other.poll() is None
        other.kill()


def test_a_task_that_takes_its_time_to_end(program, paths, env):
    worker = program(
        """
        with run_task(paths, "x") as task:
            try:
                print(task.upid, flush=True)
                task.wait(60)
            finally:
                sys.stdin.readline()
        """,
        stdin=subprocess.PIPE,
    )
    upid = Upid.parse(worker.stdout.readline().strip())
    found = control.stop(paths, upid, 0.1)
    assert history.state(found) == "RUNNING"
    print(file=worker.stdin, flush=True)
    assert control.stop(paths, upid, 30).status == "interrupted by signal"


def test_tasks_that_are_not_known(paths):
    with pytest.raises(NotFound, match="not known on this node"):
        control.stop(paths, Upid("pve1", 1, 1, 1, "x", "", "root@pam"), 0)
    with pytest.raises(NotFound, match="no log"):
        list(control.follow(paths, Upid("pve1", 1, 1, 1, "x", "", "root@pam")))
