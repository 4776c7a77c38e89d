"""What the shims are tried with: the hosts of the other tests, and nodes where somebody types."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest
from boot.conftest import context, host, loaders_of, machine, memory, plain
from guests.conftest import farm

from pvefw.boot.loaders import Loaders
from pvefw.cli import boot_context, streams
from pvefw_shims import proxmox_boot_tool

__all__ = ["context", "farm", "host", "machine", "memory", "plain"]

PVENODE = Path(sys.executable).with_name("pvenode")


class Node:
    """A node on which somebody types commands."""

    def __init__(self, root, **env):
        self.root = root
        self.directory = root.parent
        root.mkdir(exist_ok=True)
        self.env = {
            **os.environ,
            "PATH": f"{PVENODE.parent}:{os.environ['PATH']}",
            "PVEFW_ROOT": str(root),
            "PVEFW_NODE": "pve1",
            **env,
        }

    def types(self, line, status=0):
        """Run a command line; what it printed, errors among it."""
        return self._run(line, status, subprocess.STDOUT)

    def result(self, line):
        """Run a command line; what it printed for a script."""
        return self._run(line, 0, subprocess.PIPE)

    def _run(self, line, status, errors):
        done = subprocess.run(
            shlex.split(line),
            cwd=self.directory,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            check=False,
        )
        assert done.returncode == status, f"{line}: {done.stdout}{done.stderr or ''}"
        assert "Traceback" not in done.stdout
        return done.stdout

    def at_terminal(self, line):
        program, *arguments = shlex.split(line)
        return pexpect.spawn(
            program,
            arguments,
            cwd=self.directory,
            env=self.env,
            encoding="utf-8",
            timeout=60,
            dimensions=(40, 200),
        )

    def has(self, key):
        return json.loads(self.types("pvenode config get --output-format json")).get(key)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path / "root")


@pytest.fixture
def authority(pebble, tmp_path):
    """A node that trusts Pebble's certificate as it trusts those of the web."""
    node = Node(tmp_path / "root", SSL_CERT_FILE=str(pebble.ca_file))
    (tmp_path / "settings").write_text(f"port={pebble.http_port}\n")
    node.types("pvenode acme plugin set standalone --data settings")
    return node


@pytest.fixture
def types(host, machine, plain, monkeypatch, capsys):
    """Type a command; what it printed."""
    plain.name = "grub"
    monkeypatch.setattr(boot_context, "machine", lambda _app: machine)
    monkeypatch.setattr(Loaders, "load", classmethod(lambda _cls, _paths: loaders_of(plain)))
    monkeypatch.setattr(streams, "leave", sys.exit)  # it would end this process, had it a thread
    monkeypatch.setenv("PVEFW_ROOT", str(host.root))
    monkeypatch.setenv("PVEFW_NODE", "pve1")

    def type_(line, status=0):
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        with pytest.raises(SystemExit) as ended:
            proxmox_boot_tool.main()
        said = capsys.readouterr()
        assert ended.value.code == status, said.out + said.err
        return said.out

    return type_
