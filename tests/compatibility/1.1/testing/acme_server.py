"""An ACME server in this process, for authors who have no Pebble: it validates for real, and issues.

::

    with dns_zone("example.test.") as zone, acme_server(tmp_path, resolver=zone.server) as acme:
        node.register(acme)
        …

It keeps to RFC 8555 in what it does: nonces, signatures, accounts, orders, http-01, dns-01, tls-alpn-01,
dns-account-01 and dns-persist-01 (as drafts 01 and 02 have it), finalization, download, revocation. It
does not do: key roll-over, external accounts, alternate chains, renewal information. It is strict where
a plugin's work shows: a challenge is valid only when its answer was fetched. For tests of an ACME client,
use Pebble.
"""

import contextlib
import json
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pvefw.api import Challenge, Identifier
from pvefw.seam import persist
from pvefw.testing import _validation
from pvefw.testing._authority import Authority
from pvefw.testing._jws import thumbprint, unb64, verify
from pvefw.testing._serving import serving

ISSUER = "authority.test"
"""Its name in CAA records and in those of dns-persist-01."""


class _Refused(Exception):
    """An answer with a problem document (RFC 8555 section 6.7)."""

    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.problem = {"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail}


@dataclass
class _Order:
    account: str
    names: list[Identifier]
    authorizations: list[str]
    certificate: x509.Certificate | None = None


@dataclass
class _Authorization:
    identifier: Identifier
    wildcard: bool
    token: str
    account: str
    status: str = "pending"
    tried: str = ""
    """The challenge that was tried."""
    error: dict[str, str] | None = None

    def can_have(self, kind: str) -> bool:
        """Whether a challenge of this type can prove it: DNS alone proves wildcards, and no addresses."""
        in_dns = kind.startswith("dns-")
        return not in_dns if self.identifier.type == "ip" else in_dns or not self.wildcard


@dataclass
class AcmeServer:
    """An ACME server that runs."""

    directory: str
    """Its directory URL, for ``acme account register --directory``."""
    ca_file: Path
    """What its own TLS certificate is checked against, for ``--ca-file``."""
    http_port: int
    """Where http-01 is validated, on 127.0.0.1, whatever the name."""
    resolver: str
    """Where dns-01 and its kin are validated: ``IP:PORT``, or empty."""
    issued: list[x509.Certificate] = field(default_factory=list)
    """Every certificate that was issued, oldest first."""
    revoked: set[int] = field(default_factory=set)
    """Serial numbers."""
    types: Sequence[str] = ("http-01", "dns-01")
    """The types of challenges that it offers."""
    tls_port: int = 443
    """Where tls-alpn-01 is validated, on 127.0.0.1, whatever the name."""
    account_hash_prefix: str = ""
    """``accountHashPrefix`` of dns-persist-01: draft 02 where there is one, else draft 01."""
    _authority: Authority = field(default_factory=Authority, repr=False)
    _nonces: set[str] = field(default_factory=set, repr=False)
    _accounts: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    _orders: dict[str, _Order] = field(default_factory=dict, repr=False)
    _authorizations: dict[str, _Authorization] = field(default_factory=dict, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def root(self) -> bytes:
        """The certificate of the issuing root, PEM."""
        return self._authority.pem

    # --- what arrives ---

    @property
    def _base(self) -> str:
        return self.directory.removesuffix("/directory")

    def nonce(self) -> str:
        """A new nonce."""
        made = secrets.token_urlsafe(16)
        with self._lock:
            self._nonces.add(made)
        return made

    def index(self) -> dict[str, Any]:
        """The directory object."""
        names = {
            "newNonce": "new-nonce",
            "newAccount": "new-account",
            "newOrder": "new-order",
            "revokeCert": "revoke",
        }
        meta: dict[str, Any] = {"termsOfService": f"{self._base}/terms", "caaIdentities": [ISSUER]}
        if self.account_hash_prefix:
            meta |= {
                "accountHashPrefix": self.account_hash_prefix,
                "issuerDomainNames": [ISSUER],
                "keyRotationPeriod": 7 * 24 * 3600,
            }
        return {name: f"{self._base}/{path}" for name, path in names.items()} | {"meta": meta}

    def post(self, path: str, body: bytes) -> tuple[int, Any, dict[str, str]]:
        """Status, body and headers for a signed request."""
        kid, jwk, payload = self._opened(path, body)
        what, _, rest = path.strip("/").partition("/")
        if what == "new-account":
            return self._account(jwk, payload)
        if what == "revoke":
            return self._revoke(payload)
        if what == "account":
            return 200, self._accounts[kid]["object"] | payload, {}
        handlers: dict[str, Callable[[str, str, Any], tuple[int, Any, dict[str, str]]]] = {
            "new-order": self._new_order,
            "order": self._order,
            "authorization": self._authorization,
            "challenge": self._challenge,
            "finalize": self._finalize,
            "certificate": self._certificate,
        }
        if what not in handlers:
            raise _Refused(404, "malformed", f"there is no {path}")
        return handlers[what](kid, rest, payload)

    def _opened(self, path: str, body: bytes) -> tuple[str, dict[str, str], Any]:
        """Account URL (empty without), key and payload of a request, verified."""
        try:
            jws = json.loads(body)
            header = json.loads(unb64(jws["protected"]))
            nonce, url = header["nonce"], header["url"]
            kid = header.get("kid", "")
            jwk = header["jwk"] if not kid else self._accounts[kid]["key"]
        except KeyError as error:
            raise _Refused(400, "accountDoesNotExist", f"unknown: {error}") from error
        except ValueError as error:
            raise _Refused(400, "malformed", "that is not a JWS") from error
        with self._lock:
            if nonce not in self._nonces:
                raise _Refused(400, "badNonce", "that nonce is not one of mine")
            self._nonces.discard(nonce)
        if url != f"{self._base}{path}":
            raise _Refused(401, "unauthorized", "the signed URL is another one")
        try:
            signed = f"{jws['protected']}.{jws['payload']}".encode()
            verify(jwk, signed, unb64(jws["signature"]))
        except (InvalidSignature, ValueError, KeyError) as error:
            raise _Refused(400, "malformed", "the signature is wrong") from error
        payload = json.loads(unb64(jws["payload"])) if jws["payload"] else {}
        return kid, jwk, payload

    # --- what is asked for ---

    def _account(self, jwk: dict[str, str], payload: Any) -> tuple[int, Any, dict[str, str]]:
        url = f"{self._base}/account/{thumbprint(jwk)}"
        known = url in self._accounts
        if not known and payload.get("onlyReturnExisting"):
            raise _Refused(400, "accountDoesNotExist", "no account has this key")
        if not known:
            shown = {"status": "valid", "contact": payload.get("contact", [])}
            self._accounts[url] = {"key": jwk, "object": shown}
        return 200 if known else 201, self._accounts[url]["object"], {"Location": url}

    def _new_order(self, kid: str, _: str, payload: Any) -> tuple[int, Any, dict[str, str]]:
        names = [
            Identifier(identifier["type"], identifier["value"])
            for identifier in payload["identifiers"]
        ]
        made = []
        for name in names:
            bare = Identifier(name.type, name.value.removeprefix("*."))
            wild = name.value.startswith("*.")
            key = secrets.token_hex(8)
            token = secrets.token_urlsafe(32)
            self._authorizations[key] = _Authorization(bare, wild, token, kid)
            made.append(key)
        key = secrets.token_hex(8)
        self._orders[key] = _Order(kid, names, made)
        return 201, self._shown(key), {"Location": f"{self._base}/order/{key}"}

    def _shown(self, key: str) -> dict[str, Any]:
        """An order as RFC 8555 section 7.1.3 has it."""
        order = self._orders[key]
        parts = [self._authorizations[authorization] for authorization in order.authorizations]
        status = "pending"
        if order.certificate is not None:
            status = "valid"
        elif any(part.status == "invalid" for part in parts):
            status = "invalid"
        elif all(part.status == "valid" for part in parts):
            status = "ready"
        shown: dict[str, Any] = {
            "status": status,
            "identifiers": [{"type": name.type, "value": name.value} for name in order.names],
            "authorizations": [
                f"{self._base}/authorization/{authorization}"
                for authorization in order.authorizations
            ],
            "finalize": f"{self._base}/finalize/{key}",
        }
        if order.certificate is not None:
            shown["certificate"] = f"{self._base}/certificate/{key}"
        return shown

    def _order(self, _kid: str, key: str, _: Any) -> tuple[int, Any, dict[str, str]]:
        if key not in self._orders:
            raise _Refused(404, "malformed", "there is no such order")
        return 200, self._shown(key), {}

    def _authorization(self, _kid: str, key: str, _: Any) -> tuple[int, Any, dict[str, str]]:
        authorization = self._authorizations[key]
        kinds = [kind for kind in self.types if authorization.can_have(kind)]
        shown: dict[str, Any] = {
            "status": authorization.status,
            "identifier": {
                "type": authorization.identifier.type,
                "value": authorization.identifier.value,
            },
            "challenges": [self._offer(key, kind) for kind in kinds],
        }
        if authorization.wildcard:
            shown["wildcard"] = True
        return 200, shown, {}

    def _offer(self, key: str, kind: str) -> dict[str, Any]:
        authorization = self._authorizations[key]
        status = authorization.status if authorization.tried == kind else "pending"
        url = f"{self._base}/challenge/{key}/{kind}"
        shown: dict[str, Any] = {"type": kind, "url": url, "status": status}
        if kind != persist.TYPE:
            shown["token"] = authorization.token
        elif self.account_hash_prefix:
            shown["issuerDomainNames"] = [ISSUER]
        else:
            shown |= {"issuer-domain-names": [ISSUER], "accounturi": authorization.account}
        return shown | (
            {"error": authorization.error}
            if authorization.error and authorization.tried == kind
            else {}
        )

    def _challenge(self, kid: str, rest: str, _: Any) -> tuple[int, Any, dict[str, str]]:
        key, _, kind = rest.partition("/")
        authorization = self._authorizations[key]
        problem = self._problem(kid, key, kind)
        with self._lock:
            authorization.tried = kind
            authorization.status = "invalid" if problem else "valid"
            if problem:
                name = "urn:ietf:params:acme:error:unauthorized"
                authorization.error = {"type": name, "detail": problem}
        up = {"Link": f'<{self._base}/authorization/{key}>;rel="up"'}
        return 200, self._offer(key, kind), up

    def _problem(self, kid: str, key: str, kind: str) -> str:
        """What is wrong with the answer to a challenge; empty where nothing is."""
        authorization = self._authorizations[key]
        if kind == persist.TYPE:
            domain = authorization.identifier.value
            terms = self._terms(kid)
            return _validation.standing(
                domain, terms, self.resolver, wildcard=authorization.wildcard
            )
        mark = thumbprint(self._accounts[kid]["key"])
        answer = f"{authorization.token}.{mark}"
        challenge = Challenge(
            kind, authorization.identifier, authorization.token, answer, kid, mark
        )
        if kind == "http-01":
            return _validation.over_http(challenge, self.http_port)
        if kind == "tls-alpn-01":
            return _validation.over_tls(challenge, self.tls_port)
        return _validation.in_dns(challenge, self.resolver)

    def _terms(self, kid: str) -> persist.Terms:
        prefix = self.account_hash_prefix
        return persist.Terms([ISSUER], kid, thumbprint(self._accounts[kid]["key"]), prefix)

    def _finalize(self, _kid: str, key: str, payload: Any) -> tuple[int, Any, dict[str, str]]:
        order = self._orders[key]
        if self._shown(key)["status"] != "ready":
            raise _Refused(403, "orderNotReady", "not every name is validated")
        request = x509.load_der_x509_csr(unb64(payload["csr"]))
        san = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        asked = {*san.get_values_for_type(x509.DNSName)}
        asked |= {str(address) for address in san.get_values_for_type(x509.IPAddress)}
        if not request.is_signature_valid or asked != {address.value for address in order.names}:
            raise _Refused(400, "badCSR", "the request is not for the names of the order")
        order.certificate = self._authority.issue(order.names, request.public_key())
        self.issued.append(order.certificate)
        return 200, self._shown(key), {}

    def _certificate(self, _kid: str, key: str, _: Any) -> tuple[int, Any, dict[str, str]]:
        issued = self._orders[key].certificate
        if issued is None:
            raise _Refused(404, "malformed", "there is no certificate yet")
        return 200, issued.public_bytes(serialization.Encoding.PEM) + self.root, {}

    def _revoke(self, payload: Any) -> tuple[int, Any, dict[str, str]]:
        given = x509.load_der_x509_certificate(unb64(payload["certificate"]))
        if given not in self.issued:
            raise _Refused(404, "malformed", "that certificate is not one of mine")
        if given.serial_number in self.revoked:
            raise _Refused(400, "alreadyRevoked", "it is revoked already")
        self.revoked.add(given.serial_number)
        return 200, {}, {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    acme: AcmeServer

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client has gone
            super().handle()

    def do_GET(self) -> None:
        if self.path.startswith("/directory"):
            self._send(200, self.acme.index(), {})
        else:
            self._send(200, {}, {})  # new-nonce, terms

    do_HEAD = do_GET  # noqa: N815 - http.server looks for these names

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            status, answer, headers = self.acme.post(self.path, body)
        except _Refused as refusal:
            self._send(refusal.status, refusal.problem, {}, "application/problem+json")
        except (KeyError, ValueError, TypeError) as error:
            problem = {"type": "urn:ietf:params:acme:error:malformed", "detail": repr(error)}
            self._send(400, problem, {}, "application/problem+json")
        else:
            self._send(status, answer, headers)

    def _send(
        self, status: int, body: Any, headers: dict[str, str], kind: str = "application/json"
    ) -> None:
        if isinstance(body, bytes):
            sent, kind = body, "application/pem-certificate-chain"
        else:
            sent = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(sent)))
        self.send_header("Replay-Nonce", self.acme.nonce())
        self.send_header("Cache-Control", "no-store")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(sent)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def acme_server(
    directory: Path,
    *,
    http_port: int = 80,
    resolver: str = "",
    types: Sequence[str] = ("http-01", "dns-01"),
    tls_port: int = 443,
    account_hash_prefix: str = "",
) -> Iterator[AcmeServer]:
    """Serve ACME on a free port of 127.0.0.1.

    :param directory: an existing one, for its TLS certificate.
    :param http_port: where http-01 is validated.
    :param resolver: where dns-01 looks records up, ``IP:PORT``: :attr:`DnsZone.server`.
    :param types: the challenges that it offers; those that can prove a name, of each name.
    :param tls_port: where tls-alpn-01 is validated.
    :param account_hash_prefix: dns-persist-01 is that of draft 02 with one, else that of draft 01.
    """
    tls = Authority()
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = tls.issue([Identifier("ip", "127.0.0.1")], key.public_key())
    ca_file, own = directory / "acme-server-ca.pem", directory / "acme-server.pem"
    ca_file.write_bytes(tls.pem)
    own.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + _as_pem(key))

    class Handler(_Handler):
        pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    # the handshake belongs into the connection's own thread, or a silent client would stop all others
    listener.socket = context.wrap_socket(
        listener.socket, server_side=True, do_handshake_on_connect=False
    )
    url = f"https://127.0.0.1:{listener.server_port}/directory"
    Handler.acme = AcmeServer(
        url,
        ca_file,
        http_port,
        resolver,
        types=tuple(types),
        tls_port=tls_port,
        account_hash_prefix=account_hash_prefix,
    )
    with serving(listener):
        yield Handler.acme


def certificate_files(directory: Path, name: str) -> tuple[Path, Path]:
    """A certificate for a name with its chain, by an authority of its own, and its key: two PEM files.

    :param directory: an existing one.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    authority = Authority()
    issued = authority.issue([Identifier("dns", name)], key.public_key())
    certificate, private = directory / f"{name}.pem", directory / f"{name}.key"
    certificate.write_bytes(issued.public_bytes(serialization.Encoding.PEM) + authority.pem)
    private.touch(mode=0o600)
    private.write_bytes(_as_pem(key))
    return certificate, private


def _as_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, none)
