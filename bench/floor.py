"""The least that an order over ACME can take: one connection, no state on disk, polling every 20 ms.

    python bench/floor.py DIRECTORY_URL CA_FILE HTTP_PORT NAME...

Prints the seconds from the order to the certificate; imports and account are not counted. It shares no
code with pvefw, and handles nothing but a server that does as it is told.
"""

import base64
import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

POLL_SECONDS = 0.02


def encode(data):
    """base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Server:
    """Signed requests to one ACME server."""

    def __init__(self, directory, ca_file):
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = ca_file
        self.urls = self._session.get(directory, timeout=10).json()
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = self._key.public_key().public_numbers()
        x, y = (encode(number.to_bytes(32, "big")) for number in (public.x, public.y))
        self._who = {"jwk": {"crv": "P-256", "kty": "EC", "x": x, "y": y}}
        canonical = json.dumps(self._who["jwk"], separators=(",", ":"), sort_keys=True)
        self.thumbprint = encode(hashlib.sha256(canonical.encode()).digest())
        self._nonce = self._session.head(self.urls["newNonce"], timeout=10).headers["Replay-Nonce"]
        made = self.post(self.urls["newAccount"], {"termsOfServiceAgreed": True})
        self._who = {"kid": made.headers["Location"]}

    def post(self, url, payload=None):
        """POST, or POST-as-GET; once more for every nonce that the server does not like."""
        while True:
            header = {"alg": "ES256", "nonce": self._nonce, "url": url, **self._who}
            protected = encode(json.dumps(header).encode())
            body = "" if payload is None else encode(json.dumps(payload).encode())
            der = self._key.sign(f"{protected}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
            signature = b"".join(
                number.to_bytes(32, "big") for number in utils.decode_dss_signature(der)
            )
            answer = self._session.post(
                url,
                json={"protected": protected, "payload": body, "signature": encode(signature)},
                headers={"Content-Type": "application/jose+json"},
                timeout=30,
            )
            self._nonce = answer.headers["Replay-Nonce"]
            if answer.ok:
                return answer
            if not answer.json()["type"].endswith("badNonce"):
                raise RuntimeError(answer.text)

    def until_valid(self, url):
        """Poll until an object is valid."""
        while True:
            found = self.post(url).json()
            if found["status"] == "valid":
                return found
            if found["status"] == "invalid":
                raise RuntimeError(found)
            time.sleep(POLL_SECONDS)


def answer_challenges(port, thumbprint):
    """Answer every token: what is measured is the protocol, not a web server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"{self.path.rpartition('/')[2]}.{thumbprint}".encode())

        def log_message(self, *_):
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()


def signing_request(names):
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    san = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    return builder.add_extension(san, critical=False).sign(key, hashes.SHA256())


def order(server, names):
    """From the order to the chain, PEM."""
    wanted = {"identifiers": [{"type": "dns", "value": name} for name in names]}
    placed = server.post(server.urls["newOrder"], wanted)
    url, authorizations = placed.headers["Location"], placed.json()["authorizations"]
    for authorization in authorizations:
        challenges = server.post(authorization).json()["challenges"]
        server.post(next(c["url"] for c in challenges if c["type"] == "http-01"), {})
    for authorization in authorizations:
        server.until_valid(authorization)
    csr = signing_request(names).public_bytes(serialization.Encoding.DER)
    server.post(placed.json()["finalize"], {"csr": encode(csr)})
    return server.post(server.until_valid(url)["certificate"]).content


def main(directory, ca_file, port, *names):
    server = Server(directory, ca_file)
    answer_challenges(int(port), server.thumbprint)
    started = time.perf_counter()
    chain = order(server, names)
    print(time.perf_counter() - started)
    found = x509.load_pem_x509_certificates(chain)[0]
    san = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if set(san.get_values_for_type(x509.DNSName)) != set(names):
        raise RuntimeError("the certificate is not for the names that were ordered")


if __name__ == "__main__":
    main(*sys.argv[1:])
