"""A certificate for 1, 10 and 50 names by dns-01: pvefw, lego and certbot, at the same BIND and Pebble.

All three change the zone through RFC 2136. The server publishes at once, so what is measured is what each
tool adds: pvefw watches the authoritative server, certbot sleeps for the shortest time that it can be
told, lego is told not to look. Beside them stands pvefw's own http-01 for as many names. Aim: within
twice that.

    python bench/acme_dns.py [NUMBER_OF_NAMES...]
"""

import os
import sys
import tempfile
from pathlib import Path

from clients import Clients, measure
from measure import keep, table
from servers.bind import bind
from servers.nameserver import Zone
from servers.pebble import pebble

COUNTS = (1, 10, 50)
ZONE = Zone("bench.example.", {"ns1": "127.0.0.1"}, "* A 127.0.0.1")
_TOOLS = ("http", "pvefw", "certbot", "lego")


class ByDns(Clients):
    """Orders by dns-01, and one by http-01 to compare with."""

    def __init__(self, server, nameserver, home):
        self._nameserver = nameserver
        self._where = f"{nameserver.address}:{nameserver.port}"
        key = nameserver.key
        env = {
            "RFC2136_NAMESERVER": self._where,
            "RFC2136_TSIG_KEY": key.name,
            "RFC2136_TSIG_SECRET": key.secret,
            "RFC2136_TSIG_ALGORITHM": f"{key.algorithm}.",
            "RFC2136_POLLING_INTERVAL": "1",
            "RFC2136_SEQUENCE_INTERVAL": "1",
        }
        super().__init__(server, home, env)
        self._how_lego = ["--dns", "rfc2136", "--dns.resolvers", self._where, "--dns.disable-cp"]

    def prepare(self):
        key, port = self._nameserver.key, self._nameserver.port
        self.register(self._how_lego)
        web, dns = self.home / "web", self.home / "dns"
        web.write_text(f"port={self.server.http_port}\nlisten=127.0.0.1\n")
        dns.write_text(f"server={self._where}\nkey_name={key.name}\nsecret={key.secret}\n")
        self.run_pvefw("acme", "plugin", "set", "standalone", "--data", web)
        self.run_pvefw("acme", "plugin", "add", "dns", "bind", "--api", "rfc2136", "--data", dns)
        self.run_pvefw("config", "set", "--resolvers", self._where, "--authority-port", port)
        (self.home / "certbot.ini").write_text(
            f"dns_rfc2136_server = {self._nameserver.address}\ndns_rfc2136_port = {port}\n"
            f"dns_rfc2136_name = {key.name}\ndns_rfc2136_secret = {key.secret}\n"
            f"dns_rfc2136_algorithm = {key.algorithm.upper()}\n"
        )

    def http(self, names):
        return self._ours(names, "standalone")

    def pvefw(self, names):
        return self._ours(names, "bind")

    def lego(self, names):
        return self.run_lego(self._how_lego, names)

    def certbot(self, names):
        how = ["--dns-rfc2136", "--dns-rfc2136-credentials", self.home / "certbot.ini"]
        how += ["--dns-rfc2136-propagation-seconds", "1"]
        return self.run_certbot("certonly", *how, names=names)

    def _ours(self, names, plugin):
        """pvefw reads the names from its configuration; the others take them as arguments."""
        domains = [f"-acmedomain{at}={name},plugin={plugin}" for at, name in enumerate(names)]
        self.run_pvefw("config", "set", *domains)
        return self.run_pvefw("acme", "cert", "order", "--force")


def measured(counts, home):
    results = {}
    with bind(home / "bind", [ZONE]) as nameserver:
        where = f"{nameserver.address}:{nameserver.port}"
        # every nonce is taken, as in acme_http
        with pebble(home / "pebble", nonce_reject=0, dns_server=where) as server:
            clients = ByDns(server, nameserver, home)
            clients.prepare()
            measures = {tool: getattr(clients, tool) for tool in _TOOLS}
            for count in counts:
                names = [f"host{number}.bench.example" for number in range(count)]
                results[str(count)] = measure(measures, names)
                print(f"{count} names: {results[str(count)]}", flush=True)
    return results


def main(counts):
    os.umask(0o077)
    with tempfile.TemporaryDirectory(prefix="pvefw-bench-") as folder:
        results = measured(counts, Path(folder))
    ratios = {
        count: {
            "dns_to_http": result["pvefw"] / result["http"],
            "certbot_to_pvefw": result["certbot"] / result["pvefw"],
            "lego_to_pvefw": result["lego"] / result["pvefw"],
        }
        for count, result in results.items()
    }
    print("Orders by dns-01, seconds for the whole process, then ratios")
    table(
        [
            [count, *(f"{result[tool]:.2f}" for tool in _TOOLS)]
            + [f"{ratio:.1f}" for ratio in ratios[count].values()]
            for count, result in results.items()
        ],
        ["names", "pvefw http-01", *_TOOLS[1:], "dns/http", "certbot/pvefw", "lego/pvefw"],
    )
    keep("acme_dns", {"seconds": results, "ratios": ratios})


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or COUNTS)
