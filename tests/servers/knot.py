"""Knot DNS: primary or secondary, as an ordinary user, on a high port and any loopback address."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from servers.nameserver import Key, NameServer, Zone, free_dns_port
from servers.processes import process


@dataclass
class Knot(NameServer):
    """A Knot DNS that runs."""

    control_socket: Path = Path("/nonexistent")

    def control(self, *words: str) -> None:
        """Control it: ``control("zone-retransfer", "example.test")`` makes a secondary catch up."""
        subprocess.run(
            ["knotc", "-s", str(self.control_socket), "--blocking", *words],
            check=True,
            capture_output=True,
            timeout=10,
        )


@contextlib.contextmanager
def knot(
    workdir: Path,
    zones: Sequence[Zone] = (),
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    secondary: Mapping[str, tuple[str, int]] | None = None,
    key: Key | None = None,
    ready: bool = True,
) -> Iterator[Knot]:
    """Start a Knot DNS.

    :param zones: it is primary for them; the key may change them through RFC 2136.
    :param secondary: zone to its primary's address and port; it catches up when told, or notified.
    :param ready: wait until it serves the last of its zones.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    port, key = port or free_dns_port(), key or Key()
    control = Path(tempfile.mkdtemp(prefix="knot-")) / "socket"  # a socket's path must be short
    for zone in zones:
        (workdir / zone.file_name).write_text(zone.render())
    parts = [
        f"server:\n  rundir: {workdir}\n  listen: {address}@{port}\n  udp-workers: 1\n"
        "  tcp-workers: 1\n  background-workers: 1",
        f"control:\n  listen: {control}",
        f"database:\n  storage: {workdir}",
        f"key:\n  - id: {key.name}\n    algorithm: {key.algorithm}\n    secret: {key.secret}",
        f"acl:\n  - id: change\n    key: {key.name}\n    action: [update, transfer]\n"
        "  - id: notified\n    address: [127.0.0.0/8, ::1]\n    action: notify",
        _remotes(secondary or {}),
        f"template:\n  - id: default\n    storage: {workdir}\n    acl: change\n"
        "    zonefile-sync: -1\n    zonefile-load: difference-no-serial\n    journal-content: all",
        "zone:",
        *(f"  - domain: {zone.name}\n    file: {zone.file_name}" for zone in zones),
        *(
            f"  - domain: {zone}\n    file: {zone}copy\n    master: of-{zone}\n    acl: notified\n"
            "    zonefile-load: none"
            for zone in secondary or {}
        ),
    ]
    (workdir / "knot.conf").write_text("\n".join(parts) + "\n")
    log = workdir / "knot.log"
    try:
        with process(["knotd", "-c", str(workdir / "knot.conf")], log) as running:
            server = Knot(address, port, workdir, running, log, key, control)
            served = [zone.name for zone in zones] + list(secondary or {})
            server.wait_until_ready(served[-1] if ready else "")
            yield server
    finally:
        shutil.rmtree(control.parent)


def _remotes(secondary: Mapping[str, tuple[str, int]]) -> str:
    each = [
        f"  - id: of-{zone}\n    address: {address}@{port}"
        for zone, (address, port) in secondary.items()
    ]
    return "\n".join(["remote:", *each]) if each else ""
