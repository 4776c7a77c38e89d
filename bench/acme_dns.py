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

from measure import BIN, keep, seconds, side_by_side, table
from servers.bind import bind
from servers.nameserver import Zone
from servers.pebble import pebble

COUNTS = (1, 10, 50)
REPEATS = 5
PATIENCE = 15.0
"""Seconds after which a tool is measured once only."""
ZONE = Zone("bench.example.", {"ns1": "127.0.0.1"}, "* A 127.0.0.1")
_ALL = ("http", "pvefw", "certbot", "lego")


class Tools:
    """Each tool's command for an order, with a home and an account of its own."""

    def __init__(self, server, nameserver, home):
        self._server = server
        self._nameserver = nameserver
        self._home = home
        where = f"{nameserver.address}:{nameserver.port}"
        self._env = {
            "PVEFW_ROOT": str(home / "pvefw"),
            "PVEFW_NODE": "bench",
            "LEGO_CA_CERTIFICATES": str(server.ca_file),
            "REQUESTS_CA_BUNDLE": str(server.ca_file),
            "RFC2136_NAMESERVER": where,
            "RFC2136_TSIG_KEY": nameserver.key.name,
            "RFC2136_TSIG_SECRET": nameserver.key.secret,
            "RFC2136_TSIG_ALGORITHM": f"{nameserver.key.algorithm}.",
            "RFC2136_POLLING_INTERVAL": "1",
            "RFC2136_SEQUENCE_INTERVAL": "1",
        }
        self._where = where

    def register(self):
        key = self._nameserver.key
        authority = ["--directory", self._server.directory, "--ca-file", self._server.ca_file]
        account = ["register", "default", "mail@bench.example", *authority, "--accept-tos"]
        self._pvefw("acme", "account", *account)
        web, dns = self._home / "web", self._home / "dns"
        web.write_text(f"port={self._server.http_port}\nlisten=127.0.0.1\n")
        dns.write_text(f"server={self._where}\nkey_name={key.name}\nsecret={key.secret}\n")
        self._pvefw("acme", "plugin", "set", "standalone", "--data", web)
        self._pvefw("acme", "plugin", "add", "dns", "bind", "--api", "rfc2136", "--data", dns)
        port = self._nameserver.port
        self._pvefw("config", "set", "--resolvers", self._where, "--authority-port", port)
        credentials = self._home / "certbot.ini"
        credentials.write_text(
            f"dns_rfc2136_server = {self._nameserver.address}\ndns_rfc2136_port = {port}\n"
            f"dns_rfc2136_name = {key.name}\ndns_rfc2136_secret = {key.secret}\n"
            f"dns_rfc2136_algorithm = {key.algorithm.upper()}\n"
        )
        self._run(*self._certbot("register"), "-m", "mail@bench.example", "--no-eff-email")
        self._run(*self._lego(["first.bench.example"]))  # it has no command that only registers

    def configure(self, names, plugin):
        """pvefw reads the names from its configuration; the others take them as arguments."""
        domains = [f"-acmedomain{at}={name},plugin={plugin}" for at, name in enumerate(names)]
        self._pvefw("config", "set", *domains)

    def http(self, names):
        self.configure(names, "standalone")
        return self._pvefw("acme", "cert", "order", "--force")

    def pvefw(self, names):
        self.configure(names, "bind")
        return self._pvefw("acme", "cert", "order", "--force")

    def lego(self, names):
        return self._run(*self._lego(names))

    def certbot(self, names):
        how = ["--dns-rfc2136", "--dns-rfc2136-credentials", self._home / "certbot.ini"]
        how += ["--dns-rfc2136-propagation-seconds", "1"]
        force = ["--force-renewal", "--cert-name", "bench"]
        return self._run(*self._certbot("certonly"), *how, *force, *_options(names))

    def _pvefw(self, *arguments):
        return self._run(BIN / "pvefw", *arguments)

    def _lego(self, names):
        where = ["--server", self._server.directory, "--path", self._home / "lego"]
        who = ["--accept-tos", "--email", "mail@bench.example"]
        how = ["--dns", "rfc2136", "--dns.resolvers", self._where, "--dns.disable-cp"]
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
    taken, patient = {}, {}
    for name in _ALL:
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
        with bind(home / "bind", [ZONE]) as nameserver:
            where = f"{nameserver.address}:{nameserver.port}"
            # every nonce is taken, as in acme_http
            with pebble(home / "pebble", nonce_reject=0, dns_server=where) as server:
                clients = Tools(server, nameserver, home)
                clients.register()
                for count in counts:
                    results[str(count)] = measure(clients, count)
                    print(f"{count} names: {results[str(count)]}", flush=True)
    ratios = {
        count: {
            "dns_to_http": one["pvefw"] / one["http"],
            "certbot_to_pvefw": one["certbot"] / one["pvefw"],
            "lego_to_pvefw": one["lego"] / one["pvefw"],
        }
        for count, one in results.items()
    }
    print("Orders by dns-01, seconds for the whole process, then ratios")
    table(
        [
            [count, *(f"{one[tool]:.2f}" for tool in _ALL)]
            + [f"{ratio:.1f}" for ratio in ratios[count].values()]
            for count, one in results.items()
        ],
        ["names", "pvefw http-01", *_ALL[1:], "dns/http", "certbot/pvefw", "lego/pvefw"],
    )
    keep("acme_dns", {"seconds": results, "ratios": ratios})


if __name__ == "__main__":
    main([int(one) for one in sys.argv[1:]] or COUNTS)
