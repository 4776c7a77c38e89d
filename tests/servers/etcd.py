"""A cluster of etcd members, each a process of its own: on loopback, or in network namespaces."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from resources import uses
from waiting import wait_until

_ASK = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], b'{}', timeout=5).read().decode())"
_PORT, _PEER_PORT = 2379, 2380


class Etcds:
    """The members of a cluster.

    :param within: what a member's program, and who asks it, are started with.
    :param options: more options of each member.
    """

    def __init__(
        self,
        workdir: Path,
        endpoints: Sequence[str],
        peers: Sequence[str],
        *,
        within: Sequence[Sequence[str]] = (),
        options: Mapping[str, object] | None = None,
    ) -> None:
        self._workdir = workdir
        self.endpoints = list(endpoints)
        self._peers = peers
        self._within = within or [[] for _ in endpoints]
        self._options = options or {}
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int) -> None:
        """Start a member with what it had before."""
        cluster = ",".join(f"m{at}={peer}" for at, peer in enumerate(self._peers))
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
            **self._options,
        }
        command = ["etcd", *(f"--{name}={value}" for name, value in options.items())]
        with (self._workdir / f"m{number}.log").open("ab") as log:
            self._running[number] = subprocess.Popen(
                [*self._within[number], *command], stdout=log, stderr=log
            )

    def end(self, number: int) -> None:
        """Kill a member."""
        process = self._running.pop(number)
        process.kill()
        process.wait()

    def pause(self, number: int) -> None:
        """Let a member be there and not answer."""
        os.kill(self._running[number].pid, signal.SIGSTOP)

    @property
    def members(self) -> list[int]:
        """Those that run."""
        return sorted(self._running)

    def wait(self) -> None:
        """Until the members that run have a leader."""
        wait_until(lambda: all(map(self._leads, self._running)), "etcd has a leader", 120)

    def leader(self) -> int:
        """Which member leads the others."""
        self.wait()
        said = {number: self._status(number) for number in self._running}
        [found] = [
            number
            for number, value in said.items()
            if value["leader"] == value["header"]["member_id"]
        ]
        return found

    def _leads(self, number: int) -> bool:
        said = self._status(number)
        return bool(said) and said.get("leader", "0") != "0"

    def _status(self, number: int) -> dict:
        url = f"{self.endpoints[number]}/v3/maintenance/status"
        done = subprocess.run(
            [*self._within[number], sys.executable, "-c", _ASK, url],
            capture_output=True,
            check=False,
        )
        with contextlib.suppress(ValueError):
            return json.loads(done.stdout)
        return {}

    def __enter__(self) -> Self:
        for number in range(len(self.endpoints)):
            self.start(number)
        return self

    def __exit__(self, *_error: object) -> None:
        for number in self.members:
            self.end(number)


@contextlib.contextmanager
@uses("server")
def etcds(workdir: Path, count: int = 1) -> Iterator[Etcds]:
    """So many members that run on loopback."""
    urls = [f"http://127.0.0.1:{port}" for port in free_ports(2 * count)]
    with Etcds(workdir, urls[:count], urls[count:]) as cluster:
        cluster.wait()
        yield cluster


class Separate(Etcds):
    """Members in network namespaces of their own, at a bridge in another one."""

    switch: str
    """The namespace of the bridge: who is there reaches all members that are not cut off."""

    def within(self, number: int) -> list[str]:
        """What a program is started with to be where a member is."""
        return list(self._within[number])

    def cut(self, number: int) -> None:
        """Take a member's cable out."""
        _ip("-n", self.switch, "link", "set", f"p{number}", "down")

    def heal(self, number: int) -> None:
        """Put it in again."""
        _ip("-n", self.switch, "link", "set", f"p{number}", "up")


def cannot_separate() -> str:
    """Why there can be no network namespaces here; empty where there can."""
    name = f"pvefw-try-{os.getpid()}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "del", name)
    except (OSError, subprocess.CalledProcessError):
        return "network namespaces cannot be made here"
    return ""


@contextlib.contextmanager
@uses("server")
def separate_etcds(workdir: Path, count: int = 3) -> Iterator[Separate]:
    """So many members that can be cut off from each other."""
    switch = f"pvefw-{os.getpid()}"
    hosts = [f"{switch}-{number}" for number in range(count)]
    urls = [
        [f"http://10.99.0.{number + 1}:{port}" for number in range(count)]
        for port in (_PORT, _PEER_PORT)
    ]
    with contextlib.ExitStack() as stack:
        for host in (switch, *hosts):
            _ip("netns", "add", host)
            stack.callback(_ip, "netns", "del", host)
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", switch, "address", "add", "10.99.0.254/24", "dev", "bridge")
        _ip("-n", switch, "link", "set", "bridge", "up")
        for number, host in enumerate(hosts):
            pair = ["type", "veth", "peer", "name", "eth0", "netns", host]
            _ip("-n", switch, "link", "add", f"p{number}", *pair)
            _ip("-n", switch, "link", "set", f"p{number}", "master", "bridge", "up")
            _ip("-n", host, "address", "add", f"10.99.0.{number + 1}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                _ip("-n", host, "link", "set", link, "up")
        cluster = Separate(workdir, *urls, within=[["ip", "netns", "exec", host] for host in hosts])
        cluster.switch = switch
        with cluster:
            cluster.wait()
            yield cluster


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in sockets]
