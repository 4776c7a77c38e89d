"""The clients that the ACME benchmarks time: how each is called, and how patient we are with it."""

from measure import BIN, seconds, side_by_side

REPEATS = 5
PATIENCE = 15.0
"""Seconds after which a client is measured once only."""
_MAIL = "mail@bench.example"


class Clients:
    """Each client's commands, with a home and an account of its own.

    :param server: the Pebble that they order from.
    :param home: a directory for what they keep.
    :param env: what they need to know beyond that.
    """

    def __init__(self, server, home, env=None):
        self.server = server
        self.home = home
        (home / "pvefw").mkdir(exist_ok=True)
        self._env = {
            "PVEFW_ROOT": str(home / "pvefw"),
            "PVEFW_NODE": "bench",
            "LEGO_CA_CERTIFICATES": str(server.ca_file),
            "REQUESTS_CA_BUNDLE": str(server.ca_file),
            **(env or {}),
        }

    def register(self, lego_how):
        """An account for everybody; lego has no command that only registers."""
        authority = ["--directory", self.server.directory, "--ca-file", self.server.ca_file]
        self.run_pvefw("acme", "account", "register", "default", _MAIL, *authority, "--accept-tos")
        self.run_certbot("register", "-m", _MAIL, "--no-eff-email")
        self.run_lego(lego_how, ["first.bench.example"])

    def run_pvefw(self, *arguments):
        return self.run(BIN / "pvefw", *arguments)

    def run_lego(self, how, names):
        where = ["--server", self.server.directory, "--path", self.home / "lego"]
        who = ["--accept-tos", "--email", _MAIL]
        return self.run("lego", *where, *who, *how, *_options(names), "run")

    def run_certbot(self, command, *how, names=()):
        folders = [
            f"--{name}-dir={self.home / 'certbot' / name}" for name in ("config", "work", "logs")
        ]
        where = ["--server", self.server.directory]
        force = ["--force-renewal", "--cert-name", "bench"] if names else []
        options = ["--non-interactive", "--agree-tos", *where, *folders, *force, *how]
        return self.run("certbot", command, *options, *_options(names))

    def run(self, *argv):
        return seconds(argv, env=self._env)


def _options(names):
    return [word for name in names for word in ("-d", name)]


def measure(measures, names):
    """The median of each, in seconds; the slow ones are measured once.

    :param measures: name to a function that takes the names to order and gives seconds.
    """
    taken, patient = {}, {}
    for name, run in measures.items():
        taken[name] = run(names)
        if taken[name] < PATIENCE:
            patient[name] = lambda run=run: run(names)
    return taken | side_by_side(patient, REPEATS)
