"""A node in a tree of its own."""

import pytest

from pvefw.cli.run import run


@pytest.fixture
def pvefw(paths, capsys):
    """Runs a command line in this process; exit status, output, errors."""

    def do(*arguments):
        status = run(["--root", str(paths.root), "--node", "pve1", *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return do
