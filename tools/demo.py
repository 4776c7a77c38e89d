"""``make demo``: a certificate for two names, through two plugin instances, from a local ACME server.

Everything lies in a throw-away root and is gone afterwards; no process is left behind.
"""

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT / "tests"))

from servers.pebble import Pebble, pebble  # noqa: E402 - found through the line above

NAMES = {"pve1.example": ("http1", "127.0.0.1"), "gui.example": ("http2", "127.0.0.2")}


def main() -> None:
    """Run the commands that an administrator would type, and let openssl judge the result."""
    with tempfile.TemporaryDirectory(prefix="pvefw-demo-") as scratch:
        workdir = Path(scratch)
        print("# Starting a local ACME server (Pebble)")
        with pebble(workdir / "pebble") as server:
            order(server, workdir)


def order(server: Pebble, workdir: Path) -> None:
    """From nothing to a verified certificate."""
    root = workdir / "root"

    def pvefw(*arguments: str) -> None:
        print(f"\n$ pvefw {shlex.join(arguments)}", flush=True)
        command = [sys.executable, "-m", "pvefw", "--root", str(root), "--node", "pve1", *arguments]
        subprocess.run(command, check=True)

    trust = ["--ca-file", str(server.ca_file)]
    contact = ["default", "admin@example.invalid"]
    pvefw("acme", "account", "register", *contact, "--directory", server.directory, *trust, "--accept-tos")
    for number, (name, (instance, address)) in enumerate(NAMES.items()):
        server.address(name, address)
        data = workdir / instance
        data.write_text(f"port={server.http_port}\nlisten={address}\n")
        pvefw("acme", "plugin", "add", "standalone", instance, "--data", str(data))
        pvefw("config", "set", f"-acmedomain{number}", f"{name},plugin={instance}")
    pvefw("acme", "cert", "order")
    pvefw("cert", "info")
    verify(server, workdir, root / "etc/pve/nodes/pve1/pveproxy-ssl.pem")


def verify(server: Pebble, workdir: Path, certificate: Path) -> None:
    """openssl's verdict on the chain, and on every name."""
    anchor = workdir / "root.pem"
    anchor.write_bytes(server.root())
    base = ["openssl", "verify", "-CAfile", str(anchor), "-untrusted", str(certificate)]
    for name in NAMES:
        command = [*base, "-verify_hostname", name, str(certificate)]
        print(f"\n$ {shlex.join(command)}", flush=True)
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
