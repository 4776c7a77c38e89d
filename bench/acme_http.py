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

from clients import Clients, measure
from measure import ROOT, keep, table
from servers.pebble import pebble

COUNTS = (1, 10, 50)
IMPORTS = "import click, requests; from cryptography import x509"
_TOOLS = ("floor", "imports", "pvefw", "certbot", "lego")


class ByHttp(Clients):
    """Orders by http-01."""

    def prepare(self):
        self._how_lego = ["--http", "--http.port", f"127.0.0.1:{self.server.http_port}"]
        self.register(self._how_lego)
        settings = self.home / "settings"
        settings.write_text(f"port={self.server.http_port}\nlisten=127.0.0.1\n")
        self.run_pvefw("acme", "plugin", "set", "standalone", "--data", settings)

    def configure(self, names):
        """pvefw reads the names from its configuration; the others take them as arguments."""
        domains = [f"-acmedomain{number}={name}" for number, name in enumerate(names)]
        self.run_pvefw("config", "set", *domains)

    def pvefw(self, _names):
        return self.run_pvefw("acme", "cert", "order", "--force")

    def lego(self, names):
        return self.run_lego(self._how_lego, names)

    def certbot(self, names):
        port = ["--standalone", "--http-01-port", self.server.http_port]
        return self.run_certbot("certonly", *port, names=names)

    def floor(self, names):
        """Its own clock, which leaves out starting and importing."""
        program = [sys.executable, ROOT / "bench/floor.py"]
        place = [self.server.directory, self.server.ca_file, self.server.http_port]
        done = subprocess.run(
            list(map(str, [*program, *place, *names])),
            capture_output=True,
            text=True,
            check=True,
        )
        return float(done.stdout)

    def imports(self, _names):
        return self.run(sys.executable, "-c", IMPORTS)


def main(counts):
    os.umask(0o077)
    results = {}
    with tempfile.TemporaryDirectory(prefix="pvefw-bench-") as folder:
        home = Path(folder)
        # every nonce is taken: Debian's certbot 2.1 ends with an AttributeError when one is not
        with pebble(home / "pebble", nonce_reject=0) as server:
            clients = ByHttp(server, home)
            clients.prepare()
            measures = {tool: getattr(clients, tool) for tool in _TOOLS}
            for count in counts:
                names = [f"host{number}.bench.example" for number in range(count)]
                clients.configure(names)
                results[str(count)] = measure(measures, names)
                print(f"{count} names: {results[str(count)]}", flush=True)
    ratios = {
        count: {
            "pvefw_to_floor_and_imports": result["pvefw"] / (result["floor"] + result["imports"]),
            "certbot_to_pvefw": result["certbot"] / result["pvefw"],
            "lego_to_pvefw": result["lego"] / result["pvefw"],
        }
        for count, result in results.items()
    }
    print("Orders by http-01, seconds for the whole process, then ratios")
    table(
        [
            [count, *(f"{result[tool]:.2f}" for tool in _TOOLS)]
            + [f"{ratio:.1f}" for ratio in ratios[count].values()]
            for count, result in results.items()
        ],
        ["names", *_TOOLS, "pvefw/(floor+imports)", "certbot/pvefw", "lego/pvefw"],
    )
    keep("acme_http", {"seconds": results, "ratios": ratios})


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or COUNTS)
