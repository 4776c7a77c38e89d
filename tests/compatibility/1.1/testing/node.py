"""A node in a directory of its own, and pvefw run on it as an administrator runs it.

::

    node = Node(tmp_path)
    node.register(acme)
    node.add("dns", "mine", api="acmecorp", token="correct-token", url=base)
    node.resolve(zone)
    node.run("config", "set", "--acmedomain0", "www.example.test,plugin=mine")
    node.run("acme", "cert", "order")
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pvefw.api import replace_file, run
from pvefw.seam import Completed

if TYPE_CHECKING:
    from pvefw.testing.acme_server import AcmeServer
    from pvefw.testing.dns_zone import DnsZone

_SECONDS = 300.0


@dataclass
class Node:
    """A node whose files lie below a directory; commands run in processes of their own."""

    directory: Path
    """An empty one: pytest's ``tmp_path``."""
    name: str = "pve1"
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables for the commands, beside those of this process."""
    python: str = sys.executable
    """The interpreter whose pvefw is run."""

    @property
    def root(self) -> Path:
        """What pvefw takes for ``/``."""
        return self.directory / "root"

    @property
    def certificate(self) -> Path:
        """The certificate of the node's web interface, once there is one."""
        return self.root / "etc/pve/nodes" / self.name / "pveproxy-ssl.pem"

    def try_(self, *arguments: object) -> Completed:
        """Run a command, however it ends.

        :returns: with ``returncode``, ``stdout`` and ``stderr``.
        """
        self.root.mkdir(exist_ok=True)
        where = ["--root", str(self.root), "--node", self.name]
        return run(
            [self.python, "-m", "pvefw", *where, *map(str, arguments)],
            env={**os.environ, **self.environment},
            timeout=_SECONDS,
            check=False,
        )

    def run(self, *arguments: object) -> str:
        """Run a command that must succeed.

        :returns: what it printed.
        """
        done = self.try_(*arguments)
        if done.returncode != 0:
            output = f"{done.stdout}{done.stderr}"
            raise AssertionError(f"pvefw {' '.join(map(str, arguments))}:\n{output}")
        return done.stdout

    def register(self, acme: "AcmeServer") -> None:
        """Make the account ``default`` at an ACME server."""
        where = ["--directory", acme.directory, "--ca-file", acme.ca_file]
        mail = "mail@example.invalid"
        self.run("acme", "account", "register", "default", mail, *where, "--accept-tos")

    def resolve(self, zone: "DnsZone") -> None:
        """Let the node look names up in a zone of :mod:`pvefw.testing.dns_zone`."""
        self.run("config", "set", "--resolvers", zone.server, "--authority-port", zone.port)

    def add(self, family: str, instance: str, *, api: str, **settings: object) -> None:
        """Configure an instance of a plugin.

        :param family: ``dns``, ``challenge``, ``observer`` or ``guest``.
        :param api: the plugin's name.
        :param settings: by key.
        """
        if family == "guest":
            lines = "".join(f"\t{key} {value}\n" for key, value in settings.items())
            section = f"guest: {instance}\n\tapi {api}\n{lines}\n"
            path = self.root / "etc/pve/pvefw.cfg"
            before = path.read_bytes() if path.exists() else b""
            replace_file(path, before + section.encode())
            return
        data = self.directory / f"{instance}.data"
        data.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        if family == "observer":
            self.run("observer", "add", instance, "--api", api, "--data", data)
        else:
            self.run("acme", "plugin", "add", family, instance, "--api", api, "--data", data)
