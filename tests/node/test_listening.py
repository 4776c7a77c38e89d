"""Ports that are listened on, for the service of the API and for plugins that answer challenges."""

import contextlib
import socket

import pytest

from pvefw.api import listen


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_answer_in_two_pieces_waits_for_no_acknowledgement(address):
    """Servers write headers and body by themselves; a client acknowledges the first 40 ms later."""
    try:
        [listener] = listen([address], 0, "set another port")
    except OSError:
        pytest.skip(f"this host does not have {address}")
    with listener, socket.create_connection(listener.getsockname()[:2]):
        connection, _ = listener.accept()
        with contextlib.closing(connection):
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
