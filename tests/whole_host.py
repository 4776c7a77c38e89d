"""The program as an administrator runs it: real processes on a throw-away root."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pvefw.store.paths import Paths

if TYPE_CHECKING:
    from servers.pebble import Pebble


@dataclass
class Host:
    """A node in a tree of its own."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    node: str = "pve1"

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)

    @property
    def paths(self) -> Paths:
        return Paths(self.root, self.node)

    def command(self, *arguments: object) -> list[str]:
        where = ["--root", str(self.root), "--node", self.node]
        return [sys.executable, "-m", "pvefw", *where, *map(str, arguments)]

    def try_(
        self, *arguments: object, limit: float = 120, **options
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, however it ends."""
        done = subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **self.env},
            **options,
        )
        if "--debug" not in arguments:
            assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done

    def run(self, *arguments: object, **options) -> str:
        """Run a command that must succeed; what it printed."""
        done = self.try_(*arguments, **options)
        assert done.returncode == 0, f"{arguments}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def fail(self, *arguments: object, status: int = 1, **options) -> str:
        """Run a command that must fail; what it said on standard error."""
        done = self.try_(*arguments, **options)
        assert done.returncode == status, (
            f"{arguments}: {done.returncode}: {done.stdout}{done.stderr}"
        )
        return done.stderr

    def fail_output(self, *arguments: object) -> str:
        """Run a command that must fail; what it said on standard output."""
        done = self.try_(*arguments)
        assert done.returncode == 1, f"{arguments}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **self.env},
        )

    def register(self, server: "Pebble", name: str = "default", *options: object) -> None:
        """Register an account, and let standalone listen where Pebble asks."""
        self.run(
            *["acme", "account", "register", name, "mail@example.invalid"],
            *["--directory", server.directory, "--ca-file", server.ca_file, "--accept-tos"],
            *options,
        )
        self.standalone(server.http_port)

    def standalone(self, port: int, more: str = "") -> None:
        data = self.root.parent / "standalone.data"
        data.write_text(f"port={port}\n{more}")
        self.run("acme", "plugin", "set", "standalone", "--data", data)

    def pair(self) -> tuple[bytes, bytes]:
        return self.paths.proxy_certificate.read_bytes(), self.paths.proxy_key.read_bytes()

    def make_due(self) -> None:
        """Let the node think that its authority wants its certificate renewed."""
        state = json.loads(self.paths.renewal_state.read_text())
        window = {"start": "2020-01-01T00:00:00+00:00", "end": "2020-01-02T00:00:00+00:00"}
        later = datetime.now(UTC) + timedelta(hours=1)
        told = {"window": {**window, "explanation": ""}, "ask_again": later.isoformat()}
        state["pveproxy-ssl.pem"] |= told
        self.paths.renewal_state.write_text(json.dumps(state))
