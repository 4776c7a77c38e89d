"""What runs ``pvefw renew`` by itself: a systemd timer, or a line for cron where there is no systemd.

With the timer comes a unit that ends an interrupted installation before the services start at boot.
"""

import hashlib
import os
from collections.abc import Callable, Mapping

from pvefw import instances
from pvefw.core import families, finding
from pvefw.core.errors import PvefwError
from pvefw.host import programs
from pvefw.store import files, units
from pvefw.store.node import Node
from pvefw.store.paths import Paths

CRON = "etc/cron.d/pvefw"
"""The line for cron, below the root."""
_TIMER = "pvefw-renew.timer"
ENABLED = (_TIMER, "pvefw-recover.service")
"""The units that are part of the next boot."""
_TABLES = ("etc/crontab", "etc/cron.d/*", "etc/cron.daily/*", "var/spool/cron/crontabs/root")
_SCRIPTS_UNIT = "pvefw-renew-scripts.service"
_MARK = "PVEFW_NO_SCRIPTS"
"""In the environment of the unit that may not keep scripts apart."""
_SERVICES = (
    "apache2",
    "cockpit",
    "dovecot",
    "exim4",
    "haproxy",
    "ldap",
    "libvirt",
    "mysql",
    "nginx",
    "pki",
    "postfix",
    "postgresql",
    "proxmox-backup",
    "ssl",
)
"""Below ``/etc``: where Debian's services have their certificates, and targets may have to write."""
_WRITABLE = (
    "/etc/pve",
    "/etc/pvefw",
    "/var",
    "/run",
    "/srv",
    *(f"/etc/{service}" for service in _SERVICES),
)
_CONFINED = f"""\
NoNewPrivileges=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectSystem=strict
ReadWritePaths={" ".join(f"-{place}" for place in _WRITABLE)}
ProtectHome=read-only
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@clock @cpu-emulation @debug @module @obsolete @raw-io @reboot @resources @swap
SystemCallErrorNumber=EPERM
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_SETUID CAP_SETGID
UMask=0077
PrivateMounts=yes
MemoryDenyWriteExecute=yes
"""
"""What every renewal needs, and no more: systemd.exec(5).

Web roots are below ``/var`` or ``/srv``; programs that send mail change their user.
"""
_ALONE = f"""\
RestrictNamespaces=yes
Environment={_MARK}=1
"""
_WITH_SCRIPTS = """\
SystemCallFilter=@mount
CapabilityBoundingSet=CAP_SETPCAP CAP_SYS_ADMIN
RestrictNamespaces=ipc mnt pid
"""
"""What bubblewrap needs beside it to keep scripts apart: namespaces, and mounts in them."""
_RUNS_A_DAY = 4
"""Certificates of six days, and tries after a failure, need more than one."""


def install(paths: Paths, say: Callable[[str], object], *, cron: bool | None = None) -> None:
    """Write the units and start the timer; or write the line for cron.

    :param say: told what was done, in a sentence.
    :param cron: which of the two; ``None`` for what the host has.
    :raises StoreError: a file cannot be written.
    :raises ProgramError: systemd rejects the units, or cannot be asked.
    """
    if cron is None:
        cron = not units.has_systemd(paths)
    if cron:
        target = paths.below(CRON)
        files.replace(target, _cron_line(paths).encode())
        say(f"Wrote {target}")
        return
    unit_texts = texts(units.program())
    for target in units.install(paths, unit_texts, enable=ENABLED, start=ENABLED[:1]):
        say(f"Wrote {target}")
    if units.runs_systemd(paths):  # pragma: no cover - it needs a running systemd
        say("The timer is running; see: systemctl list-timers pvefw-renew.timer")
    else:
        say(f"To start it: systemctl enable --now {' '.join(ENABLED)}")


def is_installed(paths: Paths) -> bool:
    """Whether something runs ``pvefw renew`` by itself: our timer, or any line for cron.

    :raises StoreError: a file that would say so cannot be read.
    """
    if units.is_enabled(paths, _TIMER):
        return True
    tables = [path for table in _TABLES for path in paths.root.glob(table) if path.is_file()]
    return any(_renews(files.read_if_exists(path) or b"") for path in tables)


def _renews(table: bytes) -> bool:
    lines = (line.split(b"#")[0] for line in table.splitlines())
    return any(b"pvefw" in line and b"renew" in line.split() for line in lines)


def texts(program: str) -> Mapping[str, str]:
    """The units by name (systemd.timer(5), systemd.service(5)).

    :param program: the command line that runs pvefw.
    """
    return {
        "pvefw-renew.service": _renewal(program, "Renew this node's certificates", _ALONE),
        _SCRIPTS_UNIT: _renewal(
            program, "Renew this node's certificates, with scripts of DNS providers", _WITH_SCRIPTS
        ),
        _TIMER: f"""\
[Unit]
Description=Look every few hours whether a certificate is to be renewed

[Timer]
OnCalendar=*-*-* 00/{24 // _RUNS_A_DAY}:00:00
RandomizedDelaySec={24 // _RUNS_A_DAY}h
FixedRandomDelay=yes
Persistent=yes

[Install]
WantedBy=timers.target
""",
        "pvefw-recover.service": f"""\
[Unit]
Description=End an interrupted installation of a certificate
After=local-fs.target pve-cluster.service
Before=pveproxy.service spiceproxy.service nginx.service apache2.service haproxy.service
ConditionPathExistsGlob=/var/lib/pvefw/install-*.json

[Service]
Type=oneshot
ExecStart={program} cert recover

[Install]
WantedBy=multi-user.target
""",
    }


def _renewal(program: str, description: str, more: str) -> str:
    return confined(description, f"Type=oneshot\nExecStart={program} renew\n", more)


def confined(description: str, service: str, more: str = _ALONE) -> str:
    """A unit for what replaces certificates (systemd.exec(5)).

    :param service: what is run, and how: lines for its section ``Service``.
    :param more: as ``service``: what it may do beyond what each of them has to.
    """
    return f"""\
[Unit]
Description={description}
After=network-online.target pve-cluster.service
Wants=network-online.target

[Service]
{service}Nice=10
{_CONFINED}{more}"""


def hand_over(paths: Paths) -> bool:
    """Where this is the timer's unit, and a provider of a catalogue is configured, start the other unit.

    Those may be scripts, which the timer's own unit may not keep apart: most hosts have none.

    :returns: whether that renews.
    :raises ProgramError: the other unit cannot be started.
    """
    if _MARK not in os.environ or not _may_need_scripts(paths):
        return False
    programs.run(["systemctl", "start", "--no-block", _SCRIPTS_UNIT])
    return True


def _may_need_scripts(paths: Paths) -> bool:
    own = {info.name for info in finding.installed(families.DNS)}
    try:
        return any(
            instance.plugin not in own for instance in instances.load_used(Node.open(paths), "dns")
        )
    except PvefwError:
        return True  # the renewal itself will say what is wrong


def _cron_line(paths: Paths) -> str:
    """Four times a day, at a minute of this node's own (crontab(5))."""
    minute = int.from_bytes(hashlib.sha256(paths.node.encode()).digest()[:4]) % (60 * 6)
    hours = ",".join(str(minute // 60 + every) for every in range(0, 24, 24 // _RUNS_A_DAY))
    return (
        "# Written by: pvefw renew install-timer\n"
        f"{minute % 60} {hours} * * * root {units.program()} renew >/dev/null\n"
        f"@reboot root {units.program()} cert recover\n"
    )
