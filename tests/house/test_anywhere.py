"""``make test-anywhere``: under each condition, the tests and what they start really have it."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SEES = """
import json, locale, os, subprocess, sys, time
started = time.monotonic()
nap = time.sleep  # it is what is looked at
nap(0.05)
slept = time.monotonic() - started
mask = os.umask(0)
child = subprocess.run([sys.executable, "-c", "import time; print(time.time())"], capture_output=True)
try:
    german = locale.setlocale(locale.LC_ALL, "") == "de_DE.UTF-8"
except locale.Error:
    german = False
ignored = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("SigIgn"))
print(json.dumps({
    "now": time.time(), "child": float(child.stdout), "slept": slept, "umask": mask, "user": os.geteuid(),
    "offset": -time.localtime().tm_gmtoff, "home": os.environ.get("HOME"), "ignored": int(ignored, 16),
    "writable": os.access(os.environ["TMPDIR"], os.W_OK), "german": german,
}))
"""
"""Instead of pytest."""


@pytest.fixture
def sees(tmp_path):
    """What a program sees under a condition."""

    def ask(name):
        code = (
            "import sys, subprocess; sys.path.insert(0, 'tools'); import anywhere\n"
            "run = subprocess.run\n"
            "def see(argv, **options):\n"
            "    if 'pytest' in argv: argv = [sys.executable, '-c', sys.argv[2]]\n"
            "    return run(argv, **options)\n"
            "subprocess.run = see\n"
            "sys.exit(anywhere.main([sys.argv[1]]))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, name, SEES],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": "/tmp"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        lines = done.stdout.splitlines()
        if lines[1].startswith("Not tried: "):
            pytest.skip(lines[1])
        assert lines[-1] == f"Passed: {name}"
        return json.loads(lines[1])

    return ask


@pytest.mark.parametrize("days", [1, 60, 400, 1200])
def test_the_clock_is_ahead_and_sleep_is_not(sees, days):
    found = sees(f"days-{days}")
    expected = datetime.now(UTC) + timedelta(days=days)
    for clock in ("now", "child"):
        assert abs(found[clock] - expected.timestamp()) < 60
    assert 0.04 < found["slept"] < 30


def test_leap_day(sees):
    assert f"{datetime.fromtimestamp(sees('leap-day')['now'], UTC):%m-%d}" == "02-29"


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("kiritimati", "offset", -14 * 3600),
        ("lang-de", "german", True),
        ("no-home", "home", None),
        ("umask-077", "umask", 0o077),
        ("umask-027", "umask", 0o027),
        ("user", "user", 65534),
        ("user", "writable", True),
    ],
)
def test_the_others(sees, name, field, value):
    assert sees(name)[field] == value


def test_in_the_background(sees):
    before, after = (sees(name)["ignored"] for name in ("no-lang", "background"))
    assert after & ~before & 0b10, "SIGINT"
    assert after & 1 << 12, "SIGPIPE"
