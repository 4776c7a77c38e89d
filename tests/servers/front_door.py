"""What stands before an API and answers in its place: a proxy, a page to sign in, a lost packet."""

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests
import urllib3
from urllib3.exceptions import InsecureRequestWarning

_SECONDS = 20.0
_ATTEMPTS = 3
_KEPT = ("Authorization", "Content-Type")


@dataclass
class Odd:
    """An answer of its own to requests of one kind."""

    method: str
    suffix: str
    """How the path ends."""
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    closed: bool = False
    """The connection is closed without an answer."""
    times: int = 1 << 30

    def fits(self, method: str, path: str) -> bool:
        """Whether this request is one; it counts it."""
        if (
            self.times < 1
            or method != self.method
            or not path.partition("?")[0].endswith(self.suffix)
        ):
            return False
        self.times -= 1
        return True


@dataclass
class FrontDoor:
    """Serves what an API serves, but for what it is told."""

    port: int
    odd: list[Odd] = field(default_factory=list)

    def answers(
        self, method: str, suffix: str, *, status: int = 200, body: bytes = b"", **more: Any
    ) -> Odd:
        """Answer otherwise from now on."""
        made = Odd(method, suffix, status, body, **more)
        self.odd.insert(0, made)
        return made


def _forwarded(
    url: str, method: str, headers: Mapping[str, str], given: bytes
) -> requests.Response:
    for _ in range(_ATTEMPTS):  # the fake drops handshakes when many come at once
        with suppress(requests.exceptions.ConnectionError):
            return requests.request(
                method, url, data=given, headers=headers, verify=False, timeout=_SECONDS
            )
    raise AssertionError(f"{url} cannot be reached")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    door: FrontDoor
    behind: str

    def _serve(self) -> None:
        given = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        odd = next((odd for odd in self.door.odd if odd.fits(self.command, self.path)), None)
        if odd is None:
            kept = {name: self.headers[name] for name in _KEPT if self.headers[name]}
            real = _forwarded(self.behind + self.path, self.command, kept, given)
            self._answer(real.status_code, real.content, {}, real.reason)
        elif odd.closed:
            self.close_connection = True
        else:
            self._answer(odd.status, odd.body, odd.headers)

    def _answer(
        self, status: int, body: bytes, headers: Mapping[str, str], reason: str | None = None
    ) -> None:
        with suppress(OSError):  # whoever asked has gone
            self.send_response(status, reason)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def front_door(directory: Path, port: int) -> Iterator[FrontDoor]:
    """Stand before an API on this machine, with its own certificate (``c.pem``, ``c.key``)."""
    urllib3.disable_warnings(InsecureRequestWarning)
    made = FrontDoor(0)
    serving = {"door": made, "behind": f"https://127.0.0.1:{port}"}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), serving))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "c.pem", directory / "c.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
