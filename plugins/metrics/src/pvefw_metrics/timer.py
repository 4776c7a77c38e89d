"""What writes the figures by itself: a systemd timer, or a line for cron where there is no systemd."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from pvefw.core.errors import UsageError
from pvefw.store import files, units
from pvefw.store.paths import Paths

TEXTFILE = Path("/var/lib/prometheus/node-exporter/pvefw.prom")
"""Where Debian's prometheus-node-exporter reads."""
CRON = "etc/cron.d/pvefw-metrics"
_TIMER = "pvefw-metrics.timer"
_PLAIN = re.compile(r"/[\w./-]+\.prom")
_MINUTES = 5


def install(
    paths: Paths, textfile: Path, say: Callable[[str], object], *, cron: bool | None = None
) -> None:
    """Write the units and start the timer; or write the line for cron.

    :param say: told what was done, in a sentence.
    :param cron: which of the two; ``None`` for what the host has.
    :raises UsageError: the file's name is not one that a unit can have.
    :raises StoreError: a file cannot be written.
    :raises ProgramError: systemd rejects the units, or cannot be asked.
    """
    if not _PLAIN.fullmatch(str(textfile)):
        raise UsageError(
            f"metrics install-timer: {textfile} is not an absolute path that ends with .prom",
            hint=f"The textfile collector of node_exporter reads {TEXTFILE.parent}/*.prom",
        )
    command = f"{units.program()} metrics --textfile {textfile}"
    if cron if cron is not None else not units.has_systemd(paths):
        target = paths.below(CRON)
        line = f"*/{_MINUTES} * * * * root {command}\n"
        files.replace(target, b"# Written by: pvefw metrics install-timer\n" + line.encode())
        say(f"Wrote {target}")
        return
    for target in units.install(paths, texts(command), enable=[_TIMER], start=[_TIMER]):
        say(f"Wrote {target}")
    if not units.runs_systemd(paths):
        say(f"To start it: systemctl enable --now {_TIMER}")


def texts(command: str) -> Mapping[str, str]:
    """The units by name (systemd.timer(5), systemd.service(5)).

    :param command: the command line that writes the figures.
    """
    return {
        "pvefw-metrics.service": f"""\
[Unit]
Description=Write figures of this node for Prometheus
After=pve-cluster.service

[Service]
Type=oneshot
ExecStart={command}
Nice=19
PrivateTmp=yes
ProtectHome=read-only
""",
        _TIMER: f"""\
[Unit]
Description=Write figures of this node every {_MINUTES} minutes

[Timer]
OnCalendar=*:0/{_MINUTES}
RandomizedDelaySec=60
FixedRandomDelay=yes

[Install]
WantedBy=timers.target
""",
    }
