"""Scripts of several providers in one order: each is alone, and gone when pvefw goes."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from privileges import only_root
from waiting import wait_until

from pvefw.api import ProviderError, Sandbox, TxtRecord, run
from pvefw.host import confinement, leftovers, programs
from pvefw.testing.fakes import FakeTask
from pvefw_acme_dns_generic.acmesh import ScriptedDns
from pvefw_acme_dns_generic.runner import Script

needs_bubblewrap = pytest.mark.skipif(
    bool(Sandbox.obstacle()), reason="needs bubblewrap, and namespaces"
)
RECORD = TxtRecord("_acme-challenge.a.test.", "v")


def provider(tmp_path, name, body, **more):
    path = tmp_path / f"dns_{name}.sh"
    path.write_text(f"dns_{name}_add() {{\n{body}\n}}\ndns_{name}_rm() {{ :; }}\n")
    return ScriptedDns(Script(name, path, {"TOKEN": "t0p-secret-token"}, **more))


def shell(code, **more):
    return run(["sh", "-c", code], sandbox=Sandbox(**more), check=False, timeout=30.0).stdout


@needs_bubblewrap
def test_one_script_sees_no_other_process_and_none_of_its_files():
    """The first one runs while the second looks everywhere."""
    program = """if True:
        from pvefw.api import *
        code = 'echo t0p-secret > $HOME/private; exec sleep infinity'
        run(['sh', '-c', code], input='t0p-secret', sandbox=Sandbox(), timeout=60)
        """
    process = subprocess.Popen([sys.executable, "-c", program])
    try:
        wait_until(lambda: children(process.pid, "sleep"), "the first runs")
        [sleeper] = children(process.pid, "sleep")
        said = shell(
            "ls /proc | grep -c '^[0-9]'; cat /proc/[0-9]*/cmdline | tr '\\0' ' ';"
            f"echo; cat /proc/{sleeper}/environ /proc/{sleeper}/root/tmp/private 2>&1;"
            "ls -A /tmp /var/tmp /dev/shm /run; cat /proc/sys/kernel/hostname"
        )
        if os.geteuid() == 0:
            mine = int(shell("id -u"))
            assert Path(f"/proc/{sleeper}").stat().st_uid not in (mine, 65534, 0)
    finally:
        process.kill()
        process.wait()
    assert "sleep infinity" not in said
    assert "t0p" not in said
    assert int(said.split()[0]) < 10
    wait_until(lambda: not Path(f"/proc/{sleeper}").exists(), "it goes when pvefw is killed")


def children(pid, name):
    """Processes below another one with this name."""
    found, level = [], [pid]
    while level:
        parent = level.pop()
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            level += map(int, task.read_text().split())
        try:
            if parent != pid and Path(f"/proc/{parent}/comm").read_text().strip() == name:
                found.append(parent)
        except OSError:
            continue
    return found


@needs_bubblewrap
@pytest.mark.parametrize("place", ["/etc/pve", "/root", "/home", "/run", "/var/log", "/etc/ssh"])
def test_nothing_secret_is_seen(place):
    if not Path(place).is_dir():
        pytest.skip(f"there is no {place} here")
    said = shell(
        f"find {place} -mindepth 1 -type f | head -5; touch {place}/x 2>&1; ls {place}/x 2>&1"
    )
    assert not re.search(rf"^{place}/", said, re.MULTILINE)


@needs_bubblewrap
def test_nothing_is_written_elsewhere_and_not_without_end(tmp_path):
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        if parent != Path("/tmp") and parent.is_relative_to("/tmp"):
            parent.chmod(0o755)
    said = shell(f"touch {tmp_path}/x /usr/x /etc/x 2>&1; echo; echo $HOME", disk=1 << 20)
    assert list(tmp_path.iterdir()) == []
    assert said.split()[-1] == "/tmp"
    said = shell("for n in 1 2 3 4; do head -c 600000 /dev/zero > /tmp/$n; done 2>&1", disk=1 << 20)
    assert "No space left" in said


@needs_bubblewrap
def test_a_directory_that_is_given_to_a_script_is_its_own(tmp_path):
    for parent in (tmp_path, *tmp_path.parents):
        if parent != Path("/tmp") and parent.is_relative_to("/tmp"):
            parent.chmod(0o755)
    given = tmp_path / "given"
    given.mkdir(mode=0o700)
    shell("echo result > $TMPDIR/result", workdir=given)
    assert (given / "result").read_text() == "result\n"


def test_without_namespaces_scripts_are_refused(tmp_path, monkeypatch, task):
    monkeypatch.setattr(programs, "_refusal", lambda: "namespaces are not allowed here")
    with pytest.raises(ProviderError, match="cannot be kept apart") as caught:
        provider(tmp_path, "x", ":").dns_add(records=[RECORD], task=task)
    assert "unconfined 1" in caught.value.hint
    assert caught.value.unchanged


def test_where_that_is_allowed_the_log_says_so(tmp_path, monkeypatch, task):
    monkeypatch.setattr(programs, "_refusal", lambda: "namespaces are not allowed here")
    provider(tmp_path, "x", "_info it ran", unconfined=True).dns_add(records=[RECORD], task=task)
    assert "is not kept apart from other programs: namespaces are not allowed" in task.lines[0]
    assert task.lines[1] == "it ran"


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    program = (
        "import sys, os, signal, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from pvefw.host import leftovers\n"
        "with leftovers.directory() as path: (path / 'secret').touch(); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    with leftovers.directory() as mine, leftovers.directory() as other:
        assert sorted(tmp_path.iterdir()) == sorted([mine, other])
    assert list(tmp_path.iterdir()) == []


def deep(place):
    """A directory with more directories within each other than Python has frames."""
    place.mkdir()
    here = os.open(place, os.O_PATH)
    for _ in range(2000):
        os.mkdir("a", dir_fd=here)
        there = os.open("a", os.O_PATH, dir_fd=here)
        os.close(here)
        here = there
    os.close(here)


def test_directories_within_each_other_stop_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    deep(tmp_path / "pvefw-run-999999-1-left")
    with leftovers.directory() as mine:
        assert list(tmp_path.iterdir()) == [mine]
        deep(mine / "made")
    assert list(tmp_path.iterdir()) == []


@only_root("gives files away")
def test_only_what_ours_left_is_removed(tmp_path, monkeypatch):
    """Everybody can make a directory of that name, and fill it for as long as it is being removed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    theirs, given = (tmp_path / f"pvefw-run-999999-1-{name}" for name in ("theirs", "given"))
    for folder, owner in ((theirs, 4711), (given, confinement.own_id())):
        folder.mkdir()
        os.chown(folder, owner, owner)
    (tmp_path / "pvefw-run-999999-1-link").symlink_to(theirs)
    leftovers.remove_those_of_the_dead()
    assert theirs.is_dir()
    assert not given.exists()


def test_user_ids_are_nobodys_and_differ():
    found = {confinement.own_id() for _ in range(50)}
    assert len(found) > 45
    assert min(found) > 60_000


@only_root("runs programs as other users")
def test_only_a_private_directory_is_given_away(tmp_path):
    """Whoever names ``/`` as the home of a program has not given the host away."""
    private, shared, theirs = (tmp_path / name for name in ("private", "shared", "theirs"))
    for folder, mode in ((private, 0o700), (shared, 0o755), (theirs, 0o755)):
        folder.mkdir()
        folder.chmod(mode)
    os.chown(theirs, 4711, 4711)
    for folder in (private, shared, theirs, Path("/")):
        run(["true"], sandbox=Sandbox(folder), timeout=30.0)
    assert shared.stat().st_uid == Path("/").stat().st_uid == 0
    assert private.stat().st_uid > 0
    assert theirs.stat().st_uid == 4711
    who = run(["id", "-u"], sandbox=Sandbox(theirs), timeout=30.0).stdout
    assert who.strip() == "4711"


@pytest.mark.parametrize("name", ["PATH", "HOME", "IFS", "LD_PRELOAD", "BASH_ENV"])
def test_no_setting_chooses_what_the_shell_runs(tmp_path, name, monkeypatch):
    """Whoever may set a provider's credentials, through the API for instance, is not therefore root."""
    own = tmp_path / "curl"
    own.write_text(f"#!/bin/sh\ntouch {tmp_path}/taken\n")
    own.chmod(0o755)
    monkeypatch.setattr(Sandbox, "obstacle", staticmethod(lambda: "none here"))
    path = tmp_path / "dns_x.sh"
    path.write_text("dns_x_add() { curl https://a.test; }\ndns_x_rm() { :; }\n")
    script = ScriptedDns(Script("x", path, {name: str(tmp_path)}, unconfined=True))
    with pytest.raises(ProviderError, match=f"{name} is the shell's, and cannot be a setting"):
        script.dns_add([RECORD], FakeTask())
    assert not (tmp_path / "taken").exists()
