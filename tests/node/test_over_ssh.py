"""``status --hosts`` and ``node maintain`` through real sshds: hosts gone and hung, and a real kill."""

import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from privileges import only_root
from servers.sshd import ssh_hosts
from waiting import wait_until
from whole_host import Host

from pvefw.host.remote import SSH, Remote
from pvefw.node import fleet, maintenance

LIMIT = 900
"""Seconds for what takes a few, so that a busy machine is no failure."""
pytestmark = [
    only_root("may log in at an sshd, whatever its password is"),
    pytest.mark.timeout(2 * LIMIT),
]
STEP = """\
echo "$(basename $0) $*" >>"$HOME/calls"
case "$(basename $0) $*" in
    *"$(cat "$HOME/hold" 2>/dev/null || echo nothing)"*)
        echo $$ >"$HOME/process"
        touch "$HOME/reached"
        while [ -e "$HOME/hold" ]; do sleep 0.05; done ;;
esac
"""
"""Notes that it was called, and stops where it is to."""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    with ssh_hosts(tmp_path_factory.mktemp("ssh"), ("n1", "n2", "n3")) as made:
        yield made


def patient(command, config):
    """A command line of ssh that waits for a busy machine; of an option given twice, the first counts."""
    return command.replace("ssh ", f"ssh -F {config} -o ConnectTimeout={LIMIT} ", 1)


def test_hosts_that_answer_and_one_that_is_gone(hosts, tmp_path, short_path, pvefw, monkeypatch):
    monkeypatch.setattr(fleet, "_SECONDS", float(LIMIT))
    (tmp_path / "hosts").write_text("n1\nn2\n127.0.0.9\n")
    config = hosts.config.with_name("dead_too")
    config.write_text("Host 127.0.0.9\n  Port 1\n" + hosts.config.read_text())
    rsh = patient(fleet.ssh(short_path), config)
    words = ("status", "--hosts", str(tmp_path / "hosts"), "--rsh", rsh, "certificates")
    try:
        status, out, err = pvefw(*words, "--output-format", "json")
        assert (status, err) == (1, ""), err
        first, second, dead = json.loads(out)["hosts"]
        assert (first["problem"], second["problem"]) == ("", "")
        assert [row["status"]["node"] for row in (first, second)] == ["n1", "n2"]
        assert first["ok"] and second["ok"] and first["status"]["parts"].keys() == {"certificates"}
        assert "Connection refused" in dead["problem"]
        assert len([*short_path.glob("pvefw-*")]) == 2, "both connections are kept"
        status, out, _ = pvefw(*words, "--check")
        assert status == 3 and "127.0.0.9 UNKNOWN: status 255: ssh: connect to host" in out
    finally:
        for name in ("n1", "n2"):
            end = ["ssh", "-F", config, "-o", f"ControlPath={short_path}/pvefw-%C", "-O", "exit"]
            subprocess.run([*end, name], check=False, capture_output=True)


def test_connections_are_kept_where_their_sockets_can_be(short_path, hosts):
    """ssh ends, and reaches nobody, where it cannot make one."""
    assert "ControlPath" in fleet.ssh(short_path)
    long = short_path / ("x" * (108 - len(str(short_path)) - 1 - 64))
    assert fleet.ssh(long) == SSH, "there is none yet"
    long.mkdir()
    assert fleet.ssh(long) == SSH, "a byte too long"
    fits = long.with_name("x" * (len(long.name) - 1))
    fits.mkdir()
    for directory in (long, fits):
        rsh = f"{patient(fleet.ssh(directory), hosts.config)} -o ControlPersist=no"
        assert Remote(rsh).run("n1", ["echo", "here"]).stdout == "here\n"


def test_words_reach_the_shell_of_a_real_host_as_they_are(hosts):
    remote = Remote(patient(SSH, hosts.config))
    assert remote.run("n1", ["printf", "%s|", "a b", "$HOME", "'"]).stdout == "a b|$HOME|'|"


@pytest.fixture
def held(hosts):
    """A host on which programs stop where they are to; and the way to let them go on."""
    home = hosts.home("n3")

    def hold(what):
        (home / "reached").unlink(missing_ok=True)
        (home / "hold").write_text(what)

    def release():
        """Let it go on to its end; nobody looks after it any more."""
        process = Path("/proc", (home / "process").read_text().strip())
        (home / "hold").unlink(missing_ok=True)
        wait_until(lambda: not process.exists(), "the program ends", seconds=LIMIT)

    hold.home, hold.release = home, release
    yield hold
    (home / "hold").unlink(missing_ok=True)
    for path in (home / "bin").iterdir():
        path.unlink()


def test_a_host_that_hangs_does_not_answer(hosts, held, tmp_path, pvefw, monkeypatch):
    hosts.program("n3", "pvefw", STEP)
    held("pvefw status")
    monkeypatch.setattr(fleet, "_SECONDS", 3.0)
    (tmp_path / "hosts").write_text("n3\n")
    words = ("status", "--hosts", str(tmp_path / "hosts"), "--rsh", f"{SSH} -F {hosts.config}")
    status, out, _ = pvefw(*words)
    assert status == 1 and "ssh did not end within 3 seconds" in " ".join(out.split())
    ended = subprocess.run(["pgrep", "-f", f"ssh .*-F {hosts.config} n3"], check=False)
    assert ended.returncode == 1, "no ssh is left"


def test_what_listens_and_says_nothing_does_not_answer(tmp_path, pvefw):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        host = f"ssh://127.0.0.1:{mute.getsockname()[1]}"
        (tmp_path / "hosts").write_text(host)
        rsh = SSH.replace("ConnectTimeout=10", "ConnectTimeout=1")
        status, out, _ = pvefw("status", "--hosts", str(tmp_path / "hosts"), "--rsh", rsh)
    assert status == 1 and "timed out during banner exchange" in " ".join(out.split())


def test_a_maintenance_that_is_killed_at_every_step_goes_on(hosts, held, tmp_path):
    """What it had begun on the host goes on there, and ends before it is resumed."""
    home, root = held.home, hosts.root("n3")
    boot = root / "proc/sys/kernel/random/boot_id"
    boot.parent.mkdir(parents=True)
    boot.write_text("first\n")
    hosts.program("n3", "pvefw", f'{STEP}PATH="${{PATH#*:}}" exec pvefw "$@"')
    hosts.program("n3", "upgrade", STEP)
    hosts.program("n3", "restart", f"{STEP}echo again >>{boot}")
    (root / "etc/pve/nodes/n2").mkdir(parents=True)
    admin = Host(tmp_path / "admin", node="adm")
    rsh, command = patient(SSH, hosts.config), ["node", "maintain"]
    begin = ["--hosts", "n3", "--restart", "restart", "--rsh", rsh, "--", "upgrade"]
    steps = {"node drain": "drain", "upgrade": "command", "restart": "restart"}
    steps |= {"node return": "return"}
    for at, (words, step) in enumerate(steps.items()):
        held(words)
        process = admin.start(*command, *(["--resume"] if at else begin))
        wait_until(
            lambda process=process: (home / "reached").exists() or process.poll() is not None,
            f"{words} runs",
            seconds=LIMIT,
        )
        assert process.poll() is None, process.communicate()[0]
        process.send_signal(signal.SIGKILL)
        process.communicate()
        place = maintenance.read(admin.paths)
        assert (place.host, place.step) == ("n3", step)
        held.release()
    said = admin.run(*command, "--resume", limit=LIMIT)
    assert said.endswith("Task OK\n"), said
    assert boot.read_text() == "first\nagain\n", "it was restarted once"
    calls = (home / "calls").read_text().splitlines()
    assert sum("upgrade" in call for call in calls) == 2
    assert not [*root.rglob("pvefw-drained.json")]
