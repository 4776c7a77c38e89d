"""Server processes of tests: started with free ports, ready when they answer, ended by their pid."""

import contextlib
import os
import random
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from resources import uses
from waiting import looks

READY_SECONDS = 60.0
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_PORTS = range(15000 + _WORKER, 32000, _WORKERS)
"""Below Linux' own range for outgoing connections; each worker has some of its own."""
_given: set[int] = set()


def free_port(address: str = "127.0.0.1", kind: int = socket.SOCK_STREAM) -> int:
    """A port that nobody uses now.

    Not one that the kernel would choose: it might give the same to an outgoing connection, of this test
    or of another, before the server listens. None is given twice: its server may not have started yet.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in random.sample(_PORTS, len(_PORTS)):
        if port in _given:
            continue
        with socket.socket(family, kind) as probe, contextlib.suppress(OSError):
            probe.bind((address, port))
            _given.add(port)
            return port
    raise RuntimeError(f"{address} has no free port")


_BY_THE_MACHINES_CLOCK = ("haproxy",)
"""What never listens while libfaketime shifts its clock: HAProxy 3 compares two clocks when it starts."""


@contextlib.contextmanager
@uses("server")
def process(
    argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server for the time of the block; its output goes to a file."""
    if Path(argv[0]).name in _BY_THE_MACHINES_CLOCK:
        env = {key: value for key, value in (env or os.environ).items() if key != "LD_PRELOAD"}
    with log.open("wb") as output:
        started = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env
        )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(5)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def wait_for_port(
    port: int, started: subprocess.Popen[bytes], log: Path, address: str = "127.0.0.1"
) -> None:
    """Return when a server accepts connections.

    :raises RuntimeError: it ended, or does not in time; with its output.
    """
    for _ in looks(READY_SECONDS):
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
            return
        if started.poll() is not None:
            break
    raise RuntimeError(f"{started.args} does not listen on {port}:\n{log.read_text()[-2000:]}")
