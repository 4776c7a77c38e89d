"""A TLS server that ends with the handshake, and cannot be kept busy."""

import contextlib
import select
import selectors
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence

from pvefw_acme_tls_alpn import hello
from pvefw_acme_tls_alpn.answer import PROTOCOL

Find = Callable[[str], ssl.SSLContext | None]
"""The answer for a server name, if one is pending; asked for every connection."""
_MOST_CONNECTIONS = 64
_IDLE_SECONDS = 10.0
_PAUSE = 0.05
_CHUNK = 16 * 1024
_NO_APPLICATION_PROTOCOL, _UNRECOGNIZED_NAME = 120, 112
"""Alerts of RFC 8446 section 6.2."""


class Listener:
    """Listens from its making until :meth:`close`.

    :param listening: sockets that listen; they belong to it from now on.
    """

    def __init__(self, listening: Sequence[socket.socket], find: Find) -> None:
        self._find = find
        self._listening = list(listening)
        self._connections: deque[socket.socket] = deque()
        self._lock = threading.Lock()
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and drop every connection; ports opened here are free when this returns.

        Nothing is shut down but connections: a socket that was handed over is also systemd's.
        """
        self._wake.close()
        self._thread.join()
        for listener in self._listening:
            listener.close()
        with self._lock:
            for connection in self._connections:
                _drop(connection)
            self._connections.clear()

    def _accept(self) -> None:
        with self._woken, selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            for listener in self._listening:
                listener.setblocking(False)  # who knocked may have gone again
                selector.register(listener, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._woken:
                        return
                    try:
                        self._begin(key.fileobj.accept()[0])  # type: ignore[union-attr]  # a socket
                    except BlockingIOError:
                        pass  # who knocked has gone
                    except OSError:
                        self._make_room()

    def _make_room(self) -> None:
        """Where the process may open no more files: drop who waits longest, and give the others time."""
        with self._lock:
            if self._connections:
                _drop(self._connections.popleft())
        select.select([self._woken], [], [], _PAUSE)

    def _begin(self, connection: socket.socket) -> None:
        with self._lock:
            if len(self._connections) >= _MOST_CONNECTIONS:
                # whoever waits longest is not the authority: that one asks at once
                _drop(self._connections.popleft())
            self._connections.append(connection)
        threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(_IDLE_SECONDS)
            _answer(connection, self._find)
        except (
            OSError,
            hello.Malformed,
        ):  # of TLS, too: it left, was dropped, or is no client of ours
            pass
        finally:
            with self._lock:
                if connection in self._connections:
                    self._connections.remove(connection)
            _drop(connection)


def _answer(connection: socket.socket, find: Find) -> None:
    """One handshake; who does not ask for a pending validation gets an alert and no certificate."""
    data, asked = b"", None
    while asked is None:
        more = connection.recv(_CHUNK)
        data += more
        if not more or len(data) > hello.LONGEST:
            return
        asked = hello.parse(data)
    if PROTOCOL not in asked.protocols:
        connection.sendall(_alert(_NO_APPLICATION_PROTOCOL))
        return
    context = find(asked.name)
    if context is None:
        connection.sendall(_alert(_UNRECOGNIZED_NAME))
        return
    _handshake(connection, context, data)


def _handshake(connection: socket.socket, context: ssl.SSLContext, begun: bytes) -> None:
    """A handshake whose beginning was read already, and the goodbye (RFC 8737 section 3)."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(begun)
    for step in (tls.do_handshake, tls.unwrap):
        while True:
            try:
                step()
                break
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                more = connection.recv(_CHUNK)
                if not more:
                    return
                incoming.write(more)
            finally:
                connection.sendall(outgoing.read())


def _alert(description: int) -> bytes:
    """A fatal alert before any key is agreed on."""
    return bytes([21, 3, 3, 0, 2, 2, description])


def _drop(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in recv
    connection.close()
