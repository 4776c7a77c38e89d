"""What is on the way to ``--help`` stays light; bench/startup.py measures what that is worth."""

import re
import subprocess
import sys

import pytest

HEAVY = {
    "cryptography",
    "dns",
    "importlib.metadata",
    "pluggy",
    "requests",
    "rich",
    "stevedore",
    "yaml",
}


def imported(*arguments):
    """The modules that a command line imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pvefw", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE))


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["--help"], ["acme", "--help"], ["acme", "plugin", "add", "--help"]],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(arguments):
    found = imported(*arguments)
    assert "pvefw.cli" in found
    assert found & HEAVY == set()


def test_the_version_needs_no_command_line_library():
    assert "click" not in imported("--version")
