"""A mistyped command is no failed task, and says nothing that is not so."""

import pytest

from pvefw.cli.run import run
from pvefw.tasks import history


@pytest.fixture
def pvefw(paths):
    return lambda *line: run(["--root", str(paths.root), "--node", "pve1", *line])


def test_a_pin_of_an_unknown_kernel_begins_no_task(paths, pvefw):
    assert pvefw("boot", "kernel", "pin", "6.1") != 0
    assert history.tasks(paths, history.Filter(source="all"), limit=9) == []


def test_of_a_certificate_that_was_never_ordered_no_file_is_left(pvefw, capsys):
    assert pvefw("cert", "add", "www", "--acmedomain0", "www.example.com") == 0
    assert pvefw("cert", "remove", "www") == 0
    assert "files are left" not in capsys.readouterr().err
