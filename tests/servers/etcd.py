"""A cluster of etcd members on loopback, each a process of its own."""

import contextlib
import json
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from resources import uses
from waiting import wait_until


class Etcds:
    """The members of a cluster."""

    def __init__(self, workdir: Path, count: int) -> None:
        self._workdir = workdir
        ports = _free_ports(2 * count)
        self.endpoints = [f"http://127.0.0.1:{one}" for one in ports[:count]]
        self._peers = [f"http://127.0.0.1:{one}" for one in ports[count:]]
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int) -> None:
        """Start a member with what it had before."""
        cluster = ",".join(f"m{at}={one}" for at, one in enumerate(self._peers))
        options = {
            "name": f"m{number}",
            "data-dir": self._workdir / f"m{number}",
            "listen-client-urls": self.endpoints[number],
            "advertise-client-urls": self.endpoints[number],
            "listen-peer-urls": self._peers[number],
            "initial-advertise-peer-urls": self._peers[number],
            "initial-cluster": cluster,
            "logger": "zap",
            "log-level": "error",
        }
        with (self._workdir / f"m{number}.log").open("ab") as log:
            self._running[number] = subprocess.Popen(
                ["etcd", *(f"--{name}={value}" for name, value in options.items())],
                stdout=log,
                stderr=log,
            )

    def end(self, number: int) -> None:
        """Kill a member."""
        process = self._running.pop(number)
        process.kill()
        process.wait()

    def wait(self) -> None:
        """Until the members that run have a leader."""
        wait_until(lambda: all(map(self._leads, self._running)), "etcd has a leader", 120)

    def _leads(self, number: int) -> bool:
        said = self._status(number)
        return bool(said) and said.get("leader", "0") != "0"

    def _status(self, number: int) -> dict:
        url = f"{self.endpoints[number]}/v3/maintenance/status"
        with (
            contextlib.suppress(OSError, ValueError),
            urllib.request.urlopen(url, b"{}", timeout=5) as answer,
        ):
            return json.load(answer)
        return {}


@contextlib.contextmanager
@uses("server")
def etcds(workdir: Path, count: int = 1) -> Iterator[Etcds]:
    """So many members that run."""
    cluster = Etcds(workdir, count)
    try:
        for number in range(count):
            cluster.start(number)
        cluster.wait()
        yield cluster
    finally:
        for number in list(cluster._running):
            cluster.end(number)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
