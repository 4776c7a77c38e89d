"""Fixtures for certificates."""

import pytest
from certificates import Log

from pvefw.cli.run import run


@pytest.fixture
def task():
    return Log()


@pytest.fixture
def pvefw(paths, capsys):
    """Runs a command; its exit status and all that it said."""

    def do(*arguments):
        done = run(["--root", str(paths.root), "--node", "pve1", *map(str, arguments)])
        captured = capsys.readouterr()
        return done, captured.out + captured.err

    return do
