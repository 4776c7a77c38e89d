"""When a guest that runs is ready: its agent answers, or a TCP port does."""

import re

from pvefw.core.binding import Bound
from pvefw.core.hookspecs.guest import GuestSpec
from pvefw.core.model import Guest, Task
from pvefw.host.clock import Clock
from pvefw.host.network import answers

_TCP = re.compile(r"tcp:(?P<host>\[[0-9a-fA-F:.%]+\]|[^\s:\[\]]+):(?P<port>[0-9]{1,5})")
_CONNECT_SECONDS = 2.0
_BETWEEN = 0.25
AGENT = "agent"
_HIGHEST_PORT = 65535


def parse(text: str) -> tuple[str, int] | None:
    """The address of ``tcp:HOST:PORT``, or ``None`` for ``agent``.

    :raises ValueError: it is neither.
    """
    if text == AGENT:
        return None
    match = _TCP.fullmatch(text)
    if match is None or not 1 <= int(match["port"]) <= _HIGHEST_PORT:
        raise ValueError(f"'{text}' is neither agent nor tcp:HOST:PORT")
    return match["host"].strip("[]"), int(match["port"])


def wait(backend: Bound[GuestSpec], guest: Guest, timeout: float, task: Task, clock: Clock) -> bool:
    """Wait until the guest is ready, for at most ``timeout`` seconds; whether it is.

    :raises ProviderError: its agent cannot be asked.
    """
    address = parse(guest.ready)
    if address is None:
        if "guest_ready" not in backend.implemented:
            return False
        return bool(backend.hooks.guest_ready(guest=guest, timeout=timeout, task=task))
    end = clock.monotonic() + timeout
    while (left := end - clock.monotonic()) > 0:
        if answers(*address, timeout=min(left, _CONNECT_SECONDS)):
            return True
        task.wait(min(_BETWEEN, max(left, 0.0)))
    return False
