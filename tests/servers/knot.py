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

_HEAD = """\
server:
  rundir: {workdir}
  listen: {listen}
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
control:
  listen: {control}
database:
  storage: {workdir}
key:
  - id: {key.name}
    algorithm: {key.algorithm}
    secret: {key.secret}
acl:
  - id: change
    key: {key.name}
    action: [update, transfer]
  - id: notified
    address: [127.0.0.0/8, ::1]
    action: notify
template:
  - id: default
    storage: {workdir}
    acl: change
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
"""
_REMOTE = """\
  - id: of-{zone}
    address: {at[0]}@{at[1]}
"""
_PRIMARY = """\
  - domain: {zone.name}
    file: {zone.file_name}
"""
_SECONDARY = """\
  - domain: {zone}
    file: {zone}copy
    master: of-{zone}
    acl: notified
    zonefile-load: none
"""


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
    head = _HEAD.format(workdir=workdir, listen=f"{address}@{port}", control=control, key=key)
    primaries = "".join(_REMOTE.format(zone=zone, at=at) for zone, at in (secondary or {}).items())
    served = "".join(_PRIMARY.format(zone=zone) for zone in zones)
    copied = "".join(_SECONDARY.format(zone=zone) for zone in secondary or {})
    (workdir / "knot.conf").write_text(
        head + (f"remote:\n{primaries}" if primaries else "") + f"zone:\n{served}{copied}"
    )
    log = workdir / "knot.log"
    try:
        with process(["knotd", "-c", str(workdir / "knot.conf")], log) as running:
            server = Knot(address, port, workdir, running, log, key, control)
            served = [zone.name for zone in zones] + list(secondary or {})
            server.wait_until_ready(served[-1] if ready else "")
            yield server
    finally:
        shutil.rmtree(control.parent)
