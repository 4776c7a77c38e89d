"""The first message of a TLS client, read before anything is answered (RFC 8446 sections 4.1.2 and 5.1).

OpenSSL shows a certificate before Python can see that no protocol fits. So server name and protocols are
read here, and who does not ask for a validation is shown nothing.
"""

from dataclasses import dataclass

LONGEST = 64 * 1024
"""Bytes of a first message that are read; it has far fewer."""
_HANDSHAKE_RECORD, _CLIENT_HELLO = 22, 1
_SERVER_NAME, _ALPN = 0, 16
_VERSION_AND_RANDOM = 2 + 32
_RECORD_HEADER, _MESSAGE_HEADER = 5, 4


class Malformed(Exception):
    """What arrived is not the beginning of TLS."""


@dataclass(frozen=True)
class Hello:
    """What a client asks for."""

    name: str
    """The server name (RFC 6066 section 3), lower case; empty without one."""
    protocols: tuple[str, ...]
    """RFC 7301, in the client's order."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def __bool__(self) -> bool:
        return bool(self._data)

    def take(self, count: int) -> bytes:
        if count > len(self._data):
            raise Malformed
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> "_Reader":
        """As many bytes as the number before them says; that has so many bytes itself."""
        return _Reader(self.take(self.number(size)))

    @property
    def rest(self) -> bytes:
        return self._data


def parse(data: bytes) -> Hello | None:
    """Read the message; ``None`` as long as it is not complete.

    :raises Malformed: it is none.
    """
    message = _message(data)
    if message is None:
        return None
    body = _Reader(message)
    body.take(_VERSION_AND_RANDOM)
    body.vector(1)  # session
    body.vector(2)  # cipher suites
    body.vector(1)  # compression
    name = ""
    protocols: tuple[str, ...] = ()
    extensions = body.vector(2) if body else _Reader(b"")
    while extensions:
        kind, content = extensions.number(2), extensions.vector(2)
        if kind == _SERVER_NAME:
            name = _server_name(content)
        elif kind == _ALPN:
            protocols = _protocols(content)
    return Hello(name, protocols)


def _message(data: bytes) -> bytes | None:
    """The body of the first handshake message, which may be spread over several records."""
    message = b""
    while True:
        if data and data[0] != _HANDSHAKE_RECORD:
            raise Malformed
        if len(data) < _RECORD_HEADER:
            return None
        size = int.from_bytes(data[3:_RECORD_HEADER])
        message += data[_RECORD_HEADER : _RECORD_HEADER + size]
        if message and message[0] != _CLIENT_HELLO:
            raise Malformed
        if len(message) >= _MESSAGE_HEADER:
            end = _MESSAGE_HEADER + int.from_bytes(message[1:_MESSAGE_HEADER])
            if end > LONGEST:
                raise Malformed
            if len(message) >= end:
                return message[_MESSAGE_HEADER:end]
        if len(data) < _RECORD_HEADER + size or not size:
            return None
        data = data[_RECORD_HEADER + size :]


def _server_name(content: _Reader) -> str:
    names = content.vector(2)
    while names:
        kind, name = names.number(1), names.vector(2).rest
        if kind == 0:
            return name.decode("ascii", "replace").lower().removesuffix(".")
    return ""


def _protocols(content: _Reader) -> tuple[str, ...]:
    listed, names = content.vector(2), []
    while listed:
        names.append(listed.vector(1).rest.decode("ascii", "replace"))
    return tuple(names)
