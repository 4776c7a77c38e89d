"""An order in a process of its own, which kills itself at one step; started by test_cleanup."""

import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

from servers.nameserver import NameServer
from servers.world import ServerZones, Task, bound, challenge

from pvefw.dns import propagation
from pvefw.dns.journal import Journal
from pvefw.dns.publication import Route
from pvefw.dns.resolver import Resolver, Server
from pvefw.dns.solver import DnsSolver
from pvefw.host import foreign
from pvefw.store import files
from pvefw.store.paths import Paths


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Dying(ServerZones):
    """Dies before, in the middle of, or after one call."""

    def __init__(self, server, step):
        super().__init__(server)
        self.step = step

    def _change(self, action, zone, records):
        if self.step == f"before {action}":
            die()
        if self.step == f"amid {action}":
            super()._change(action, zone, records[:1])
            die()
        super()._change(action, zone, records)
        if self.step == f"after {action}":
            die()


def die_instead_of(owner, name):
    setattr(owner, name, lambda *_args, **_options: die())


def main():
    root, step, resolver, servers, domains = json.loads(sys.argv[1])
    address, port, authority_port = resolver
    match step:
        case "amid journal":
            die_instead_of(foreign.Directory, "rename")
        case "before wait":
            die_instead_of(propagation, "wait")
        case "before close":
            die_instead_of(Journal, "close")
        case "amid close":
            die_instead_of(files, "remove")
        case "hang":
            propagation.wait = lambda *_: (print("waiting", flush=True), signal.pause())
    plugins = [
        bound(
            Dying(
                NameServer(where, authority_port, Path(root), SimpleNamespace(), Path(root)), step
            ),
            name,
        )
        for name, where in servers.items()
    ]
    routes = [Route(domain, plugins[index % len(plugins)]) for index, domain in enumerate(domains)]
    found = Resolver([Server(address, port)], authority_port=authority_port)
    solver = DnsSolver(Paths(Path(root), "pve1"), routes, found)
    challenges = [challenge(domain, token) for domain in domains for token in ("one", "two")]
    task = Task()
    solver.challenge_present(challenges=challenges, task=task)
    solver.challenge_cleanup(challenges=challenges, task=task)
    print("done", flush=True)


if __name__ == "__main__":
    main()
