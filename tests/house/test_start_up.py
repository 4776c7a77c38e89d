"""What is on the way to ``--help`` stays light; bench/startup.py measures what that is worth."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pvefw.core import metadata

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


def imported(*arguments, **environment):
    """The modules that a command line imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pvefw", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        ["acme", "--help"],
        ["acme", "plugin", "add", "--help"],
        ["guest", "backend", "add", "--help"],
        ["boot", "loader", "set", "--help"],
    ],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(arguments):
    found = imported(*arguments)
    assert "pvefw.cli" in found
    assert found & (HEAVY | {"pvefw.instances"}) == set()


def test_the_version_needs_no_command_line_library():
    assert imported("--version") & {"click", "typing", "pvefw.core.metadata"} == set()


@pytest.mark.parametrize(
    "line",
    [
        "",
        "task log ",
        "guest show ",
        "startall --vms 100,",
        "acme plugin config ",
        "acme account info ",
        "dns test x ",
        "wakeonlan ",
        "boot kernel pin ",
        "config set --acmedomain0 a.example,plugin=",
        "observer config ",
        "guest backend config ",
        "boot loader config ",
    ],
)
def test_the_tab_key_waits_for_no_plugin_no_daemon_and_nothing_heavy(line, tmp_path):
    index = tmp_path / "var/log/pve/tasks/index"
    index.parent.mkdir(parents=True)
    index.write_text("UPID:pve1:00010D94:001CA6EA:6124E1B9:vzdump:100:root@pam: 6124E1C0 OK\n")
    found = imported(f"pvefw {line}", _PVEFW_COMPLETE="bash", PVEFW_ROOT=str(tmp_path))
    assert "pvefw.cli.complete" in found
    heavy = HEAVY | {"asyncio", "hashlib", "libvirt", "sqlite3"}
    heavy |= {"pvefw.core.model", "pvefw.core.binding", "pvefw.guests.backends"}
    heavy |= {"pvefw.store.last_copy", "pvefw.store.sealing"}  # of a store that nodes share
    assert found & heavy == set()
    assert [name for name in found if name.startswith("pvefw_")] == []


def test_the_tab_key_reads_no_json_where_there_is_none(tmp_path):
    line = "pvefw acme plugin config "
    assert "json" not in imported(line, _PVEFW_COMPLETE="bash", PVEFW_ROOT=str(tmp_path))


def test_own_commands_need_no_look_at_what_else_is_installed(tmp_path, monkeypatch):
    for name in ("another-2.0", "pvefw_other-1.0", "pvefw-1.1.0"):
        folder = tmp_path / f"{name}.dist-info"
        folder.mkdir()
        (folder / "entry_points.txt").write_text(f"[pvefw.command]\n{name[:7]} = module:it\n")
    read = []
    monkeypatch.setattr(metadata, "_read", lambda path: read.append(path) or Path(path).read_text())
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    metadata.own_entry_points.cache_clear()
    try:
        points = metadata.own_entry_points()
    finally:
        metadata.own_entry_points.cache_clear()
    assert [point.distribution.file_name for point in points] == ["pvefw"]
    assert [Path(path).parent.name for path in read] == ["pvefw-1.1.0.dist-info"]


def test_a_bulk_action_waits_for_nothing_that_it_does_not_need(tmp_path):
    """libvirt's own test driver keeps one guest in the process, which runs."""
    configuration = tmp_path / "etc/pve/pvefw.cfg"
    configuration.parent.mkdir(parents=True)
    configuration.write_text("guest: libvirt\n\turi test:///default\n")
    found = imported("stopall", PVEFW_ROOT=str(tmp_path))
    assert {"libvirt", "pvefw_guest_libvirt.guests"} <= found
    heavy = {
        "cryptography",
        "dns",
        "libvirt_lxc",
        "packaging",
        "requests",
        "rich",
        "sqlite3",
        "yaml",
    }
    assert found & heavy == set()
    plugins = {name.partition(".")[0] for name in found if name.startswith("pvefw_")}
    assert plugins == {"pvefw_guest_libvirt"}
