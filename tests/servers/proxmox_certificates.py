"""Proxmox Backup Server and Mail Gateway, as far as they take certificates: the real ones cannot be had.

As their published API has it: ``POST /nodes/NODE/certificates/custom`` with a token, and
``POST /nodes/NODE/certificates/custom/TYPE`` with a ticket. Both serve what they were given from then on.
"""

import hashlib
import json
import secrets
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from resources import uses

TOKEN, SECRET = "root@pam!pvefw", "11111111-2222-3333-4444-555555555555"
USER, PASSWORD = "root@pam", "a password"


def fingerprint(pem: str) -> str:
    """Of the first certificate, as the servers show it: lower case."""
    leaf = pem[: pem.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)]
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf)).hexdigest()
    return ":".join(digest[at : at + 2] for at in range(0, 64, 2))


class Server:
    """One of the two, with the certificate that it has."""

    def __init__(self, directory: Path, pem: bytes, key: bytes) -> None:
        self._directory = directory
        self.given: list[tuple[str, Mapping[str, str]]] = []
        self.ticket, self.csrf = secrets.token_hex(8), secrets.token_hex(8)
        self.second_factor = False
        self.answers: list[tuple[int, object]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = self._http.server_port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.use(pem, key)
        self._http.socket = self._context.wrap_socket(self._http.socket, server_side=True)

    def use(self, pem: bytes, key: bytes) -> None:
        """Serve another certificate."""
        paths = self._directory / "proxy.pem", self._directory / "proxy.key"
        for path, data in zip(paths, (pem, key), strict=True):
            path.write_bytes(data)
        self._context.load_cert_chain(*paths)

    def answer(
        self, path: str, headers: Mapping[str, str], form: Mapping[str, str]
    ) -> tuple[int, object]:
        """Status and data."""
        if self.answers:
            return self.answers.pop(0)
        if path == "/api2/json/access/ticket":
            return self._log_in(form)
        token = headers.get("Authorization") == f"PBSAPIToken={TOKEN}:{SECRET}"
        ticket = headers.get("Cookie") == f"PMGAuthCookie={self.ticket}"
        if not token and not (ticket and headers.get("CSRFPreventionToken") == self.csrf):
            return 401, None
        self.given.append((path.removeprefix("/api2/json"), dict(form)))
        shown = {"filename": "proxy.pem", "fingerprint": fingerprint(form["certificates"])}
        return 200, [shown] if token else shown

    def _log_in(self, form: Mapping[str, str]) -> tuple[int, object]:
        if (form.get("username"), form.get("password")) != (USER, PASSWORD):
            return 401, None
        if self.second_factor:
            return 200, {"ticket": "PMG:!tfa!", "username": USER}
        return 200, {"ticket": self.ticket, "CSRFPreventionToken": self.csrf, "username": USER}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {key: value[0] for key, value in parse_qs(body).items()}
                status, data = server.answer(self.path, dict(self.headers), form)
                said = json.dumps({"data": data}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        return Handler

    @contextmanager
    def running(self) -> "Iterator[Server]":
        """For the time of the block."""
        thread = threading.Thread(target=self._http.serve_forever, args=[0.01], daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()


@contextmanager
@uses("server")
def proxmox_server(directory: Path, pem: bytes, key: bytes) -> Iterator[Server]:
    """A server at 127.0.0.1 that has this certificate."""
    with Server(directory, pem, key).running() as server:
        yield server
