"""Programs that tests start have default signals, also where the tests run in the background."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

IGNORED = [
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGTERM,
    signal.SIGPIPE,
    signal.SIGCHLD,
]
START = """
import os, signal, sys
for number in map(int, sys.argv[1].split(",")):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.execv(sys.executable, [sys.executable, "-m", "pytest", *sys.argv[2:]])
"""


def masks():
    """What a program that is started here ignores and blocks; a bit for each signal."""
    status = subprocess.run(
        ["cat", "/proc/self/status"], capture_output=True, text=True, check=True
    ).stdout
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return int(fields["SigIgn"], 16), int(fields["SigBlk"], 16)


def test_programs_have_default_signals():
    ignored, blocked = masks()
    assert [number for number in IGNORED if ignored >> (number - 1) & 1] == []
    assert blocked == 0
    assert subprocess.run(["false"], check=False).returncode == 1, "SIGCHLD is ignored"


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "in a worker"])
def test_they_have_them_whatever_is_ignored_at_the_start(workers):
    this = f"{Path(__file__)}::{test_programs_have_default_signals.__name__}"
    options = ["-q", "-p", "no:cacheprovider", *workers, this]
    done = subprocess.run(
        [sys.executable, "-c", START, ",".join(str(int(number)) for number in IGNORED), *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
