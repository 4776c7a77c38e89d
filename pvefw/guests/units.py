"""The systemd units that start guests after boot and stop them before shutdown."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pvefw import system
from pvefw.errors import ProgramError
from pvefw.store import files
from pvefw.store.paths import Paths

NAMES = ("pvefw-guests.service", "pvefw-guests-stop.service")
_DIRECTORY = "etc/systemd/system"
_AFTER = (
    "network-online.target libvirtd.service virtqemud.service virtlxcd.service "
    "libvirt-guests.service pve-cluster.service pveproxy.service"
)
_START = """\
# Written by pvefw install-units.
[Unit]
Description=Start guests in their order
Wants=network-online.target
After={after}
ConditionPathExists=/etc/pve/pvefw.cfg

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={program} boot-guests
TimeoutStartSec=infinity

[Install]
WantedBy=multi-user.target
"""
_STOP = """\
# Written by pvefw install-units.
# It is up while the host is; at shutdown it is stopped before the hypervisors that it comes after.
[Unit]
Description=Stop guests in the reverse order before the host goes down
After={after}
Before=pvefw-guests.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop={program} shutdown-guests
TimeoutStopSec=infinity

[Install]
WantedBy=multi-user.target
"""


def install(paths: Paths) -> list[Path]:
    """Write the units, have systemd check them, and enable them where this is the running host.

    :raises StoreError: they cannot be written.
    :raises ProgramError: systemd does not like them, or cannot be told.
    """
    program = shutil.which("pvefw") or f"{sys.executable} -m pvefw"
    directory = paths.below(_DIRECTORY)
    files.make_directory(directory)
    written = []
    for name, text in zip(NAMES, (_START, _STOP), strict=True):
        files.replace(directory / name, text.format(after=_AFTER, program=program).encode())
        written.append(directory / name)
    _verify(written)
    if paths.root == Path("/") and Path("/run/systemd/system").is_dir():
        system.run(["systemctl", "daemon-reload"])
        system.run(["systemctl", "enable", *NAMES])
    return written


def _verify(units: Sequence[Path]) -> None:
    """Let systemd check the units, where it is installed.

    :raises ProgramError: it finds a mistake; its own words.
    """
    if shutil.which("systemd-analyze") is None:
        return
    checked = system.run(["systemd-analyze", "verify", *map(str, units)], check=False)
    about = [
        line
        for line in checked.stderr.splitlines()
        if any(name in line.partition(": ")[0] for name in NAMES)
    ]
    if about:
        raise ProgramError(f"systemd-analyze verify: {' / '.join(about)}")
