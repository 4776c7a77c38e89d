"""The systemd units that start guests after boot and stop them before shutdown."""

from collections.abc import Mapping
from pathlib import Path

from pvefw.store import units
from pvefw.store.paths import Paths

_AFTER = (
    "network-online.target libvirtd.service virtqemud.service virtlxcd.service "
    "libvirt-guests.service pve-cluster.service pveproxy.service"
)


def texts(program: str) -> Mapping[str, str]:
    """The units by name (systemd.service(5)).

    :param program: the command line that runs pvefw.
    """
    return {
        "pvefw-guests.service": f"""\
[Unit]
Description=Start guests in their order
Wants=network-online.target
After={_AFTER}
ConditionPathExists=/etc/pve/pvefw.cfg

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={program} boot-guests
TimeoutStartSec=infinity

[Install]
WantedBy=multi-user.target
""",
        "pvefw-guests-stop.service": f"""\
# It is up while the host is; at shutdown it is stopped before the hypervisors that it comes after.
[Unit]
Description=Stop guests in the reverse order before the host goes down
After={_AFTER}
Before=pvefw-guests.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop={program} shutdown-guests
TimeoutStopSec=infinity

[Install]
WantedBy=multi-user.target
""",
    }


def install(paths: Paths) -> list[Path]:
    """Write the units and enable them; they begin their work with the next boot.

    :raises StoreError: they cannot be written.
    :raises ProgramError: systemd does not like them, or cannot be told.
    """
    found = texts(units.program())
    return units.install(paths, found, enable=list(found))
