"""From nothing to a certificate for two names, through two plugin instances, in a throw-away root.

The ACME server is Pebble, on this machine only. Every command is printed as an administrator would type
it, and is the real one. Whatever happens, nothing is left behind: no process, no file.
"""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from servers.pebble import Pebble, pebble

NODE = "demo"
NAMES = {"www.demo.example": "127.0.0.1", "mail.demo.example": "127.0.0.2"}
"""Each name has an address of its own, and so needs a listener of its own."""


def say(text: str) -> None:
    """Print now: what a program prints next must come after it."""
    print(text, flush=True)


def enter(*words: str, root: Path) -> None:
    """Print a command and run it.

    :raises CalledProcessError: it failed, and has said why.
    """
    say(f"\n# {shlex.join(words)}")
    subprocess.run(words, cwd=root, stdin=subprocess.DEVNULL, check=True)


def order(server: Pebble, root: Path) -> None:
    """Everything that an administrator does, once, to have a certificate."""
    os.environ |= {"PVEFW_ROOT": str(root), "PVEFW_NODE": NODE}
    say(f"\n# cd {root}\n# export PVEFW_ROOT=$PWD PVEFW_NODE={NODE}")

    def pvefw(*arguments: str) -> None:
        enter("pvefw", *arguments, root=root)

    authority = ["--directory", server.directory, "--ca-file", str(server.ca_file)]
    pvefw("acme", "account", "register", "default", "mail@demo.example", *authority, "--accept-tos")
    for number, (name, address) in enumerate(NAMES.items()):
        instance = f"http{number}"
        root.joinpath(instance).write_text(f"port={server.http_port}\nlisten={address}\n")
        enter("cat", instance, root=root)
        pvefw("acme", "plugin", "add", "standalone", instance, "--data", instance)
        pvefw("config", "set", f"-acmedomain{number}", f"{name},plugin={instance}")
    pvefw("config", "get")
    pvefw("acme", "cert", "order")
    pvefw("cert", "info")


def judge(server: Pebble, root: Path) -> None:
    """What OpenSSL, which knows nothing of pvefw, says of the certificate and of each name."""
    root.joinpath("authority.pem").write_bytes(server.root())
    certificate = f"etc/pve/nodes/{NODE}/pveproxy-ssl.pem"
    for name in NAMES:
        chain = ["-CAfile", "authority.pem", "-untrusted", certificate, certificate]
        enter("openssl", "verify", "-verify_hostname", name, *chain, root=root)


def main() -> int:
    """Run the demo.

    :returns: 0, or 1 where a command failed.
    """
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with tempfile.TemporaryDirectory(prefix="pvefw-demo-") as folder:
        root = Path(folder) / "root"
        root.mkdir()
        with pebble(Path(folder) / "pebble") as server:
            for name, address in NAMES.items():
                server.address(name, address)
            say(f"Pebble, an ACME server for tests, answers at {server.directory}")
            try:
                order(server, root)
                judge(server, root)
            except subprocess.CalledProcessError:
                return 1
    say("\nOne certificate, two names, two plugin instances. Nothing is left behind.")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is cleaned up
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
