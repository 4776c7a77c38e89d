"""A web server that knows some tokens and nothing else, and cannot be kept busy."""

import contextlib
import errno
import re
import socket
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any

from pvefw.api import listen

PREFIX = "/.well-known/acme-challenge/"
_MOST_CONNECTIONS = 64
_IDLE_SECONDS = 10.0
_OTHERWISE = "stop it, or set another port or a webroot"
"""What to do where another program has the port."""
_PAUSE = 0.05
_PASSING = {
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.ENOMEM,
    errno.ECONNABORTED,
    errno.EINTR,
}
"""What accept(2) says that has nothing to do with the socket."""
_ABSOLUTE = re.compile(r"https?://[^/]*", re.IGNORECASE)
"""How a request's target begins that names the host, too: RFC 9112 section 3.2.2."""


class Listener:
    """Listens from its making until :meth:`close`.

    :param addresses: where to listen; none for all IPv4 and IPv6 addresses.
    :param answers: token to answer; looked at for every request, so it may change meanwhile.
    :raises OSError: an address cannot be listened on; the text says why, and who is in the way.
    """

    def __init__(self, addresses: Sequence[str], port: int, answers: Mapping[str, str]) -> None:
        self._answers = answers
        self._connections: deque[socket.socket] = deque()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._sockets = listen(addresses, port, _OTHERWISE)
        for listener in self._sockets:
            threading.Thread(target=self._accept, args=[listener], daemon=True).start()

    def close(self) -> None:
        """Stop listening and drop every connection; the port is free when this returns."""
        self._closed.set()
        for listener in self._sockets:
            _drop(listener)
        with self._lock:
            for connection in self._connections:
                _drop(connection)
            self._connections.clear()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, peer = listening.accept()
            except OSError as error:
                if error.errno not in _PASSING:
                    return  # closed
                self._make_room()
                continue
            with self._lock:
                if len(self._connections) >= _MOST_CONNECTIONS:
                    # whoever waits longest is not the authority: that one asks at once
                    _drop(self._connections.popleft())
                self._connections.append(connection)
            threading.Thread(target=self._serve, args=[connection, peer], daemon=True).start()

    def _make_room(self) -> None:
        """Where the process may open no more files: drop who waits longest, and give the others time."""
        with self._lock:
            if self._connections:
                _drop(self._connections.popleft())
        self._closed.wait(_PAUSE)

    def _serve(self, connection: socket.socket, peer: Any) -> None:
        try:
            connection.settimeout(_IDLE_SECONDS)
            _Handler(connection, peer, self._answers)  # type: ignore[arg-type]  # as below
        except OSError:
            pass  # it left, or was dropped
        finally:
            with self._lock:
                if connection in self._connections:
                    self._connections.remove(connection)
            _drop(connection)


class _Handler(BaseHTTPRequestHandler):
    """One request on one connection."""

    server: Mapping[str, str]  # type: ignore[assignment]  # all that it needs of a server

    def do_GET(self) -> None:
        """Answer a token of this order."""
        path = _ABSOLUTE.sub("", self.path)
        token = path.removeprefix(PREFIX)
        answer = self.server.get(token) if path.startswith(PREFIX) else None
        self._reply(404 if answer is None else 200, (answer or "").encode())

    do_HEAD = do_GET  # noqa: N815 - http.server looks for this name

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002 - http.server's signature
        """A bad request gets a status and no page."""
        self.requestline = ""
        self.command = ""
        self.request_version = self.protocol_version
        self._reply(code, b"")

    def version_string(self) -> str:
        """What the Server header says."""
        return "pvefw"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's signature
        """Say nothing: standard error is the user's."""


def _drop(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept or recv
    connection.close()
