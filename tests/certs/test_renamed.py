"""A host that got another name: its certificates are not to lapse without a word."""

import pytest

from pvefw.cli.run import run
from pvefw.store import files
from pvefw.store.paths import Paths


@pytest.fixture
def pvefw(tmp_path, capsys):
    """Runs a command as the host is called now: exit status, and all that was printed."""

    def do(*words):
        status = run(["--root", str(tmp_path), "--node", "new", *words])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return do


@pytest.fixture
def old(tmp_path):
    """What the host had under its old name."""
    paths = Paths(tmp_path, "old")
    files.replace(paths.node_config(), b"acmedomain0: old.example\n")
    return paths


WORDS = "nothing is set for node new, but for old: if this host has got another name"


def test_it_is_said_by_whatever_looks_after_certificates(pvefw, old):
    status, printed = pvefw("renew")
    assert (status, WORDS in printed) == (1, True)
    assert str(old.node_dir()) in printed
    assert f"if it has not: mkdir {old.node_dir('new')}" in printed
    status, printed = pvefw("status", "certificates")
    assert (status != 0, WORDS in printed) == (True, True)


def test_it_is_over_when_the_directory_has_the_new_name(pvefw, old):
    old.node_dir().rename(old.node_dir("new"))
    assert WORDS not in pvefw("renew")[1]
    assert WORDS not in pvefw("status", "certificates")[1]


@pytest.mark.parametrize("there", ["nobody", "empty", "cluster", "ours"])
def test_nothing_is_said_of_nodes_that_are_others(pvefw, tmp_path, there):
    other, ours = Paths(tmp_path, "other"), Paths(tmp_path, "new")
    if there != "nobody":
        other.node_dir().mkdir(parents=True)
    if there in ("cluster", "ours"):
        files.replace(other.node_config(), b"acmedomain0: other.example\n")
    if there == "cluster":
        files.replace(tmp_path / "etc/pve/.version", b"{}")
    if there == "ours":
        ours.node_dir().mkdir()
    assert pvefw("renew") == (0, pvefw("renew")[1])
    assert "nothing is set for node" not in pvefw("renew")[1]
