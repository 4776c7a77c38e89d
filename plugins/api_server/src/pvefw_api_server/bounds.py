"""What one client can take of the front: connections, and time.

Whoever keeps connections open without a request would keep all others out, and needs no ticket for it.
So a network has a share of the connections, which are counted before TLS begins; a request has to come
in time, and an answer has to be read.
"""

import asyncio
import contextlib
import socket
import weakref
from collections.abc import Sequence
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from pvefw_api_server import network

MOST, MOST_OF_ONE = 500, 200
"""Connections at a time, and those of one network."""
HANDSHAKE = 15.0
"""Seconds that TLS may take to begin."""
_REQUEST = 30.0
"""Seconds from a request's first byte, or from the connection, to the request's last byte."""
_READ = 60.0
"""Seconds in which a client that is behind has to read something."""


class Listening(socket.socket):
    """Accepts connections as long as there are few enough of them."""

    def __init__(self, listener: socket.socket, others: "Shares") -> None:
        super().__init__(listener.family, listener.type, listener.proto, listener.detach())
        self._shares = others

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection; one too many is closed.

        :raises BlockingIOError: there is none, or it was one too many: whoever listens asks again.
        """
        connection, address = super().accept()
        if self._shares.take(connection, network.of(str(address[0]))):
            return connection, address
        connection.close()
        raise BlockingIOError


class Shares:
    """The connections that are open, by network; of all sockets together."""

    def __init__(self) -> None:
        self._open: dict[str, weakref.WeakSet[socket.socket]] = {}

    def take(self, connection: socket.socket, of: str) -> bool:
        """Count a connection; whether it is not one too many."""
        self._open = {key: left for key, held in self._open.items() if (left := _still_open(held))}
        mine = self._open.setdefault(of, weakref.WeakSet())
        if len(mine) >= MOST_OF_ONE or sum(map(len, self._open.values())) >= MOST:
            return False
        mine.add(connection)
        return True


def _still_open(held: "weakref.WeakSet[socket.socket]") -> "weakref.WeakSet[socket.socket]":
    return weakref.WeakSet(connection for connection in held if connection.fileno() >= 0)


def shared(listeners: Sequence[socket.socket]) -> list[socket.socket]:
    """Sockets that listen as before, and share what is open at a time."""
    shares = Shares()
    return [Listening(listener, shares) for listener in listeners]


class Loop(asyncio.SelectorEventLoop):
    """A loop whose clients begin TLS in time; uvicorn has no setting for that."""

    async def create_server(self, *args: Any, **options: Any) -> Any:
        """As that of every loop."""
        limit = {"ssl_handshake_timeout": HANDSHAKE} if options.get("ssl") else {}
        return await super().create_server(*args, **{**options, **limit})


class Protocol(H11Protocol):
    """HTTP, with an end to waiting for whoever does not send, or does not read."""

    _sending: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        super().connection_made(cast(asyncio.Transport, transport))
        self._look()

    def data_received(self, data: bytes) -> None:
        """A client has sent something."""
        with contextlib.suppress(h11.LocalProtocolError):  # after an answer to what was no HTTP
            super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """An answer has been given; the next request may be here already."""
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """A client has gone."""
        super().connection_lost(exc)
        for timer in (self._sending, self._reading):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        """A client does not read as fast as we write."""
        super().pause_writing()
        self._expect_less(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """It has read on."""
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()

    def _expect_less(self, waiting: int) -> None:
        """Look again later: an answer may be long, and the line slow, but not nothing may have gone."""
        self._reading = self.loop.call_later(_READ, self._compare, waiting)

    def _compare(self, before: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting < before:
            self._expect_less(waiting)
        else:
            self.transport.abort()

    def _look(self) -> None:
        """Let time run while a request is not all here; from its beginning, however slowly it comes."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            if self._sending is not None:
                self._sending.cancel()
            self._sending = None
        elif self._sending is None:
            self._sending = self.loop.call_later(_REQUEST, self.transport.abort)
