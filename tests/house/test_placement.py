"""A command that acts on this machine refuses another node's name; each command is one or the other."""

import os

import pytest

from pvefw.cli import placement, suggestions
from pvefw.cli.run import run
from pvefw.core.errors import UsageError
from pvefw.store.paths import Paths

COMMANDS = [" ".join(path) for path, command, _ in suggestions.walk() if path and path[0] != "api"]
NAMED = sorted(placement.ON_THIS_MACHINE | placement.ON_THE_TREE)
HERE = [command for command in COMMANDS if placement.acts_here(command)]


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hostname").write_text("pve1.example.com\n")
    return tmp_path


def test_each_is_decided():
    assert not placement.ON_THIS_MACHINE & placement.ON_THE_TREE
    undecided = [
        command
        for command in COMMANDS
        if not any(f"{command} ".startswith(f"{name} ") for name in NAMED)
        and not any(name.startswith(f"{command} ") for name in NAMED)
    ]
    assert undecided == []
    assert [name for name in NAMED if name not in COMMANDS] == []
    assert {"stopall", "boot kernel pin", "ksm enable", "renew install-timer"} <= set(HERE)
    assert not {"wakeonlan", "renew", "config set", "acme cert order", "task list"} & set(HERE)


@pytest.mark.parametrize("command", COMMANDS)
def test_another_nodes_name_is_refused_where_the_machine_is_meant(tree, command):
    other, own = Paths(tree, "pve2"), Paths(tree, "pve1")
    placement.check(own, command)
    if command in HERE:
        with pytest.raises(UsageError, match=f"{command}: it acts on this machine, pve1") as caught:
            placement.check(other, command)
        assert caught.value.hint.endswith(f"ssh root@pve2 pvefw {command}")
    else:
        placement.check(other, command)


@pytest.mark.parametrize(
    "line",
    [
        *("stopall", "startall --dry-run", "renew install-timer", "ksm enable", "boot status"),
        *("boot loader", "install-units", "guest list", "boot refresh", "migrateall pve1"),
    ],
)
def test_nothing_is_done(tree, capsys, line):
    before = sorted(tree.rglob("*"))
    assert run(["--root", str(tree), "--node", "pve2", *line.split()]) == 2
    assert "acts on this machine, pve1, not on node pve2" in capsys.readouterr().err
    assert sorted(tree.rglob("*")) == before


def test_the_files_of_another_node_can_be_changed(tree):
    host = ["--root", str(tree), "--node", "pve2"]
    assert run([*host, "config", "set", "--acmedomain0", "a.example"]) == 0
    assert (tree / "etc/pve/nodes/pve2/config").exists()


def test_this_machine_has_the_name_of_the_kernel():
    from pathlib import Path

    name = os.uname().nodename.partition(".")[0]
    assert placement.this_machine(Paths(Path("/"), "other")) == name
