"""Which certificate is served at an address: TLS from the first byte, or begun by a command."""

import socket
import ssl
from collections.abc import Callable
from typing import BinaryIO

_LONGEST_LINE = 4096
_MOST_LINES = 100
_POSTGRES_REQUEST = bytes.fromhex("0000000804d2162f")
"""SSLRequest: its length, and 1234.5679 (PostgreSQL's protocol 3.0)."""
_LDAP_REQUEST = bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037"
"""ExtendedRequest of StartTLS, message 1 (RFC 4511 section 4.14)."""
_LDAP_SUCCESS = b"\x0a\x01\x00"
"""resultCode success in its answer (RFC 4511 section 4.1.9)."""


def served_certificate(
    host: str, port: int, starttls: str, server_name: str, timeout: float
) -> bytes:
    """The certificate that a server shows, DER. Whether it is to be trusted is not looked at.

    :param starttls: the protocol in which TLS is begun by a command; empty for TLS at once.
    :param server_name: the name to ask for (RFC 6066 section 3); empty for none.
    :param timeout: seconds for each step.
    :raises OSError: it cannot be reached, or does not begin TLS; ``ssl.SSLError`` is one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, port), timeout=timeout) as plain:
        if starttls:
            with plain.makefile("rwb", buffering=0) as stream:
                _BEGINNINGS[starttls](stream)  # type: ignore[arg-type]  # unbuffered, it is a raw one
        with context.wrap_socket(plain, server_hostname=server_name or None) as tls:
            return tls.getpeercert(binary_form=True) or b""


def _replied(stream: BinaryIO, code: bytes) -> None:
    """Read a reply of SMTP or FTP, of one line or several (RFC 5321 section 4.2.1)."""
    for _ in range(_MOST_LINES):
        line = stream.readline(_LONGEST_LINE)
        if line[3:4] != b"-" or not line.startswith(code):
            break
    _expect(line, code)


def _expect(line: bytes, beginning: bytes) -> None:
    if not line.startswith(beginning):
        reply = line.decode(errors="replace").strip() or "nothing"
        raise OSError(f"it does not begin TLS: it says {reply}")


def _smtp(stream: BinaryIO) -> None:
    """RFC 3207."""
    _replied(stream, b"220")
    stream.write(b"EHLO localhost\r\n")
    _replied(stream, b"250")
    stream.write(b"STARTTLS\r\n")
    _replied(stream, b"220")


def _imap(stream: BinaryIO) -> None:
    """RFC 3501 section 6.2.1."""
    _expect(stream.readline(_LONGEST_LINE), b"* ")
    stream.write(b"a1 STARTTLS\r\n")
    line = stream.readline(_LONGEST_LINE)
    for _ in range(_MOST_LINES):
        if not line.startswith(b"* "):
            break
        line = stream.readline(_LONGEST_LINE)
    _expect(line, b"a1 OK")


def _pop3(stream: BinaryIO) -> None:
    """RFC 2595 section 4."""
    _expect(stream.readline(_LONGEST_LINE), b"+OK")
    stream.write(b"STLS\r\n")
    _expect(stream.readline(_LONGEST_LINE), b"+OK")


def _ftp(stream: BinaryIO) -> None:
    """RFC 4217 section 4."""
    _replied(stream, b"220")
    stream.write(b"AUTH TLS\r\n")
    _replied(stream, b"234")


def _ldap(stream: BinaryIO) -> None:
    """RFC 4511 section 4.14."""
    stream.write(_LDAP_REQUEST)
    answer = stream.read(_LONGEST_LINE)
    if _LDAP_SUCCESS not in (answer or b""):
        raise OSError("it does not begin TLS: it refuses StartTLS")


def _postgres(stream: BinaryIO) -> None:
    """PostgreSQL's protocol 3.0, SSL session encryption."""
    stream.write(_POSTGRES_REQUEST)
    _expect(stream.read(1) or b"", b"S")


_BEGINNINGS: dict[str, Callable[[BinaryIO], None]] = {
    "smtp": _smtp,
    "imap": _imap,
    "pop3": _pop3,
    "ftp": _ftp,
    "ldap": _ldap,
    "postgres": _postgres,
}
