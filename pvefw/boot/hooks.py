"""What runs ``boot refresh`` by itself: hooks of kernel packages and initrds, and a unit at boot."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from pvefw import system
from pvefw.errors import StoreError, UsageError
from pvefw.store import files
from pvefw.store.paths import Paths

UNIT = "pvefw-boot-cleanup.service"
_THEIRS = (
    "etc/kernel/postinst.d/zz-proxmox-boot",
    "etc/kernel/postrm.d/zz-proxmox-boot",
    "etc/initramfs/post-update.d/proxmox-boot-sync",
)
"""The hooks of proxmox-boot-tool. They would write to the same ESPs, in their own way."""
_INSTALLED = """\
#!/bin/sh
# Written by pvefw boot install-hooks. Runs when a kernel was installed: VERSION, then its image.
set -e
exec {program} boot refresh --installing "$1"
"""
_REMOVED = """\
#!/bin/sh
# Written by pvefw boot install-hooks. Runs when {when}.
set -e
exec {program} boot refresh
"""
_UNIT = """\
# Written by pvefw boot install-hooks.
[Unit]
Description=Forget the kernel that was to boot once
ConditionPathExists=/etc/kernel/next-boot-pin
After=local-fs.target
Before=shutdown.target
RequiresMountsFor=/boot /var/lib/pvefw

[Service]
Type=oneshot
ExecStart={program} boot refresh
TimeoutStartSec=30min

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class _Script:
    path: str
    text: str


def _scripts(program: str) -> list[_Script]:
    removed = _REMOVED.format(program=program, when="a kernel was removed")
    updated = _REMOVED.format(program=program, when="an initrd was made anew")
    return [
        _Script("etc/kernel/postinst.d/zz-pvefw-boot", _INSTALLED.format(program=program)),
        _Script("etc/kernel/postrm.d/zz-pvefw-boot", removed),
        _Script("etc/initramfs/post-update.d/pvefw-boot", updated),
    ]


def install(paths: Paths) -> list[Path]:
    """Write the hooks and the unit; enable it where this is the running host.

    :returns: what was written.
    :raises UsageError: proxmox-boot-tool's own hooks are in force.
    :raises StoreError: something cannot be written.
    """
    theirs = [
        path for one in _THEIRS if (path := paths.below(one)).exists() and os.access(path, os.X_OK)
    ]
    if theirs:
        raise UsageError(
            "boot install-hooks: the hooks of proxmox-boot-tool are in force: "
            f"{', '.join(map(str, theirs))}",
            hint="Two tools must not write to the same ESPs. Take theirs out of force first: "
            f"chmod -x {' '.join(map(str, theirs))}",
        )
    program = shutil.which("pvefw") or f"{sys.executable} -m pvefw"
    written = []
    for one in _scripts(program):
        path = paths.below(one.path)
        files.replace(path, one.text.encode())
        _make_executable(path)
        written.append(path)
    unit = paths.below("etc/systemd/system") / UNIT
    files.replace(unit, _UNIT.format(program=program).encode())
    if str(paths.root) == "/" and Path("/run/systemd/system").is_dir():
        system.run(["systemctl", "daemon-reload"])
        system.run(["systemctl", "enable", UNIT])
    return [*written, unit]


def _make_executable(path: Path) -> None:
    try:
        path.chmod(0o755)
    except OSError as error:
        raise StoreError(f"{path}: could not make it executable: {error.strerror}") from error
