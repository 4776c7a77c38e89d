"""BIND 9: primary, secondary or resolver, as an ordinary user, on a high port.

BIND listens only on addresses that an interface has: 127.0.0.1 and ::1, so two of them can share a port
number. Who needs more addresses with one port takes Knot or PowerDNS for the others.
"""

import contextlib
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shifted_clock import needs_the_machines_clock

from servers.nameserver import Key, NameServer, Zone, free_dns_port
from servers.processes import free_port, process


@dataclass
class Bind(NameServer):
    """A BIND that runs."""

    control: int = 0

    def rndc(self, *words: str) -> None:
        """Control it: ``rndc("retransfer", "example.test")`` makes a secondary catch up."""
        subprocess.run(
            [
                *["rndc", "-s", "127.0.0.1", "-p", str(self.control)],
                *["-k", str(self.workdir / "rndc.key"), *words],
            ],
            check=True,
            capture_output=True,
            timeout=10,
        )


@contextlib.contextmanager
def bind(
    workdir: Path,
    zones: Sequence[Zone] = (),
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    secondary: Mapping[str, tuple[str, int]] | None = None,
    forward: Mapping[str, tuple[str, int]] | None = None,
    notify: Sequence[tuple[str, int]] = (),
    key: Key | None = None,
    ready: bool = True,
) -> Iterator[Bind]:
    """Start a BIND.

    :param address: ``127.0.0.1`` or ``::1``.
    :param zones: it is primary for them; the key may change any TXT record in them.
    :param secondary: zone to its primary's address and port; it catches up when told, or notified.
    :param forward: zone to the server that it asks: it is then a resolver for these.
    :param notify: secondaries that are told of changes at once.
    :param ready: wait until it answers for the last of its zones.
    """
    needs_the_machines_clock(
        "BIND, which allocates with jemalloc, does not start under libfaketime"
    )
    workdir.mkdir(parents=True, exist_ok=True)
    port, control, key = port or free_dns_port(), free_port(), key or Key()
    for zone in zones:
        (workdir / zone.file_name).write_text(zone.render())
    rndc_key = 'key "rndc" { algorithm hmac-sha256; secret "cm5kYy1zZWNyZXQtcm5kYy1zZWNyZXQ="; };\n'
    (workdir / "rndc.key").write_text(rndc_key)
    told = " ".join(f"{where} port {number};" for where, number in notify)
    listen = "listen-on-v6" if ":" in address else "listen-on"
    other = "listen-on" if ":" in address else "listen-on-v6"
    parts = [
        f'include "{workdir}/rndc.key";',
        f'key "{key.name}" {{ algorithm {key.algorithm}; secret "{key.secret}"; }};',
        f'controls {{ inet 127.0.0.1 port {control} allow {{ any; }} keys {{ "rndc"; }}; }};',
        f'options {{ directory "{workdir}"; pid-file none; session-keyfile none;',
        f" {listen} port {port} {{ {address}; }}; {other} {{ none; }}; ixfr-from-differences no;",
        f" recursion {'yes' if forward else 'no'}; allow-query {{ any; }}; allow-transfer {{ any; }};",
        " dnssec-validation no; empty-zones-enable no; min-refresh-time 3600;",
        f" notify {'explicit' if notify else 'no'}; also-notify {{ {told} }}; notify-delay 0; }};",
        *(_primary(zone, key) for zone in zones),
        *(_secondary(zone, *where) for zone, where in (secondary or {}).items()),
        *(_forward(zone, *where) for zone, where in (forward or {}).items()),
    ]
    (workdir / "named.conf").write_text("\n".join(parts))
    log = workdir / "named.log"
    argv = ["named", "-g", "-n", "1", "-c", str(workdir / "named.conf")]
    with process(argv, log) as running:
        server = Bind(address, port, workdir, running, log, key, control)
        served = [zone.name for zone in zones] + list(secondary or {}) + list(forward or {})
        server.wait_until_ready(served[-1] if served and ready else "")
        yield server


def _primary(zone: Zone, key: Key) -> str:
    return (
        f'zone "{zone.name}" {{ type primary; file "{zone.file_name}";'
        f' update-policy {{ grant "{key.name}" zonesub TXT; }}; }};'
    )


def _secondary(zone: str, address: str, port: int) -> str:
    return (
        f'zone "{zone}" {{ type secondary; file "{zone}copy"; primaries {{ {address} port {port}; }};'
        " allow-notify { any; }; };"
    )


def _forward(zone: str, address: str, port: int) -> str:
    return (
        f'zone "{zone}" {{ type forward; forward only; forwarders {{ {address} port {port}; }}; }};'
    )
