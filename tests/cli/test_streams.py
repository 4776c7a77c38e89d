"""Standard streams that are closed, full, or left by their reader; files of somebody else's."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from certificates import self_signed
from privileges import only_root

from pvefw.cli.run import run

FULL = "standard output: could not write to it: No space left on device"


def pvefw(root, arguments, redirection):
    """Runs it below a shell, which closes and redirects."""
    command = f'exec "$0" -m pvefw --root "$1" --node pve1 {arguments} {redirection}'
    return subprocess.run(
        ["bash", "-c", command, sys.executable, root],
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("arguments", ["config get", "plugin list", "config get --help"])
def test_an_output_that_is_closed_goes_nowhere(tmp_path, arguments):
    done = pvefw(tmp_path, arguments, ">&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_written_does_not_take_the_place_of_a_closed_output(tmp_path):
    assert pvefw(tmp_path, "cert node refresh", "<&- >&- 2>&-").returncode == 0
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"Task OK" not in path.read_bytes(), path
    assert (tmp_path / "etc/pve/nodes/pve1/pve-ssl.pem").read_text().startswith("-----BEGIN")


@pytest.mark.parametrize("arguments", ["config get", "config get --help"])
def test_a_full_output_is_said_without_a_traceback(tmp_path, arguments):
    done = pvefw(tmp_path, arguments, ">/dev/full")
    assert (done.returncode, done.stderr) == (1, f"pvefw: {FULL}\n")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_what_is_answered_at_once_is_no_exception(option):
    command = f'"$0" -m pvefw {option} >/dev/full'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (1, f"pvefw: {FULL}\n")


def test_the_work_goes_on_when_its_output_is_full(tmp_path):
    done = pvefw(tmp_path, "cert node refresh", ">/dev/full")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "etc/pve/nodes/pve1/pve-ssl.key").exists()


@only_root("becomes another user")
def test_who_may_not_look_at_the_state_gets_what_anybody_may_see(capsys):
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        command = ["--root", root, "--node", "pve1", "config"]
        before = os.umask(0o022)  # the tree is one that others can read
        try:
            assert run([*command, "set", "--description", "rack"]) == 0
            (Path(root) / "var/lib/pvefw").mkdir(mode=0o700, parents=True, exist_ok=True)
        finally:
            os.umask(before)
        (Path(root) / "var/lib/pvefw").chmod(0o700)
        assert run([*command, "get"]) == 0  # what it imports, nobody need not be able to read
        os.seteuid(65534)
        try:
            shown = run([*command, "get"]), capsys.readouterr()
            refused = run([*command, "set", "--description", "mine"]), capsys.readouterr()
        finally:
            os.seteuid(0)
    assert (shown[0], shown[1].err) == (0, "")
    assert "rack" in shown[1].out
    assert refused[0] == 1
    assert "Permission denied" in refused[1].err
    assert refused[1].err.splitlines()[1] == "  Run the command as root."


IN_OPENSSL = """
import _thread, atexit, ssl, sys, threading
from pvefw.cli.streams import carry_out

busy = threading.Event()

def connect():
    while True:
        ssl.create_default_context().load_verify_locations(sys.argv[1])
        busy.set()

def command():
    atexit.register(print, "tidied up")
    for _ in range(2):
        eval(sys.argv[2])
    busy.wait()
    return 3

carry_out(command)
"""


@pytest.mark.parametrize(
    "start",
    [
        "threading.Thread(target=connect, daemon=True).start()",
        "_thread.start_new_thread(connect, ())",
    ],
    ids=["thread", "thread that threading does not know"],
)
def test_a_connection_left_in_a_thread_does_not_crash_the_end(tmp_path, start):
    """It did in one of three ends: OpenSSL was freed below a thread that was reading certificates."""
    many = tmp_path / "many.pem"
    many.write_bytes(self_signed("pve1.example")[0] * 2000)
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", IN_OPENSSL, many, start],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (3, "tidied up\n", "")


@pytest.mark.parametrize(("options", "shown"), [([], False), (["-W", "default"], True)])
def test_warnings_of_libraries_are_for_developers(options, shown):
    """urllib3 warns at each connection of a clock before 2025, with its own path and line."""
    code = (
        "import warnings; from pvefw.cli import streams\n"
        "streams.carry_out(lambda: warnings.warn('System time is way off') or 0)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONWARNINGS"}
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert ("System time is way off" in done.stderr) == shown
