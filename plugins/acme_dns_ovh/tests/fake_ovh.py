"""A fake of OVH's API, as strict as the real one in what this plugin relies on.

Paths, parameters, headers, error codes and the signature are those of OVH's published description. It
checks signatures, time stamps, tokens, and the access rules of each consumer key by method and path;
records are published only by a refresh.
"""

import contextlib
import fnmatch
import hashlib
import json
import ssl
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme

_DRIFT = 60


@dataclass
class FakeOvh:
    """The account and its zones."""

    base: str = ""
    ca_file: str = ""
    application: tuple[str, str] = ("app-key-1234567", "app-secret-1234567890")
    oauth: tuple[str, str] = ("client-id", "client-secret-1234")
    clock_offset: int = 0
    """Seconds that this server's clock is ahead."""
    consumers: dict[str, dict[str, Any]] = field(default_factory=dict)
    records: dict[int, dict[str, Any]] = field(default_factory=dict)
    published: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """By zone: (subdomain, value) as the name servers show them."""
    zones: tuple[str, ...] = ("example.com", "example.net")
    calls: Counter[str] = field(default_factory=Counter)
    fault: Any = None
    """A function that gets (handler, method, path) and returns whether it answered itself."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1000, 100000)))

    def grant(self, key: str, rules: list[dict[str, str]], status: str = "validated") -> str:
        """Make a consumer key."""
        self.consumers[key] = {"rules": rules, "status": status}
        return key

    def values(self, name: str) -> list[str]:
        """What the name servers show."""
        for zone in self.zones:
            if name.rstrip(".").endswith(zone):
                label = name.rstrip(".").removesuffix(zone).rstrip(".")
                return [value for there, value in self.published.get(zone, []) if there == label]
        return []


class Refused(Exception):
    """An error answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    ovh: FakeOvh

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length).decode()
        path = urllib.parse.urlsplit(self.path).path.removeprefix("/1.0")
        self.ovh.calls[f"{self.command} {path}"] += 1
        if self.ovh.fault and self.ovh.fault(self, self.command, path):
            return
        try:
            with self.ovh.lock:
                self.reply(200, self.answer(path, body))
        except Refused as error:
            self.reply(error.status, {"errorCode": error.code, "message": error.message})

    do_POST = do_DELETE = do_PUT = do_GET  # noqa: N815 - http.server looks for these names

    def answer(self, path: str, body: str) -> Any:
        if path == "/auth/time":
            return int(time.time()) + self.ovh.clock_offset
        if path == "/oauth2/token":
            return self.token(body)
        if path == "/auth/credential":
            return self.credential(json.loads(body))
        consumer = self.authenticate(body)
        if path == "/auth/currentCredential":
            return {"status": consumer["status"], "rules": consumer["rules"]}
        if consumer["status"] != "validated":
            raise Refused(403, "NOT_CREDENTIAL", "This credential is not valid")
        self.check_rules(consumer, path)
        return self.domain(path.split("/")[1:], body)

    # --- who calls ---

    def token(self, body: str) -> dict[str, Any]:
        import base64

        expected = base64.b64encode(":".join(self.ovh.oauth).encode()).decode()
        form = urllib.parse.parse_qs(body)
        if self.headers.get("Authorization") != f"Basic {expected}":
            raise Refused(401, "invalid_client", "wrong client")
        assert form["grant_type"] == ["client_credentials"]
        return {"access_token": "token-abcdef", "expires_in": 3600, "token_type": "Bearer"}

    def credential(self, body: dict[str, Any]) -> dict[str, str]:
        if self.headers.get("X-Ovh-Application") != self.ovh.application[0]:
            raise Refused(403, "INVALID_KEY", "Invalid application key")
        key = self.ovh.grant(
            f"ck-{next(self.ovh.numbers)}", body["accessRules"], "pendingValidation"
        )
        url = f"https://eu.api.ovh.com/auth/?credentialToken={key[::-1]}"
        return {"consumerKey": key, "state": "pendingValidation", "validationUrl": url}

    def authenticate(self, body: str) -> dict[str, Any]:
        if self.headers.get("Authorization"):
            if self.headers["Authorization"] != "Bearer token-abcdef":
                raise Refused(401, "INVALID_TOKEN", "Invalid token")
            return {"status": "validated", "rules": [{"method": "*", "path": "/*"}]}
        key = self.headers.get("X-Ovh-Consumer", "")
        if self.headers.get("X-Ovh-Application") != self.ovh.application[0]:
            raise Refused(403, "INVALID_KEY", "Invalid application key")
        if key not in self.ovh.consumers:
            raise Refused(403, "INVALID_CREDENTIAL", "This credential does not exist")
        stamp = self.headers.get("X-Ovh-Timestamp", "0")
        if abs(int(stamp) - time.time() - self.ovh.clock_offset) > _DRIFT:
            raise Refused(400, "INVALID_TIMESTAMP", "Invalid timestamp")
        url = self.ovh.base.removesuffix("/1.0") + self.path
        parts = [self.ovh.application[1], key, self.command, url, body, stamp]
        expected = "$1$" + hashlib.sha1("+".join(parts).encode()).hexdigest()
        if self.headers.get("X-Ovh-Signature") != expected:
            raise Refused(400, "INVALID_SIGNATURE", "Invalid signature")
        return self.ovh.consumers[key]

    def check_rules(self, consumer: dict[str, Any], path: str) -> None:
        for rule in consumer["rules"]:
            if rule["method"] in ("*", self.command) and fnmatch.fnmatchcase(path, rule["path"]):
                return
        raise Refused(403, "NOT_GRANTED_CALL", "This call has not been granted")

    # --- /domain/zone ---

    def domain(self, parts: list[str], body: str) -> Any:
        assert parts[:2] == ["domain", "zone"], parts
        if len(parts) == 2:
            return list(self.ovh.zones)
        zone = parts[2]
        if zone not in self.ovh.zones:
            raise Refused(404, "NOT_FOUND", "This service does not exist")
        if parts[3:] == ["refresh"]:
            assert self.command == "POST"
            self.ovh.published[zone] = [
                (one["subDomain"], one["target"].strip('"'))
                for one in self.ovh.records.values()
                if one["zone"] == zone
            ]
            return None
        if parts[3:] == ["record"]:
            return (
                self.create(zone, json.loads(body)) if self.command == "POST" else self.search(zone)
            )
        return self.one(zone, int(parts[4]))

    def create(self, zone: str, body: dict[str, Any]) -> dict[str, Any]:
        assert set(body) == {"fieldType", "subDomain", "target", "ttl"}
        number = next(self.ovh.numbers)
        quoted = f'"{body["target"]}"' if number % 2 else body["target"]  # both are seen
        self.ovh.records[number] = {**body, "target": quoted, "zone": zone, "id": number}
        return self.ovh.records[number]

    def search(self, zone: str) -> list[int]:
        query = urllib.parse.parse_qs(
            urllib.parse.urlsplit(self.path).query, keep_blank_values=True
        )
        return [
            number
            for number, one in self.ovh.records.items()
            if one["zone"] == zone
            and one["fieldType"] == query["fieldType"][0]
            and one["subDomain"] == query["subDomain"][0]
        ]

    def one(self, zone: str, number: int) -> Any:
        if self.ovh.records.get(number, {}).get("zone") != zone:
            raise Refused(404, "NOT_FOUND", "The requested object does not exist")
        if self.command == "DELETE":
            del self.ovh.records[number]
            return None
        return self.ovh.records[number]

    def reply(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self.send(
            status,
            json.dumps(value).encode(),
            {"Content-Type": "application/json", **(headers or {})},
        )

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, one in headers.items():
            self.send_header(key, one)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_arguments: object) -> None:
        """Broken connections are part of the tests."""


@contextlib.contextmanager
def fake_ovh(workdir: Path) -> Iterator[FakeOvh]:
    """Start the fake; :attr:`FakeOvh.base` is its endpoint."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    ca_file = workdir / "ovh-ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ovh = FakeOvh(ca_file=str(ca_file))
    handler = type("Handler", (_Handler,), {"ovh": ovh})
    with _Server(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        ovh.base = f"https://127.0.0.1:{server.server_port}/1.0"
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        try:
            yield ovh
        finally:
            server.shutdown()
            thread.join()
