"""Proxmox VE's API, as fakepve plays it."""

import asyncio
import gc
import hashlib
import ssl
import threading
from pathlib import Path

import trustme
from fakepve import FakePve

from servers.processes import free_port

TOKEN = "root@pam!pvefw"
SECRET = "11111111-2222-3333-4444-555555555555"


class PveApi:
    """A fake that serves from a thread of its own."""

    def __init__(self, directory: Path):
        issued = trustme.CA().issue_cert("127.0.0.1")
        certificate, key = directory / "c.pem", directory / "c.key"
        pem = issued.cert_chain_pems[0].bytes()
        certificate.write_bytes(pem)
        issued.private_key_pem.write_to_path(str(key))
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).hexdigest().upper()
        self.fingerprint = ":".join(digest[i : i + 2] for i in range(0, 64, 2))
        self.fake = FakePve(host="127.0.0.1", port=free_port())
        self.fake.apitokens[TOKEN] = SECRET
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self.fake.start(str(certificate), str(key)))

    def _do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    def stop(self):
        self._do(self.fake.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        gc.collect()  # connections of worker threads, which nobody closes: a process ends with them

    def settings(self) -> dict[str, object]:
        """The settings of the plugin ``pve`` that reach it."""
        return {
            "token": TOKEN,
            "secret": SECRET,
            "host": "127.0.0.1",
            "port": self.fake.port,
            "fingerprint": self.fingerprint,
            "node": "pve1",
        }
