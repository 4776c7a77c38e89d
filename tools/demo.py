"""From nothing to a certificate for two names, through two plugin instances, in a throw-away root.

One name is validated by http-01, the other, a wildcard, by a record in a zone of BIND's. The ACME server
is Pebble; both run on this machine only. Every command is printed as an administrator would type it,
and is the real one. Whatever happens, nothing is left behind: no process, no file.
"""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from servers.bind import Bind, bind
from servers.nameserver import Zone
from servers.pebble import Pebble, pebble

NODE = "demo"
ZONE = Zone("demo.example.", {"ns1": "127.0.0.1"}, "www A 127.0.0.1")


def say(text: str) -> None:
    """Print now: what a program prints next must come after it."""
    print(text, flush=True)


def enter(*words: str, root: Path) -> None:
    """Print a command and run it.

    :raises CalledProcessError: it failed, and has said why.
    """
    say(f"\n# {shlex.join(words)}")
    subprocess.run(words, cwd=root, stdin=subprocess.DEVNULL, check=True)


def order(authority: Pebble, nameserver: Bind, root: Path) -> None:
    """Everything that an administrator does, once, to have a certificate."""
    os.environ |= {"PVEFW_ROOT": str(root), "PVEFW_NODE": NODE}
    say(f"\n# cd {root}\n# export PVEFW_ROOT=$PWD PVEFW_NODE={NODE}")

    def pvefw(*arguments: str) -> None:
        enter("pvefw", *arguments, root=root)

    where = ["--directory", authority.directory, "--ca-file", str(authority.ca_file)]
    pvefw("acme", "account", "register", "default", "mail@demo.example", *where, "--accept-tos")

    root.joinpath("web").write_text(f"port={authority.http_port}\nlisten=127.0.0.1\n")
    enter("cat", "web", root=root)
    pvefw("acme", "plugin", "add", "standalone", "web", "--data", "web")

    key = nameserver.key
    address = f"{nameserver.address}:{nameserver.port}"
    values = {"server": address, "key_name": key.name, "secret": key.secret}
    root.joinpath("bind").write_text("".join(f"{name}={one}\n" for name, one in values.items()))
    enter("cat", "bind", root=root)
    pvefw("acme", "plugin", "add", "dns", "bind", "--api", "rfc2136", "--data", "bind")
    # a DNS of its own, and on a port of its own: only a demo or a test has to say that
    pvefw("config", "set", "-resolvers", address, "-authority-port", str(nameserver.port))

    pvefw("config", "set", "-acmedomain0", "www.demo.example,plugin=web")
    pvefw("config", "set", "-acmedomain1", "*.demo.example,plugin=bind")
    pvefw("acme", "cert", "order")
    pvefw("cert", "info")


def judge(authority: Pebble, root: Path) -> None:
    """What OpenSSL, which knows nothing of pvefw, says of the certificate and of each name."""
    root.joinpath("authority.pem").write_bytes(authority.root())
    certificate = f"etc/pve/nodes/{NODE}/pveproxy-ssl.pem"
    for name in ("www.demo.example", "anything.demo.example"):
        chain = ["-CAfile", "authority.pem", "-untrusted", certificate, certificate]
        enter("openssl", "verify", "-verify_hostname", name, *chain, root=root)


def main() -> int:
    """Run the demo.

    :returns: 0, or 1 where a command failed.
    """
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with tempfile.TemporaryDirectory(prefix="pvefw-demo-") as folder:
        place = Path(folder)
        root = place / "root"
        root.mkdir()
        with bind(place / "bind", [ZONE]) as nameserver:
            dns = f"{nameserver.address}:{nameserver.port}"
            with pebble(place / "pebble", dns_server=dns) as authority:
                say(f"Pebble, an ACME server for tests, answers at {authority.directory}")
                say(f"BIND answers for demo.example at {dns}")
                try:
                    order(authority, nameserver, root)
                    judge(authority, root)
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
