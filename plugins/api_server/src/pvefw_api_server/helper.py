"""Root's part: takes the calls that the front hands on, each in a process of its own but the lists that
everybody asks for all the time. What a call gets is decided in :mod:`pvefw_api_server.answering`.

Who may connect is a user id, which the kernel tells (SO_PEERCRED). The front gets the pair that it serves
before anything else is loaded: it cannot begin without.

A call that starts a task answers with its UPID, and its process becomes the task: it goes on when the
helper is restarted, and calls do not wait for each other.
"""

import contextlib
import gc
import os
import pwd
import socket
import socketserver
import struct
import sys
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

from pvefw.cli.streams import say
from pvefw.core import text
from pvefw.host.durable import make_directory
from pvefw.store import files
from pvefw.store.paths import Paths
from pvefw_api.errors import FAILED, ApiError, bad_parameters
from pvefw_api_server import network, pair, wire

_PEER = struct.Struct("3i")
"""pid, uid, gid (unix(7))."""
_PATIENCE = 5.0
"""Seconds that the front may take for the next piece of a call."""
_LOOK = 0.2
"""Seconds within which the front asks for its pair, if it was started together with us."""
_OK, _FULL = 200, 503
_MOST, _MOST_OF_ONE = 200, 100
"""Processes at a time, and those of one address: calls that take their time, and tasks."""


class Helper(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Accepts the front's connections; a process for each.

    :param front: the name of the user that the front runs as.
    :param peers: the port on which other nodes serve the API.
    """

    max_children = 1 << 20  # at this number, socketserver would wait for one, and answer nobody
    block_on_close = False
    request_queue_size = 128

    def __init__(self, place: Path, paths: Paths, front: str, peers: int) -> None:
        self.paths = paths
        self.front = front
        self.peers = peers
        self._callers: dict[int, str] = {}
        """Of each process that runs: the network that it works for."""
        super().__init__(str(place), _Connection)

    def server_bind(self) -> None:
        mask = os.umask(0o111)  # everybody may try; who may connect is looked at then
        try:
            super().server_bind()
        finally:
            os.umask(mask)

    def service_actions(self) -> None:
        """Between two connections. The first is the front's, for its pair: after it, load the rest."""
        super().service_actions()
        answering()

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - socketserver's
        """Let in the front, and root, who gains nothing here."""
        peer = request.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        _, uid, _ = _PEER.unpack(peer)
        return uid in (0, _uid(self.front))

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's
        """Answer a call here, or in a process of its own, where it may take its time."""
        request.settimeout(_PATIENCE)
        try:
            message = wire.receive(request)
        except ValueError as error:
            _send(request, bad_parameters({"message": str(error)}))
            self.shutdown_request(request)
            return
        request.settimeout(None)
        if message.get("verb") == wire.PAIR:
            self._fork(request, message, "")
        elif answering().is_at_once(self.paths, message):
            self.answer(request, message)
            self.shutdown_request(request)
        elif self._has_room(caller := network.of(str(message.get("client")))):
            self._fork(request, message, caller)
        else:
            _send(request, ApiError(_FULL, "too many calls and tasks at once: try again later"))
            self.shutdown_request(request)

    def _fork(self, request: Any, message: Any, caller: str) -> None:
        """Have a process answer a call."""
        before = set(self.active_children or ())
        super().process_request(request, message)  # in place of the address, which is empty
        self._callers |= dict.fromkeys(set(self.active_children or ()) - before, caller)

    def _has_room(self, caller: str) -> bool:
        """Whether a network may have one process more, and leaves room to others."""
        running = self.active_children or set()
        self._callers = {pid: of for pid, of in self._callers.items() if pid in running}
        of_one = sum(of == caller for of in self._callers.values())
        return len(running) < _MOST and of_one < _MOST_OF_ONE

    def answer(self, request: socket.socket, message: Mapping[str, Any]) -> None:
        """Answer a call, and do the work that it starts."""
        answering().answer(self.paths, message, partial(_send, request), self.peers)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's
        """Say what went wrong: to the journal what it was, to the front only that."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            say(text.one_line(f"a call failed: {type(error).__name__}: {error}"), err=True)
        _send(request, ApiError(FAILED, "the call failed: see the journal of pvefw-api-helper"))


@cache
def answering() -> ModuleType:
    """What answers calls, with all that it needs, loaded once for every process."""
    from pvefw_api_server import answering as module

    module.prepare()
    gc.freeze()  # calls share this memory for as long as nobody writes to it
    return module


def _uid(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


class _Connection(socketserver.BaseRequestHandler):
    server: Helper
    request: socket.socket

    def handle(self) -> None:
        self.server.socket.close()  # a task must not keep it open
        if self.client_address.get("verb") == wire.PAIR:
            pair.hand_over(self.request, self.server.paths)
        else:
            self.server.answer(self.request, self.client_address)


def _send(connection: socket.socket, answered: Any) -> None:
    """Send an answer or an error; it is the last that the front hears."""
    if isinstance(answered, ApiError):
        status, body = answered.status, answered.as_dict()
    else:
        status, body = _OK, {"data": answered}
    with contextlib.suppress(OSError):  # whoever called has left, and what is done is done
        connection.sendall(wire.answer(status, body))
        connection.shutdown(socket.SHUT_RDWR)


def run(place: Path, paths: Paths, front: str, peers: int) -> None:
    """Answer calls until a signal ends it.

    :param peers: as of :class:`Helper`.
    :raises StoreError: the socket cannot be made there.
    """
    try:
        make_directory(place.parent)
        files.remove(place)  # of one that was killed
        helper = Helper(place, paths, front, peers)
    except OSError as error:
        raise files.failed("make", place, error) from error
    helper.serve_forever(_LOOK)
