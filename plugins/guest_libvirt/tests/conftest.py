"""Private libvirt daemons, and pvefw as an administrator runs it on their hosts."""

import contextlib
import os
import signal
import threading
from dataclasses import dataclass, field

import pytest
from servers.libvirt import LibvirtNode, libvirt_nodes
from waiting import looks
from whole_host import Host

from pvefw.api import Unavailable
from pvefw_guest_libvirt import Libvirt


@dataclass
class LibvirtHost(Host):
    """A node whose guests are those of a private daemon."""

    daemon: LibvirtNode | None = None

    def settings(self, **more):
        """The plugin's settings: how to reach the other nodes, and what all of them share."""
        base = self.daemon.base
        return {
            "uri": self.daemon.uri,
            "target_uri": f"qemu+unix:///session?socket={base}/{{node}}/run/libvirt/libvirt-sock",
            "transfer_uri": "tcp://127.0.0.1",
            "shared": str(base / "shared"),
            **more,
        }

    def configure(self, **more):
        path = self.paths.cluster_pvefw_cfg
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"\t{key} {value}\n" for key, value in self.settings(**more).items())
        path.write_text(f"guest: libvirt\n{lines}")

    def plugin(self, **more):
        values = self.settings(**more)
        return Libvirt(**{**values, "shared": [values["shared"]]})

    def give(self, *names, **settings):
        """Keep settings in guests: all get VMIDs in the order of their names."""
        plugin = self.plugin()
        for guest in plugin.guest_list():
            if guest.name in names:
                plugin.guest_set(guest, {key: str(value) for key, value in settings.items()})

    def vmid(self, name):
        return next(guest.vmid for guest in self.plugin().guest_list() if guest.name == name)

    def read_until(self, process, *wanted):
        """Read what a command says until each of these was in a line; what it said."""
        said, left = "", list(wanted)
        for line in process.stdout:
            said += line
            left = [text for text in left if text not in line]
            if not left:
                return said
        raise AssertionError(f"{left} was never said:\n{said}")

    def end(self, process, number=None):
        """Wait for a command, after a signal perhaps; its status and what else it said."""
        if number is not None:
            os.kill(process.pid, number)
        said = process.communicate(timeout=120)[0]
        assert "Traceback" not in said, said
        return process.returncode, said

    def interrupt(self, process):
        return self.end(process, signal.SIGINT)


@dataclass
class Recorder:
    """What a daemon reports about its guests, as it happens."""

    plugin: Libvirt
    events: list = field(default_factory=list)

    def __post_init__(self):
        self.plugin.guest_list()
        stream = self.plugin.guest_watch(300.0)

        def record():
            with contextlib.suppress(Unavailable):  # the test is over, and the daemon with it
                for event in stream:
                    self.events.append((event.vmid, event.state.value, event.detail))

        threading.Thread(target=record, daemon=True).start()

    def order(self, state, count):
        """The VMIDs of so many guests in the order in which they were first seen in a state."""
        for _ in looks(30):
            seen = list(dict.fromkeys(vmid for vmid, now, _ in self.events if now == state))
            if len(seen) >= count:
                return seen
        raise AssertionError(self.events)


@pytest.fixture(scope="module")
def nodes():
    """Two hosts that can reach each other, ``n1`` and ``n2``."""
    with libvirt_nodes("n1", "n2") as made:
        yield made


@pytest.fixture
def host(nodes, tmp_path):
    """The first of them, with no guests yet."""
    made = LibvirtHost(tmp_path / "root", node="n1", daemon=nodes[0])
    made.configure()
    yield made
    for node in nodes:
        node.clear()


@pytest.fixture
def other(nodes, host, tmp_path):
    """The second one, with a storage pool for local disks."""
    made = LibvirtHost(tmp_path / "root", node="n2", daemon=nodes[1])
    if not made.daemon.connection.listAllStoragePools():
        made.daemon.pool()
    return made


@pytest.fixture
def recorder(host):
    """Call it when the guests are there: it records from then on."""
    return lambda: Recorder(host.plugin())
