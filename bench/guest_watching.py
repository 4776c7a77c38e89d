"""What it costs to watch a thousand guests while a bulk action waits for them.

The aim: less than 1 % of a core. A backend with events (libvirt's own test driver, in this process) is
asked once a minute beside them; one without is asked every five seconds. Nothing happens to the guests.

Usage: python bench/guest_watching.py [GUESTS [SECONDS]]
"""

import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

from measure import keep, table

from pvefw import instances
from pvefw.core.model import Guest, GuestState
from pvefw.guests.backends import Backends
from pvefw.guests.watching import Watcher
from pvefw.host.clock import SystemClock
from pvefw.instances import Instance
from pvefw.store.guest_reference import Reference
from pvefw.store.node import Node
from pvefw.store.paths import Paths

GUESTS, SECONDS = 1000, 130.0
DOMAIN = "<domain type='test'><name>g{0}</name><memory>9</memory><os><type>hvm</type></os></domain>"


class Polled:
    """A hypervisor without events, whose answer costs nothing."""

    def __init__(self, count):
        self.guests = [
            Guest(vmid, f"g{vmid}", "vm", GuestState.RUNNING) for vmid in range(100, 100 + count)
        ]

    def guest_list(self):
        return list(self.guests)


def with_events(count, folder):
    """libvirt's plugin as it is bound in earnest, before a daemon with so many guests that run."""
    file = Path(folder) / "node.xml"
    file.write_text(f"<node>{''.join(map(DOMAIN.format, range(count)))}</node>")
    node = Node.unread(Paths(Path(folder), "pve1"))
    return instances.bind(node, Instance("guest", "own", "libvirt", {"uri": f"test://{file}"}))


def without_events(count, _folder):
    return SimpleNamespace(name="own", hooks=Polled(count), implemented={"guest_list"})


def cost(bound, count, seconds):
    """The share of a core that watching takes, in percent."""
    backends = Backends({"own": bound})
    states = {Reference(guest.vmid): guest.state for guest in bound.hooks.guest_list()}
    assert len(states) == count
    seen = []
    with Watcher(backends, states, lambda *change: seen.append(change), SystemClock()):
        before = time.process_time()
        threading.Event().wait(seconds)
        used = time.process_time() - before
    assert seen == [], "nothing has happened to them"
    return 100 * used / seconds


def main(count=GUESTS, seconds=SECONDS):
    count, seconds = int(count), float(seconds)
    with tempfile.TemporaryDirectory() as folder:
        percent = {
            name: cost(make(count, folder), count, seconds)
            for name, make in (("with events", with_events), ("polled", without_events))
        }
    rows = [(name, f"{value:.3f} %") for name, value in percent.items()]
    table(rows, (f"{count} guests for {seconds:g} s", "of a core"))
    keep("guest_watching", {"guests": count, "seconds": seconds, "percent_of_a_core": percent})


if __name__ == "__main__":
    main(*sys.argv[1:])
