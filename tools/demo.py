"""From nothing to a certificate for two names, through two plugin instances, in a throw-away root.

One name is validated by http-01, the other, a wildcard, by a record in a zone of BIND's. The ACME server
is Pebble; both run on this machine only. Every command is printed as an administrator would type it,
and is the real one. Whatever happens, nothing is left behind: no process, no file.

    python tools/demo.py               runs it
    python tools/demo.py --cast FILE   records it, for the documentation's first page
"""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import cast
from servers.bind import Bind, bind
from servers.nameserver import Zone
from servers.pebble import Pebble, pebble

NODE = "demo"
ZONE = Zone("demo.example.", {"ns1": "127.0.0.1"}, "www A 127.0.0.1")


def say(text: str) -> None:
    """Print now: what a program prints next must come after it."""
    print(text, flush=True)


class Shell:
    """Types commands, one after the other, in one directory.

    A signal ends the command that runs and keeps the next from being typed. It raises nothing by itself:
    in the midst of starting a program that would leave the program behind.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: subprocess.Popen[bytes] | None = None
        self._signal = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)

    def _end(self, number: int, _frame: object) -> None:
        self._signal = number
        if self._running:
            self._running.terminate()

    def __call__(self, *words: str) -> None:
        """Print a command and run it.

        :raises CalledProcessError: it failed, and has said why.
        :raises SystemExit: a signal has ended the demo.
        """
        self._exit_if_ended()
        say(f"\n# {shlex.join(words)}")
        self._running = subprocess.Popen(words, cwd=self._directory, stdin=subprocess.DEVNULL)
        if self._signal:
            self._running.terminate()
        status = self._running.wait()
        self._running = None
        self._exit_if_ended()
        if status != 0:
            raise subprocess.CalledProcessError(status, words)

    def _exit_if_ended(self) -> None:
        if self._signal:
            sys.exit(128 + self._signal)


def order(shell: Shell, authority: Pebble, nameserver: Bind, root: Path) -> None:
    """Everything that an administrator does, once, to have a certificate."""
    os.environ |= {"PVEFW_ROOT": str(root), "PVEFW_NODE": NODE}
    say(f"\n# cd {root}\n# export PVEFW_ROOT=$PWD PVEFW_NODE={NODE}")

    def pvefw(*arguments: str) -> None:
        shell("pvefw", *arguments)

    where = ["--directory", authority.directory, "--ca-file", str(authority.ca_file)]
    pvefw("acme", "account", "register", "default", "mail@demo.example", *where, "--accept-tos")

    root.joinpath("web").write_text(f"port={authority.http_port}\nlisten=127.0.0.1\n")
    shell("cat", "web")
    pvefw("acme", "plugin", "add", "standalone", "web", "--data", "web")

    key = nameserver.key
    address = f"{nameserver.address}:{nameserver.port}"
    values = {"server": address, "key_name": key.name, "secret": key.secret}
    root.joinpath("bind").write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    shell("cat", "bind")
    pvefw("acme", "plugin", "add", "dns", "bind", "--api", "rfc2136", "--data", "bind")
    # a DNS of its own, and on a port of its own: only a demo or a test has to say that
    pvefw("config", "set", "-resolvers", address, "-authority-port", str(nameserver.port))

    pvefw("config", "set", "-acmedomain0", "www.demo.example,plugin=web")
    pvefw("config", "set", "-acmedomain1", "*.demo.example,plugin=bind")
    pvefw("acme", "cert", "order")
    pvefw("cert", "info")


def judge(shell: Shell, authority: Pebble, root: Path) -> None:
    """What OpenSSL, which knows nothing of pvefw, says of the certificate and of each name."""
    root.joinpath("authority.pem").write_bytes(authority.root())
    certificate = f"etc/pve/nodes/{NODE}/pveproxy-ssl.pem"
    for name in ("www.demo.example", "anything.demo.example"):
        chain = ["-CAfile", "authority.pem", "-untrusted", certificate, certificate]
        shell("openssl", "verify", "-verify_hostname", name, *chain)


def main() -> int:
    """Run the demo.

    :returns: 0, or 1 where a command failed.
    """
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with tempfile.TemporaryDirectory(prefix="pvefw-demo-") as folder:
        place = Path(folder)
        root = place / "root"
        root.mkdir()
        shell = Shell(root)
        with bind(place / "bind", [ZONE]) as nameserver:
            dns = f"{nameserver.address}:{nameserver.port}"
            with pebble(place / "pebble", dns_server=dns) as authority:
                say(f"Pebble, an ACME server for tests, answers at {authority.directory}")
                say(f"BIND answers for demo.example at {dns}")
                try:
                    order(shell, authority, nameserver, root)
                    judge(shell, authority, root)
                except subprocess.CalledProcessError:
                    return 1
    say("\nOne certificate, two names, two plugin instances. Nothing is left behind.")
    return 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            sys.exit(main())
        case ["--cast", path]:
            sys.exit(cast.record([sys.executable, __file__], Path(path), "pvefw: make demo"))
        case _:
            sys.exit(__doc__)
