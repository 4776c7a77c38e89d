"""A proxy in front of Pebble that misbehaves where it is told to."""

import contextlib
import http.client
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme

from servers.pebble import Pebble


@dataclass
class Answer:
    """What Pebble answered, for a fault to spoil."""

    status: int
    headers: dict[str, str]
    body: bytes


Fault = Callable[["FaultyAcme", BaseHTTPRequestHandler, Answer], Answer | None]
"""Returns what to send; or sends (or does not) by itself and returns ``None``."""


@dataclass
class _Rule:
    path: re.Pattern[str]
    fault: Fault
    times: int


@dataclass
class FaultyAcme:
    """A proxy that runs."""

    directory: str
    ca_file: Path
    ended: threading.Event = field(default_factory=threading.Event)
    requests: list[str] = field(default_factory=list)
    """Method and path of every request."""
    _rules: list[_Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, path: str, fault: Fault, times: int = 10**9) -> None:
        """Let requests whose ``METHOD /path`` matches go wrong, so many times."""
        self._rules.append(_Rule(re.compile(path), fault, times))

    def heal(self) -> None:
        """Let everything go well again."""
        with self._lock:
            self._rules.clear()

    def fault_for(self, request: str) -> Fault | None:
        """The fault for a request, if one is left."""
        with self._lock:
            self.requests.append(request)
            for rule in self._rules:
                if rule.times > 0 and rule.path.search(request):
                    rule.times -= 1
                    return rule.fault
        return None


class _Server(ThreadingHTTPServer):
    """Speaks TLS, one thread a connection."""

    daemon_threads = True

    def __init__(self, server: Pebble, certificate: trustme.LeafCert) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self.context)
        self.upstream = ssl.create_default_context(cafile=str(server.ca_file))
        self.upstream_address = server.directory.split("/")[2]
        self.proxy: FaultyAcme

    def handle_error(self, *_arguments: object) -> None:
        """Broken connections are what this is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        self.request.settimeout(30)
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        self.request.close()

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.proxy.fault_for(f"{self.command} {self.path}")
        refused = fault is not None and hasattr(fault, "refuses")
        answer: Answer | None = Answer(200, {}, b"") if refused else self.forward(body)
        if fault is not None and answer is not None:
            answer = fault(self.server.proxy, self, answer)
        if answer is not None:
            self.reply(answer)

    do_POST = do_HEAD = do_GET  # noqa: N815 - http.server looks for these names

    def forward(self, body: bytes) -> Answer:
        """Ask Pebble, which makes its URLs from the Host header: they lead back here."""
        connection = http.client.HTTPSConnection(
            self.server.upstream_address, context=self.server.upstream, timeout=10
        )
        kept = {key: self.headers[key] for key in ("Host", "Content-Type") if key in self.headers}
        connection.request(self.command, self.path, body, kept)
        got = connection.getresponse()
        answer = Answer(got.status, dict(got.headers.items()), got.read())
        connection.close()
        return answer

    def reply(self, answer: Answer) -> None:
        self.send_response(answer.status)
        skipped = {"content-length", "date", "transfer-encoding", "connection"}
        for key, value in answer.headers.items():
            if key.lower() not in skipped:
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, *_arguments: object) -> None:
        pass


@contextlib.contextmanager
def faulty_acme(server: Pebble, workdir: Path) -> Iterator[FaultyAcme]:
    """Start a proxy in front of a Pebble."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    ca_file = workdir / "faulty-ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    with _Server(server, authority.issue_cert("127.0.0.1")) as listener:
        path = server.directory.split("/", 3)[3]
        proxy = FaultyAcme(f"https://127.0.0.1:{listener.server_port}/{path}", ca_file)
        listener.proxy = proxy
        thread = threading.Thread(target=listener.serve_forever, args=[0.02])
        thread.start()
        try:
            yield proxy
        finally:
            proxy.ended.set()
            listener.shutdown()
            thread.join()


# --- faults ---------------------------------------------------------------------------------------


def busy(retry_after: str | None, status: int = 503) -> Fault:
    """Too busy, with or without a Retry-After."""

    def fault(_proxy: FaultyAcme, _handler: BaseHTTPRequestHandler, _answer: Answer) -> Answer:
        return Answer(status, {} if retry_after is None else {"Retry-After": retry_after}, b"busy")

    return _refusing(fault)


def changed(
    *, status: int | None = None, body: bytes | None = None, **headers: str | None
) -> Fault:
    """Another status, body or headers (``Content_Type="text/html"``; ``None`` to leave one out)."""

    def fault(_proxy: FaultyAcme, _handler: BaseHTTPRequestHandler, answer: Answer) -> Answer:
        spoilt = dict(answer.headers)
        for name, value in headers.items():
            key = name.replace("_", "-")
            for same in [other for other in spoilt if other.lower() == key.lower()]:
                del spoilt[same]
            if value is not None:
                spoilt[key] = value
        return Answer(
            answer.status if status is None else status,
            spoilt,
            answer.body if body is None else body,
        )

    return fault


def problem(kind: str, detail: str, status: int = 400) -> Fault:
    """A problem document."""
    body = f'{{"type": "urn:ietf:params:acme:error:{kind}", "detail": "{detail}"}}'
    return _refusing(
        changed(status=status, body=body.encode(), Content_Type="application/problem+json")
    )


def _refusing(fault: Fault) -> Fault:
    """The request does not reach Pebble."""
    fault.refuses = True  # type: ignore[attr-defined]  # a function takes it
    return fault


def stall(proxy: FaultyAcme, _handler: BaseHTTPRequestHandler, _answer: Answer) -> None:
    """Never answer."""
    proxy.ended.wait(60)


def drip(proxy: FaultyAcme, handler: BaseHTTPRequestHandler, _answer: Answer) -> None:
    """Send a byte now and then, for ever."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not proxy.ended.wait(0.05):
        handler.wfile.write(b" ")


def drip_headers(proxy: FaultyAcme, handler: BaseHTTPRequestHandler, _answer: Answer) -> None:
    """Send a byte of a header now and then, for ever."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not proxy.ended.wait(0.05):
        handler.wfile.write(b"x")


def cut(_proxy: FaultyAcme, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    """Close the connection in the middle of the body."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    handler.wfile.write(f"Content-Length: {len(answer.body) + 10}\r\n\r\n".encode())
    handler.wfile.write(answer.body[: len(answer.body) // 2])
    handler.close_connection = True


def gone(_proxy: FaultyAcme, handler: BaseHTTPRequestHandler, _answer: Answer) -> None:
    """Close the connection without a word."""
    handler.close_connection = True
