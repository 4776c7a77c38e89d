"""Runs the fakes' servers in threads of this process, for the time of a ``with`` block."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from typing import TypeVar

_Server = TypeVar("_Server", bound=socketserver.BaseServer)
_LOOK_AROUND = 0.05
"""Seconds after which a server sees that it is to end."""


@contextlib.contextmanager
def serving(server: _Server) -> Iterator[_Server]:
    """Answer in a thread; at the end of the block nobody listens any more."""
    thread = threading.Thread(target=server.serve_forever, args=(_LOOK_AROUND,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
