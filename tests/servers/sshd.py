"""Hosts that ssh reaches on the loopback: each is an sshd of its own, and works in a tree of its own."""

import contextlib
import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from servers.processes import free_port, process, wait_for_port

_BIN = Path(sys.executable).parent
_SERVER = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {here}/host
AuthorizedKeysFile {here}/client.pub
PidFile none
StrictModes no
LoginGraceTime 0
UsePAM no
PasswordAuthentication no
SetEnv {environment}
"""
_CLIENT = """\
Host {name}
  HostName 127.0.0.1
  Port {port}
"""
_ALL = """\
Host *
  User {user}
  IdentityFile {here}/client
  IdentitiesOnly yes
  UserKnownHostsFile {here}/known
  GlobalKnownHostsFile none
"""


@dataclass(frozen=True)
class SshHosts:
    """Hosts by name; ``pvefw`` there is this one, where :meth:`program` puts no other in its place."""

    workdir: Path

    @property
    def config(self) -> Path:
        """For ``ssh -F``: it knows each by its name."""
        return self.workdir / "ssh_config"

    def home(self, name: str) -> Path:
        """Where a login to a host begins."""
        return self.workdir / name

    def root(self, name: str) -> Path:
        """The tree that pvefw works in there."""
        return self.home(name) / "root"

    def program(self, host: str, name: str, script: str) -> None:
        """Put a program on a host, before all others; a shell script."""
        path = self.home(host) / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}")
        path.chmod(0o755)


@contextlib.contextmanager
def ssh_hosts(workdir: Path, names: Sequence[str]) -> Iterator[SshHosts]:
    """Start the hosts, for our own user."""
    found = SshHosts(workdir)
    keys = {name: _key(workdir / name) for name in ("host", "client")}
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)  # noqa: PTH103 - where it shuts itself in
    known, config = "", ""
    with contextlib.ExitStack() as stack:
        for name in names:
            port = stack.enter_context(_host(found, name))
            known += f"[127.0.0.1]:{port} {keys['host']}"
            config += _CLIENT.format(name=name, port=port)
        (workdir / "known").write_text(known)
        found.config.write_text(config + _ALL.format(user=getpass.getuser(), here=workdir))
        yield found


@contextlib.contextmanager
def _host(hosts: SshHosts, name: str) -> Iterator[int]:
    """One host; its port."""
    home, root = hosts.home(name), hosts.root(name)
    root.mkdir(parents=True)
    (home / "bin").mkdir()
    env = {"PATH": f"{home}/bin:{_BIN}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home)}
    env |= {"PVEFW_ROOT": str(root), "PVEFW_NODE": name}
    words = " ".join(f'"{key}={value}"' for key, value in env.items())
    port, log, settings = free_port(), home / "sshd.log", home / "sshd_config"
    settings.write_text(_SERVER.format(port=port, here=hosts.workdir, environment=words))
    server = shutil.which("sshd") or "/usr/sbin/sshd"
    with process([server, "-D", "-e", "-f", str(settings)], log) as started:
        wait_for_port(port, started, log)
        yield port


def _key(path: Path) -> str:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True)
    return path.with_name(f"{path.name}.pub").read_text()
