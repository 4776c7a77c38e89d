"""A certificate for 1, 10 and 50 names by http-01: pvefw, lego and certbot, at one Pebble in one run.

Whole processes are measured, with an account that is registered beforehand. The floor is what the
protocol itself takes (floor.py); the imports are what an interpreter takes to load the libraries that
any client in Python needs. Aim: pvefw takes little more than both together.

    python bench/acme_http.py [NUMBER_OF_NAMES...]
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import BIN, ROOT, keep, seconds, side_by_side, table
from servers.pebble import pebble

COUNTS = (1, 10, 50)
REPEATS = 5
PATIENCE = 15.0
"""Seconds after which a tool is measured once only."""
IMPORTS = "import click, requests; from cryptography import x509"


class Tools:
    """Each tool's command for an order, with a home and an account of its own."""

    def __init__(self, server, home):
        self._server = server
        self._home = home
        self._env = {
            "PVEFW_ROOT": str(home / "pvefw"),
            "PVEFW_NODE": "bench",
            "LEGO_CA_CERTIFICATES": str(server.ca_file),
            "REQUESTS_CA_BUNDLE": str(server.ca_file),
        }

    def register(self):
        authority = ["--directory", self._server.directory, "--ca-file", self._server.ca_file]
        account = ["register", "default", "mail@bench.example", *authority, "--accept-tos"]
        self._run(BIN / "pvefw", "acme", "account", *account)
        settings = self._home / "settings"
        settings.write_text(f"port={self._server.http_port}\nlisten=127.0.0.1\n")
        self._run(BIN / "pvefw", "acme", "plugin", "set", "standalone", "--data", settings)
        self._run(*self._certbot("register"), "-m", "mail@bench.example", "--no-eff-email")
        self._run(*self._lego(["first.bench.example"]))  # it has no command that only registers

    def configure(self, names):
        """pvefw reads the names from its configuration; the others take them as arguments."""
        domains = [f"-acmedomain{number}={name}" for number, name in enumerate(names)]
        self._run(BIN / "pvefw", "config", "set", *domains)

    def pvefw(self, _names):
        return self._run(BIN / "pvefw", "acme", "cert", "order", "--force")

    def lego(self, names):
        return self._run(*self._lego(names))

    def certbot(self, names):
        port = ["--standalone", "--http-01-port", self._server.http_port]
        force = ["--force-renewal", "--cert-name", "bench"]
        return self._run(*self._certbot("certonly"), *port, *force, *_options(names))

    def floor(self, names):
        """Its own clock, which leaves out starting and importing."""
        server = self._server
        program = [sys.executable, ROOT / "bench/floor.py"]
        place = [server.directory, server.ca_file, server.http_port]
        done = subprocess.run(
            list(map(str, [*program, *place, *names])),
            capture_output=True,
            text=True,
            check=True,
        )
        return float(done.stdout)

    def imports(self, _names):
        return self._run(sys.executable, "-c", IMPORTS)

    def _lego(self, names):
        where = ["--server", self._server.directory, "--path", self._home / "lego"]
        who = ["--accept-tos", "--email", "mail@bench.example"]
        how = ["--http", "--http.port", f"127.0.0.1:{self._server.http_port}"]
        return ["lego", *where, *who, *how, *_options(names), "run"]

    def _certbot(self, command):
        folders = [
            f"--{one}-dir={self._home / 'certbot' / one}" for one in ("config", "work", "logs")
        ]
        where = ["--server", self._server.directory]
        return ["certbot", command, "--non-interactive", "--agree-tos", *where, *folders]

    def _run(self, *argv):
        return seconds(argv, env=self._env)


def _options(names):
    return [word for name in names for word in ("-d", name)]


def measure(tools, count):
    """The median of each tool, in seconds."""
    names = [f"host{number}.bench.example" for number in range(count)]
    tools.configure(names)
    taken = {}
    patient = {}
    for name in ("imports", "floor", "pvefw", "certbot", "lego"):
        run = getattr(tools, name)
        taken[name] = run(names)
        if taken[name] < PATIENCE:
            patient[name] = lambda run=run: run(names)
    return taken | side_by_side(patient, REPEATS)


def main(counts):
    os.umask(0o077)
    results = {}
    with tempfile.TemporaryDirectory(prefix="pvefw-bench-") as folder:
        home = Path(folder)
        # every nonce is taken: Debian's certbot 2.1 ends with an AttributeError when one is not
        with pebble(home / "pebble", nonce_reject=0) as server:
            clients = Tools(server, home)
            clients.register()
            for count in counts:
                results[str(count)] = measure(clients, count)
                print(f"{count} names: {results[str(count)]}", flush=True)
    ratios = {
        count: {
            "pvefw_to_floor_and_imports": one["pvefw"] / (one["floor"] + one["imports"]),
            "certbot_to_pvefw": one["certbot"] / one["pvefw"],
            "lego_to_pvefw": one["lego"] / one["pvefw"],
        }
        for count, one in results.items()
    }
    print("Orders by http-01, seconds for the whole process, then ratios")
    tools = ["floor", "imports", "pvefw", "certbot", "lego"]
    table(
        [
            [count, *(f"{one[tool]:.2f}" for tool in tools)]
            + [f"{ratio:.1f}" for ratio in ratios[count].values()]
            for count, one in results.items()
        ],
        ["names", *tools, "pvefw/(floor+imports)", "certbot/pvefw", "lego/pvefw"],
    )
    keep("acme_http", {"seconds": results, "ratios": ratios})


if __name__ == "__main__":
    main([int(one) for one in sys.argv[1:]] or COUNTS)
