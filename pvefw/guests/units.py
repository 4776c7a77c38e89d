"""The systemd units that start guests after boot and stop them before shutdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pvefw.store import units
from pvefw.store.paths import Paths

START = "pvefw-guests.service"
STOP = "pvefw-guests-stop.service"
_DAEMONS = (
    "dbus.service systemd-machined.service virtlogd.socket virtlockd.socket libvirtd.socket "
    "libvirtd.service virtqemud.socket virtqemud.service virtlxcd.socket virtlxcd.service "
    "libvirt-guests.service pve-cluster.service pvedaemon.service pveproxy.service pve-guests.service"
)
"""What the guests need, and who else manages them: we start after these, and stop before them."""
_SHUTDOWN = "virt-guest-shutdown.target"
"""At shutdown, the scopes in which libvirt's guests run are stopped after this target. A host without
libvirt has no such unit, so it is wanted, not required."""
_OTHERS = ("libvirt-guests.service", "pve-guests.service")


def texts(program: str) -> Mapping[str, str]:
    """The units by name (systemd.service(5)).

    :param program: the command line that runs pvefw.
    """
    return {
        START: f"""\
[Unit]
Description=Start guests in their order
Wants=network-online.target
After=network-online.target {STOP} {_DAEMONS}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={program} boot-guests
TimeoutStartSec=infinity

[Install]
WantedBy=multi-user.target
""",
        STOP: f"""\
# It is active while the host is up, and stopped first at shutdown.
[Unit]
Description=Stop guests in the reverse order before the host goes down
Wants={_SHUTDOWN}
After={_SHUTDOWN} network-online.target {_DAEMONS}

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
    """Write the units and enable them. Guests start with the next boot; the next shutdown stops them.

    :returns: what was written: nothing where a package has brought the units.
    :raises StoreError: they cannot be written.
    :raises ProgramError: systemd rejects them, or cannot be asked.
    """
    unit_texts = texts(units.program())
    return units.install(paths, unit_texts, enable=list(unit_texts), start=[STOP])


def other_managers(paths: Paths) -> Sequence[str]:
    """Enabled units, not ours, that start and stop guests at boot and shutdown, too."""
    return [other for other in _OTHERS if units.is_enabled(paths, other)]


def advice(other: str) -> str:
    """What to do about another manager of guests. It must not be stopped now: that stops the guests."""
    return f"systemctl disable {other} (without --now)"
