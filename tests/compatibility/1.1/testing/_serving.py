"""Runs the fakes' servers in threads of this process, for the time of a ``with`` block."""

import contextlib
import selectors
import socket
import socketserver
import threading
from collections.abc import Iterator
from typing import TypeVar

_Server = TypeVar("_Server", bound=socketserver.TCPServer)


@contextlib.contextmanager
def serving(server: _Server) -> Iterator[_Server]:
    """Answer in a thread; at the end of the block nobody listens any more."""
    ending, end = socket.socketpair()
    thread = threading.Thread(target=_answer, args=(server, ending), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        end.close()
        thread.join()
        ending.close()
        server.server_close()


def _answer(server: socketserver.TCPServer, ending: socket.socket) -> None:
    """As ``serve_forever``, which looks for its end from time to time; this one sees it at once."""
    server.timeout = 0  # who asked may have gone again
    with selectors.DefaultSelector() as ready:
        ready.register(server, selectors.EVENT_READ)
        ready.register(ending, selectors.EVENT_READ)
        while all(key.fileobj is not ending for key, _ in ready.select()):
            server.handle_request()
