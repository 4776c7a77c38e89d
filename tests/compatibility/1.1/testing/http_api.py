"""A provider's HTTP API in this process: what a plugin calls in its tests instead of the real one.

Say in one function what it answers::

    def answer(request):
        if request.headers.get("Authorization") != "Bearer correct-token":
            return 401, {"error": "who are you?"}
        zone.add(request.json["name"], request.json["value"])
        return 200, {}

    with http_api(answer) as base:
        plugin = Acmecorp(token="correct-token", url=base)

It cannot be used to learn what the real API does: write down what its documentation says, and check with
a real account before a release (``pvefw dns test``).
"""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from pvefw.testing import surroundings
from pvefw.testing._requests import Answer, ConnectionLost, Reply, Request
from pvefw.testing._serving import serving

__all__ = ["Answer", "ConnectionLost", "Reply", "Request", "http_api"]


@contextlib.contextmanager
def http_api(answer: Answer) -> Iterator[str]:
    """Serve an API on a free port of 127.0.0.1.

    It is put into :mod:`pvefw.testing.surroundings`, which change nothing until a kit asks for trouble.

    :param answer: what it answers. An exception in it becomes status 500 with its text.
    :returns: the base URL: ``http://127.0.0.1:40213``, without a final slash.
    """
    one_at_a_time = threading.Lock()

    class Handler(_Handler):
        def answer(self, request: Request) -> Reply:
            with one_at_a_time:
                return around.answer(request)

    with (
        surroundings.around(answer) as around,
        serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server,
    ):
        yield f"http://127.0.0.1:{server.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def answer(self, request: Request) -> Reply:
        raise NotImplementedError

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client has gone
            super().handle()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        asked = Request(self.command, parts.path, query, self.headers, body)  # type: ignore[arg-type]  # it is used as a mapping
        headers: list[Mapping[str, str]] = []
        try:
            status, content, *headers = self.answer(asked)
        except ConnectionLost:
            self.close_connection = True
            return
        except Exception as error:  # noqa: BLE001 - the fake's author reads it in the plugin's error
            status, content = 500, {"error": f"the fake failed: {type(error).__name__}: {error}"}
        raw = isinstance(content, bytes)
        sent = content if raw else json.dumps(content).encode()
        self.send_response(status)
        if not any("Content-Type" in more for more in headers):
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        for more in headers:
            for name, value in more.items():
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(sent)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - http.server looks for these names

    def log_message(self, *_: object) -> None:
        """Say nothing."""
