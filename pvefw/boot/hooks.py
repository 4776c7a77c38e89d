"""What runs ``boot refresh`` by itself: hooks of kernel packages and initrds, and a unit at boot."""

import os
from collections.abc import Mapping
from pathlib import Path

from pvefw.core.errors import StoreError, UsageError
from pvefw.host import foreign
from pvefw.store import files, units
from pvefw.store.paths import Paths

_THEIRS = (
    "etc/kernel/postinst.d/zz-proxmox-boot",
    "etc/kernel/postrm.d/zz-proxmox-boot",
    "etc/initramfs/post-update.d/proxmox-boot-sync",
)
"""The hooks of proxmox-boot-tool. They would write to the same ESPs, in their own way."""
SNIPPET = "etc/apt/apt.conf.d/76pvefw-kernels"
"""What keeps ``apt autoremove`` from kernels; see :mod:`pvefw.boot.autoremove`."""
_HOOK = "etc/kernel/postinst.d/zz-pvefw-boot"
_THEIR_TRIGGERS = "var/lib/dpkg/info/*-kernel-helper.triggers"
"""Of the packages that proxmox-boot-tool is in: since 9.0.1 it follows loaders by itself."""
_KERNEL_INSTALL = "etc/kernel/postinst.d/zz-systemd-boot"
_SCRIPT = """\
#!/bin/sh
# Written by pvefw boot install-hooks. Runs when {when}.
if ! command -v {executable} >/dev/null; then
    echo "$0: pvefw was removed: the ESPs stay as they are" >&2
    exit 0
fi
exec {program} boot refresh{arguments}
"""


def texts(program: str) -> Mapping[str, str]:
    """The units by name (systemd.service(5)).

    :param program: the command line that runs pvefw.
    """
    return {
        "pvefw-boot-cleanup.service": f"""\
[Unit]
Description=Forget the kernel that was to boot once
# the pin, or only our note of it, where proxmox-boot-cleanup.service has been here before
ConditionPathExists=|/etc/kernel/next-boot-pin
ConditionPathExists=|/var/lib/pvefw/boot/next-boot.json
RequiresMountsFor=/boot /var/lib/pvefw
After=local-fs.target systemd-udevd.service

[Service]
Type=oneshot
ExecStart={program} boot refresh
TimeoutStartSec=infinity

[Install]
WantedBy=multi-user.target
"""
    }


def scripts(program: str) -> Mapping[str, str]:
    """The hooks by their path: they get a kernel's version, and the path of its image or initrd.

    :param program: the command line that runs pvefw.
    """

    def script(when: str, arguments: str = "") -> str:
        executable = program.split(maxsplit=1)[0]
        return _SCRIPT.format(
            when=when, executable=executable, program=program, arguments=arguments
        )

    return {
        _HOOK: script("a kernel was installed", ' --installing "$1"'),
        "etc/kernel/postrm.d/zz-pvefw-boot": script("a kernel was removed"),
        "etc/initramfs/post-update.d/pvefw-boot": script("an initrd was rebuilt"),
    }


def install(paths: Paths) -> list[Path]:
    """Write the hooks and the unit; enable it where this is the running host.

    :returns: what was written.
    :raises UsageError: proxmox-boot-tool's own hooks are enabled.
    :raises StoreError: something cannot be written.
    :raises ProgramError: systemd rejects the unit, or cannot be asked.
    """
    theirs = [
        path
        for hook in _THEIRS
        if (path := paths.below(hook)).exists() and os.access(path, os.X_OK)
    ]
    if theirs:
        named = " ".join(map(str, theirs))
        raise UsageError(
            f"boot install-hooks: the hooks of proxmox-boot-tool are enabled: {named}",
            hint=f"Both would write to the same ESPs. Disable them: chmod -x {named}",
        )
    program = units.program()
    written = []
    for name, text in scripts(program).items():
        path = paths.below(name)
        files.replace(path, text.encode())
        _make_executable(path)
        written.append(path)
    unit_texts = texts(program)
    return [*written, *units.install(paths, unit_texts, enable=list(unit_texts))]


def are_installed(paths: Paths) -> bool:
    """Whether :func:`install` was here."""
    return paths.below(_HOOK).exists()


def notes(paths: Paths) -> list[str]:
    """What else on this host writes kernels or boot loaders to ESPs, a sentence each."""
    lines = []
    there = paths.below(_KERNEL_INSTALL)
    if there.exists() and os.access(there, os.X_OK):
        lines.append(
            f"{there}, of Debian's package systemd-boot, copies kernels to the ESP that is mounted on "
            f"/efi, /boot or /boot/efi, beside pvefw's; to prevent that: chmod -x {there}"
        )
    lines += [
        f"{path.stem} installs new boot loaders on the ESPs by its own dpkg triggers; those of pvefw's "
        "package do nothing as long as it is installed"
        for path in sorted(paths.root.glob(_THEIR_TRIGGERS))
        if b"/usr/lib/" in (files.read_if_exists(path) or b"")
    ]
    return lines


def _make_executable(path: Path) -> None:
    try:
        with foreign.parent(path) as there:
            descriptor = there.open(path.name, os.O_RDONLY)
        with os.fdopen(descriptor):
            foreign.set_mode(descriptor, 0o755)
    except OSError as error:
        raise StoreError(f"{path}: could not make it executable: {error.strerror}") from error
