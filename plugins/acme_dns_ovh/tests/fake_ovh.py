"""A fake of OVH's API, version 1, as its clients expect it.

Paths, parameters, headers and error codes are those of OVH's published description and of what its own
clients and others' reports show; ``test_clients.py`` lets OVH's own client and lexicon's provider use it.
It checks signatures, time stamps, tokens, and the access rules of each consumer key by method and path;
records are published only by a refresh.
"""

import base64
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
_LEAST_TTL = 60
_REASONS = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}
_CLASSES = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound"}
PENDING = ("INVALID_CREDENTIAL", "This credential is not valid")
UNKNOWN = ("NOT_CREDENTIAL", "This credential does not exist")


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
    tokens: set[str] = field(default_factory=set)
    """OAuth2 tokens that are good."""
    token_seconds: int = 3599
    iam: set[str] | None = None
    """The actions that IAM allows the OAuth2 client; ``None`` for all."""
    records: dict[int, dict[str, Any]] = field(default_factory=dict)
    published: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """By zone: (subdomain, value) as the name servers show them."""
    serials: Counter[str] = field(default_factory=Counter)
    zones: tuple[str, ...] = ("example.com", "example.net")
    calls: Counter[str] = field(default_factory=Counter)
    refreshing: list[int] = field(default_factory=list)
    """Statuses of the next refreshes instead of 200: 409 while another is under way, 5xx, 504 …"""
    publish: Any = None
    """Called with the zone and what it shows after each refresh."""
    fault: Any = None
    """A function that gets (handler, method, path) and returns whether it answered itself."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1000, 100000)))

    def grant(
        self,
        key: str,
        rules: list[dict[str, str]],
        status: str = "validated",
        expiration: str | None = None,
    ) -> str:
        """Make a consumer key."""
        self.consumers[key] = {"rules": rules, "status": status, "expiration": expiration}
        return key

    def values(self, name: str) -> list[str]:
        """What the name servers show."""
        for zone in self.zones:
            if name.rstrip(".").endswith(zone):
                label = name.rstrip(".").removesuffix(zone).rstrip(".")
                return [
                    value for published, value in self.published.get(zone, []) if published == label
                ]
        return []

    def add(self, zone: str, label: str, target: str, kind: str = "TXT") -> int:
        """A record that somebody else has made."""
        number = next(self.numbers)
        fields = {"fieldType": kind, "subDomain": label, "target": target, "ttl": 3600}
        self.records[number] = {**fields, "zone": zone, "id": number}
        return number

    def refresh(self, zone: str) -> None:
        """Show what the records are now."""
        self.published[zone] = [
            (record["subDomain"], record["target"].strip('"'))
            for record in self.records.values()
            if record["zone"] == zone
        ]
        self.serials[zone] += 1
        if self.publish:
            self.publish(zone, self.published[zone])


class Refused(Exception):
    """An error answer."""

    def __init__(
        self, status: int, code: str, message: str, details: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.details = status, code, message, details

    @property
    def body(self) -> dict[str, Any]:
        """Keys and time of the old form; ``class`` and ``details`` of the newer one."""
        if self.details is not None:
            return {
                "class": f"Client::{_CLASSES[self.status]}",
                "message": self.message,
                "details": self.details,
            }
        reason = _REASONS.get(self.status, "Error")
        return {
            "errorCode": self.code,
            "httpCode": f"{self.status} {reason}",
            "message": self.message,
        }


def not_found(what: str) -> Refused:
    return Refused(404, "", f"{what} does not exist", {})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: two would wait for each other's confirmation
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
            self.reply(error.status, error.body)

    do_POST = do_DELETE = do_PUT = do_GET  # noqa: N815 - http.server looks for these names

    def answer(self, path: str, body: str) -> Any:
        if path == "/auth/time":
            return int(time.time()) + self.ovh.clock_offset
        if path == "/auth/oauth2/token":
            return self.token(body)
        if path == "/auth/credential":
            return self.credential(json.loads(body))
        consumer = self.authenticate(body)
        if path == "/auth/currentCredential":
            return self.current(consumer)
        self.check_rules(consumer, path)
        if path == "/me":
            return {"nichandle": "ab12345-ovh", "email": "admin@example.com", "country": "FR"}
        return self.domain(path.split("/")[1:], body)

    # --- who calls ---

    def token(self, body: str) -> dict[str, Any]:
        expected = base64.b64encode(":".join(self.ovh.oauth).encode()).decode()
        form = urllib.parse.parse_qs(body)
        if self.headers.get("Authorization") != f"Basic {expected}":
            raise OAuthRefused
        assert form["grant_type"] == ["client_credentials"]
        made = f"token-{next(self.ovh.numbers)}"
        self.ovh.tokens.add(made)
        return {
            "access_token": made,
            "expires_in": self.ovh.token_seconds,
            "scope": "all",
            "token_type": "Bearer",
        }

    def credential(self, body: dict[str, Any]) -> dict[str, str]:
        if self.headers.get("X-Ovh-Application") != self.ovh.application[0]:
            raise Refused(403, "INVALID_KEY", "Invalid application key")
        key = self.ovh.grant(
            f"ck-{next(self.ovh.numbers)}", body["accessRules"], "pendingValidation"
        )
        url = f"https://eu.api.ovh.com/auth/?credentialToken={key[::-1]}"
        return {"consumerKey": key, "state": "pendingValidation", "validationUrl": url}

    def current(self, consumer: dict[str, Any]) -> dict[str, Any]:
        return {
            "credentialId": 1234567,
            "applicationId": 12345,
            "status": consumer["status"],
            "rules": consumer["rules"],
            "creation": "2026-01-01T10:00:00+01:00",
            "expiration": consumer["expiration"],
            "lastUse": None,
            "ovhSupport": False,
            "allowedIPs": None,
        }

    def authenticate(self, body: str) -> dict[str, Any]:
        if self.headers.get("Authorization"):
            if self.headers["Authorization"].removeprefix("Bearer ") not in self.ovh.tokens:
                raise Refused(401, "", "Invalid token", {})
            rules = [
                {"method": method, "path": "/*"} for method in ("GET", "POST", "PUT", "DELETE")
            ]
            return {"status": "validated", "rules": rules, "expiration": None, "oauth": True}
        if self.headers.get("X-Ovh-Application") != self.ovh.application[0]:
            raise Refused(403, "INVALID_KEY", "Invalid application key")
        key = self.headers.get("X-Ovh-Consumer", "")
        if key not in self.ovh.consumers:
            raise Refused(403, *UNKNOWN)
        self.check_signature(key, body)
        consumer = self.ovh.consumers[key]
        if consumer["status"] == "pendingValidation":
            raise Refused(403, *PENDING)
        return consumer

    def check_signature(self, key: str, body: str) -> None:
        stamp = self.headers.get("X-Ovh-Timestamp", "0")
        if abs(int(stamp) - time.time() - self.ovh.clock_offset) > _DRIFT:
            raise Refused(400, "QUERY_TIME_OUT", "Query out of time")
        url = self.ovh.base.removesuffix("/1.0") + self.path
        parts = [self.ovh.application[1], key, self.command, url, body, stamp]
        expected = "$1$" + hashlib.sha1("+".join(parts).encode()).hexdigest()
        if self.headers.get("X-Ovh-Signature") != expected:
            raise Refused(400, "INVALID_SIGNATURE", "Invalid signature")

    def check_rules(self, consumer: dict[str, Any], path: str) -> None:
        if consumer.get("oauth"):
            self.check_iam(path)
            return
        for rule in consumer["rules"]:
            if rule["method"] == self.command and fnmatch.fnmatchcase(path, rule["path"]):
                return
        raise Refused(403, "NOT_GRANTED_CALL", "This call has not been granted")

    def check_iam(self, path: str) -> None:
        """What is looked at with ``dnsZone:apiovh:get`` is left out of lists; the rest is refused."""
        action = _action(self.command, path)
        if self.ovh.iam is None or action in {*self.ovh.iam, ""}:
            return
        details = {
            "unauthorizedActionsByAuthentication": "",
            "unauthorizedActionsByIAM": action,
        }
        raise Refused(403, "", "User not granted for this request", details)

    # --- /domain/zone ---

    def domain(self, parts: list[str], body: str) -> Any:
        if parts[:2] != ["domain", "zone"]:
            raise not_found("Got an invalid (or empty) URL: it")
        if parts[2:] in ([], [""]):
            return self.listed()
        zone, rest = parts[2], parts[3:]
        if zone not in self.ovh.zones:
            raise not_found("This service")
        if rest == ["refresh"]:
            return self.refresh(zone)
        if rest == ["record"]:
            return (
                self.create(zone, json.loads(body)) if self.command == "POST" else self.search(zone)
            )
        if rest[:1] == ["record"]:
            return self.one(zone, int(rest[1]), body)
        return self.about(zone, rest)

    def listed(self) -> list[str]:
        allowed = self.ovh.iam is None or "dnsZone:apiovh:get" in self.ovh.iam
        return list(self.ovh.zones) if allowed or not self.headers.get("Authorization") else []

    def about(self, zone: str, rest: list[str]) -> Any:
        if rest == []:
            servers = ["dns200.anycast.me", "ns200.anycast.me"]
            return {"name": zone, "nameServers": servers, "hasDnsAnycast": False}
        if rest == ["status"]:
            return {"isDeployed": True, "errors": [], "warnings": []}
        if rest == ["soa"]:
            serial = 2026010100 + self.ovh.serials[zone]
            return {"server": "dns200.anycast.me.", "email": "tech.ovh.net.", "serial": serial}
        raise not_found("Got an invalid (or empty) URL: it")

    def refresh(self, zone: str) -> None:
        assert self.command == "POST"
        status = self.ovh.refreshing.pop(0) if self.ovh.refreshing else 200
        if status == 409:
            raise Refused(409, "CONFLICT", "A task is already running on this zone")
        if status != 200:
            raise Refused(status, "INTERNAL_ERROR", "An error occurred while refreshing the zone")
        self.ovh.refresh(zone)

    def create(self, zone: str, body: dict[str, Any]) -> dict[str, Any]:
        if not {"fieldType", "target"} <= set(body) <= {"fieldType", "subDomain", "target", "ttl"}:
            raise Refused(400, "INVALID_ARGUMENT", "Invalid arguments")
        ttl = body.get("ttl", 0)
        if not isinstance(ttl, int) or 0 < ttl < _LEAST_TTL:
            raise Refused(400, "", "ttl: must be at least 60", {})
        number = next(self.ovh.numbers)
        quoted = f'"{body["target"]}"' if number % 2 else body["target"]  # both are seen
        defaults = {"subDomain": "", "ttl": 0}
        self.ovh.records[number] = {**defaults, **body, "target": quoted, "zone": zone}
        self.ovh.records[number]["id"] = number
        return self.ovh.records[number]

    def search(self, zone: str) -> list[int]:
        """Filters are optional, and find whatever begins so: records must be compared."""
        query = urllib.parse.parse_qs(
            urllib.parse.urlsplit(self.path).query, keep_blank_values=True
        )
        [kind], [label] = query.get("fieldType", [""]), query.get("subDomain", [""])
        return [
            number
            for number, record in self.ovh.records.items()
            if record["zone"] == zone
            and record["fieldType"].startswith(kind)
            and record["subDomain"].lower().startswith(label.lower())
        ]

    def one(self, zone: str, number: int, body: str) -> Any:
        if self.ovh.records.get(number, {}).get("zone") != zone:
            raise not_found("The requested object")
        if self.command == "DELETE":
            del self.ovh.records[number]
            return None
        if self.command == "PUT":
            self.ovh.records[number].update(json.loads(body))
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
        for key, header in headers.items():
            self.send_header(key, header)
        self.send_header("X-OVH-QUERYID", "EU.ext-3.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


class OAuthRefused(Refused):
    """RFC 6749 section 5.2."""

    def __init__(self) -> None:
        super().__init__(401, "invalid_client", "")

    @property
    def body(self) -> dict[str, Any]:
        return {"error": self.code, "error_description": "The client secret is wrong"}


def _action(method: str, path: str) -> str:
    """The IAM action that a call needs; empty for one that needs none of its own."""
    parts = path.split("/")[4:]
    if parts == ["refresh"]:
        return "dnsZone:apiovh:refresh"
    if parts[:1] == ["record"]:
        verb = {"GET": "get", "POST": "create", "PUT": "edit", "DELETE": "delete"}[method]
        return f"dnsZone:apiovh:record/{verb}"
    return ""


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
