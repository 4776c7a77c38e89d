"""An HTTP server that keeps what it is told."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest


class _Handler(BaseHTTPRequestHandler):
    def _answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.server.heard.append((self.command, self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        self.end_headers()

    do_POST = do_PUT = _answer  # noqa: N815 - the library's names

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def server():
    """Stands for Gotify, and for whoever gets a webhook; heard: method, path, headers and body."""
    with HTTPServer(("127.0.0.1", 0), _Handler) as running:
        running.heard, running.status = [], 200
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, args=[0.01])
        thread.start()
        yield running
        running.shutdown()
        thread.join()
