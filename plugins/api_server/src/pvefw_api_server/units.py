"""The systemd units of the service, and the user that its front runs as (sysusers.d(5))."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from pvefw.host import programs
from pvefw.store import files, units
from pvefw.store.paths import Paths
from pvefw_api_server import place
from pvefw_api_server.place import PVEPROXY, USER

FRONT, HELPER = "pvefw-api.service", "pvefw-api-helper.service"
_SYSUSERS = "etc/sysusers.d/pvefw-api.conf"


def texts(program: str) -> Mapping[str, str]:
    """The units by name (systemd.service(5), systemd.exec(5)).

    Tasks go on when the helper is restarted: only its main process is ended.

    :param program: the command line that runs pvefw.
    """
    return {
        HELPER: f"""\
[Unit]
Description=Answer calls of the API: root's part
After=pve-cluster.service
ConditionPathExists=!/{PVEPROXY}

[Service]
ExecStart={program} api helper
KillMode=process
Restart=on-failure
RuntimeDirectory=pvefw-api
RuntimeDirectoryMode=0755
UMask=0077
""",
        FRONT: f"""\
[Unit]
Description=Serve the API over HTTPS
After=network-online.target {HELPER}
Wants=network-online.target
Requires={HELPER}
ConditionPathExists=!/{PVEPROXY}

[Service]
ExecStart={program} api serve
User={USER}
Restart=on-failure
RestartSec=2
NoNewPrivileges=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
ProtectSystem=strict
ProtectHome=read-only
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
InaccessiblePaths=-/etc/pve
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
CapabilityBoundingSet=
MemoryDenyWriteExecute=yes
UMask=0077

[Install]
WantedBy=multi-user.target
""",
    }


def install(paths: Paths) -> list[Path]:
    """Write the units, make the user, and start the service.

    :returns: what was written.
    :raises UsageError: Proxmox VE's own API is here.
    :raises StoreError: a file cannot be written.
    :raises ProgramError: systemd rejects them, or cannot be asked.
    """
    place.check(paths)
    account = paths.below(_SYSUSERS)
    files.replace(account, f'u {USER} - "Front of the pvefw API"\n'.encode())
    if units.runs_systemd(paths) and shutil.which("systemd-sysusers"):
        programs.run(["systemd-sysusers", str(account)])
    unit_texts = texts(units.program())
    return [account, *units.install(paths, unit_texts, enable=[FRONT], start=[FRONT])]
