"""Pebble, the ACME server for tests, with its own CA and a DNS server that answers as told."""

import contextlib
import json
import os
import ssl
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from servers.processes import free_port, process, wait_for_port


@dataclass
class Pebble:
    """A Pebble that runs.

    Every name resolves to 127.0.0.1 unless :meth:`address` says otherwise; http-01 is validated on
    :attr:`http_port`, tls-alpn-01 on :attr:`tls_port`.
    """

    directory: str
    ca_file: Path
    http_port: int
    tls_port: int
    management: int
    challtestsrv: int
    log: Path
    _context: ssl.SSLContext = field(repr=False)

    def address(self, name: str, address: str) -> None:
        """Let a name resolve to this IPv4 address, and no other."""
        self._tell("clear-a", {"host": f"{name}."})
        self._tell("add-a", {"host": f"{name}.", "addresses": [address]})

    def _tell(self, what: str, body: Mapping[str, object]) -> None:
        url = f"http://127.0.0.1:{self.challtestsrv}/{what}"
        request = urllib.request.Request(url, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=5):
            pass

    def root(self, number: int = 0) -> bytes:
        """The certificate of an issuing root, PEM."""
        return self._managed(f"roots/{number}")

    def intermediate(self, number: int = 0) -> bytes:
        """The certificate of an issuing intermediate, PEM."""
        return self._managed(f"intermediates/{number}")

    def status(self, serial: int) -> str:
        """``Valid`` or ``Revoked``, of a certificate that it issued."""
        return str(json.loads(self._managed(f"cert-status-by-serial/{serial:x}"))["Status"])

    def _managed(self, path: str) -> bytes:
        url = f"https://127.0.0.1:{self.management}/{path}"
        with urllib.request.urlopen(url, timeout=5, context=self._context) as answer:
            return answer.read()


@contextlib.contextmanager
def pebble(
    workdir: Path,
    *,
    nonce_reject: int = 5,
    authz_reuse: int = 0,
    alternate_roots: int = 0,
    binding_keys: Mapping[str, str] | None = None,
    dns_server: str = "",
    always_valid: bool = False,
    blocked: Sequence[str] = (),
) -> Iterator[Pebble]:
    """Start a Pebble.

    :param nonce_reject: per cent of good nonces that it refuses.
    :param authz_reuse: per cent of orders that reuse valid authorizations.
    :param alternate_roots: how many alternate chains it offers.
    :param binding_keys: key id to MAC key; it then requires external account binding.
    :param dns_server: where it looks names up, ``IP:PORT``; its own companion without it.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    issued = authority.issue_cert("localhost", "127.0.0.1", key_type=trustme.KeyType.ECDSA)
    ca_file, certificate, key = workdir / "ca.pem", workdir / "server.pem", workdir / "server.key"
    authority.cert_pem.write_to_path(str(ca_file))
    certificate.write_bytes(issued.cert_chain_pems[0].bytes())
    issued.private_key_pem.write_to_path(str(key))
    port, management, http, tls, dns, control = (free_port() for _ in range(6))
    config = {
        "pebble": {
            "listenAddress": f"127.0.0.1:{port}",
            "managementListenAddress": f"127.0.0.1:{management}",
            "certificate": str(certificate),
            "privateKey": str(key),
            "httpPort": http,
            "tlsPort": tls,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": bool(binding_keys),
            "externalAccountMACKeys": dict(binding_keys or {}),
            "domainBlocklist": list(blocked),
        }
    }
    (workdir / "pebble.json").write_text(json.dumps(config))
    env = {
        **os.environ,
        "PEBBLE_VA_NOSLEEP": "1",
        "PEBBLE_WFE_NONCEREJECT": str(nonce_reject),
        "PEBBLE_AUTHZREUSE": str(authz_reuse),
        "PEBBLE_ALTERNATE_ROOTS": str(alternate_roots),
        **({"PEBBLE_VA_ALWAYS_VALID": "1"} if always_valid else {}),
    }
    log, dns_log = workdir / "pebble.log", workdir / "challtestsrv.log"
    companion = [
        *["pebble-challtestsrv", "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1"],
        *["-dns01", f"127.0.0.1:{dns}", "-http01", "", "-https01", "", "-tlsalpn01", ""],
        *["-management", f"127.0.0.1:{control}"],
    ]
    server = [
        *["pebble", "-config", str(workdir / "pebble.json")],
        *["-dnsserver", dns_server or f"127.0.0.1:{dns}"],
    ]
    with process(companion, dns_log) as resolver, process(server, log, env) as running:
        wait_for_port(control, resolver, dns_log)
        wait_for_port(port, running, log)
        wait_for_port(management, running, log)
        context = ssl.create_default_context(cafile=str(ca_file))
        directory = f"https://127.0.0.1:{port}/dir"
        yield Pebble(directory, ca_file, http, tls, management, control, log, context)
