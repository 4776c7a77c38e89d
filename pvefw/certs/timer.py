"""What runs ``pvefw renew`` by itself: a systemd timer, or a line for cron where there is no systemd.

With the timer comes a unit that ends an interrupted installation before the services start at boot.
"""

import hashlib
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from pvefw import system
from pvefw.errors import NotFound
from pvefw.model import Task
from pvefw.store import files
from pvefw.store.paths import Paths

_UNITS = "etc/systemd/system"
_CRON = "etc/cron.d/pvefw"
_RUNS_A_DAY = 4
"""Certificates of six days, and tries after a failure, need more than one."""


def install(paths: Paths, task: Task, *, cron: bool | None = None) -> None:
    """Write the units and start the timer; or write the line for cron.

    :param cron: which of the two; ``None`` for what the host has.
    :raises NotFound: pvefw itself cannot be found, so that nothing could run it.
    :raises StoreError: a file cannot be written.
    """
    if cron is None:
        cron = not _has_systemd(paths)
    found = {_CRON: _cron_line(paths)} if cron else units()
    for name, text in found.items():
        target = paths.below(name)
        files.replace(target, text.encode())
        task.log(f"Wrote {target}")
    if not cron and _runs_systemd(paths):
        system.run(["systemctl", "daemon-reload"])
        system.run(["systemctl", "enable", "--now", "pvefw-renew.timer"])
        system.run(["systemctl", "enable", "pvefw-recover.service"])
        task.log("The timer is running; see: systemctl list-timers pvefw-renew.timer")
    elif not cron:
        task.log("To start it: systemctl enable --now pvefw-renew.timer pvefw-recover.service")


def units() -> Mapping[str, str]:
    """The units by path below the root (systemd.timer(5), systemd.service(5))."""
    pvefw = _command()
    return {
        f"{_UNITS}/pvefw-renew.service": f"""\
[Unit]
Description=Renew this node's certificates
After=network-online.target pve-cluster.service
Wants=network-online.target

[Service]
Type=oneshot
ExecStart={pvefw} renew
Nice=10
NoNewPrivileges=yes
PrivateTmp=yes
ProtectHome=read-only
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictRealtime=yes
""",
        f"{_UNITS}/pvefw-renew.timer": f"""\
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
        f"{_UNITS}/pvefw-recover.service": f"""\
[Unit]
Description=End an interrupted installation of a certificate
After=local-fs.target pve-cluster.service
Before=pveproxy.service spiceproxy.service
ConditionPathExistsGlob=/var/lib/pvefw/install-*.json

[Service]
Type=oneshot
ExecStart={pvefw} cert recover

[Install]
WantedBy=multi-user.target
""",
    }


def _cron_line(paths: Paths) -> str:
    """Four times a day, at a minute of this node's own (crontab(5))."""
    minute = int.from_bytes(hashlib.sha256(paths.node.encode()).digest()[:4]) % (60 * 6)
    hours = ",".join(str(minute // 60 + every) for every in range(0, 24, 24 // _RUNS_A_DAY))
    return (
        "# Written by: pvefw renew install-timer\n"
        f"{minute % 60} {hours} * * * root {_command()} renew >/dev/null\n"
        f"@reboot root {_command()} cert recover\n"
    )


def _command() -> str:
    """The full path of pvefw: what systemd and cron need."""
    ours = Path(sys.argv[0]).absolute()
    found = str(ours) if ours.name == "pvefw" and ours.is_file() else shutil.which("pvefw")
    if found is None:
        beside = Path(sys.executable).with_name("pvefw")
        found = str(beside) if beside.is_file() else None
    if found is None:
        raise NotFound(
            "renew install-timer: the command pvefw is not on the path",
            hint="Install pvefw where services find it, such as /usr/local/bin.",
        )
    return found


def _has_systemd(paths: Paths) -> bool:
    return any(
        paths.below(one).exists() for one in ("usr/lib/systemd/systemd", "lib/systemd/systemd")
    )


def _runs_systemd(paths: Paths) -> bool:
    """Whether it is the host's own systemd, and it is running (sd_booted(3))."""
    return paths.root == Path("/") and Path("/run/systemd/system").is_dir()
