"""What the front and the helper say to each other: a call is a JSON object in a line, on a Unix socket;
its answer is a line with the status of HTTP, and the body as it goes to the client.

A connection has one call. The helper takes the front for an enemy: see :mod:`pvefw_api_server.helper`.
"""

import json
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pvefw.store import files

SOCKET = Path("/run/pvefw-api/helper.sock")
PORT = 8006
"""Where nodes serve the API, if nothing else is said."""
LARGEST = 2 << 20
"""Bytes of a call: parameters with certificates are far below that."""
CALL, PAIR = "call", "pair"
FOUND, MISSING = b"+", b"-"
"""What comes with each pair, and where there is none."""


def encode(message: dict[str, Any]) -> bytes:
    """A line."""
    return json.dumps(message).encode() + b"\n"


class Written(list[Any]):
    """A list that is answered again and again, with its JSON."""

    def __init__(self, rows: Iterable[Any]) -> None:
        super().__init__(rows)
        self.json = json.dumps(self).encode()


def answer(status: int, body: Mapping[str, Any]) -> bytes:
    """An answer."""
    data = body.get("data")
    if isinstance(data, Written) and len(body) == 1:
        return b'%d\n{"data": %b}' % (status, data.json)
    return b"%d\n" % status + json.dumps(body).encode()


def answered(data: bytes) -> tuple[int, bytes]:
    """The status of an answer, and its body.

    :raises ValueError: it has ended half-way.
    """
    status, _, body = data.partition(b"\n")
    if not body:
        raise ValueError("the answer has no body")
    return int(status), body


def receive(connection: socket.socket) -> dict[str, Any]:
    """Read a line.

    :raises ValueError: it is too long, or no object of texts.
    :raises OSError: the other side has left, or takes too long.
    """
    data = bytearray()
    while not data.endswith(b"\n"):
        piece = connection.recv(1 << 16)
        if not piece:
            raise ConnectionResetError("the other side has left")
        data += piece
        if len(data) > LARGEST:
            raise ValueError("the call is too long")
    message = files.parse_json(bytes(data))
    if isinstance(message, dict) and is_text(message):
        return message
    raise ValueError("the call is no object of texts")


def is_text(document: Any) -> bool:
    """Whether all that a document says can be written: JSON has halves of characters, too."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
