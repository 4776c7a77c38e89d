"""The demo works, and leaves nothing behind, also when it is ended half-way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from resources import uses

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
@uses("server")
def demo(tmp_path):
    """The demo, started in a session of its own, with its temporary files below ours."""
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tools/demo.py")],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as started:
        yield started


def left_of(session):
    """The processes of a session that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = path.joinpath("stat").read_text().rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, _, _, of_session = rest.split()[:4]
        if int(of_session) == session and state != "Z":
            found.append(name)
    return found


def test_it_ends_with_openssls_verdict(demo, tmp_path):
    said = demo.communicate(timeout=120)[0]
    assert demo.returncode == 0, said
    verdicts = [line for line in said.splitlines() if line.endswith("pveproxy-ssl.pem: OK")]
    assert len(verdicts) == 2
    assert left_of(demo.pid) == []
    assert list(tmp_path.iterdir()) == []


def test_ended_half_way_it_leaves_nothing(demo, tmp_path):
    for line in demo.stdout:
        if "acme account register" in line:
            break
    assert left_of(demo.pid)
    demo.send_signal(signal.SIGTERM)
    demo.communicate(timeout=60)
    assert demo.returncode == 143
    assert left_of(demo.pid) == []
    assert list(tmp_path.iterdir()) == []
