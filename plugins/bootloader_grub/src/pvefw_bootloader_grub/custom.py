"""What administrators add to the menu: ``/boot/grub/custom.cfg`` and ``/etc/grub.d/40_custom``.

Both are taken over as they are, into a file of their own that ``grub.cfg`` includes: a mistake in them
costs these entries and no other. Other scripts of an administrator in ``/etc/grub.d`` write what suits
the host's own ``/boot``; they are not run, and reported, unless all they do is to set passwords.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pvefw_bootloader_grub import files, scripts

TARGET = PurePosixPath("grub/custom-host.cfg")
_PREFACE = re.compile(rb"#!\s*/bin/sh\s*\nexec tail -n \+3 \$0\s*\n")
_FROM_DEBIAN = re.compile(
    r"00_header|05_debian_theme|[12]0_linux\w*|20_memtest86\+?|25_bli|30_os-prober|30_uefi-firmware"
    r"|4[01]_custom|000_proxmox_boot_header"
)
_NO_SCRIPT = re.compile(r".*\.dpkg-.*|.*\.rpm(?:save|new)|README.*|.*\.sig|.*~|#.*#")
"""What grub-mkconfig passes over by its name."""


def text(root: Path, before: bytes = b"") -> tuple[bytes, Sequence[str]]:
    """What the administrator's entries are, empty for none, and what cannot be taken over.

    :param before: what comes first.
    :raises ProviderError: a file cannot be read, or protects the menu in a way that would be lost.
    """
    folder, warnings = root / scripts.FOLDER, []
    body = files.read(folder / "40_custom") or b""
    if not os.access(folder / "40_custom", os.X_OK):
        if _says_something(body):
            warnings.append(f"{folder / '40_custom'} is not executable, so it does not count")
        body = b""
    preface = _PREFACE.match(body)
    own = body[preface.end() :] if preface else b""
    if body and not preface and (own := scripts.protection(folder / "40_custom") or b"") == b"":
        warnings.append(f"{folder / '40_custom'} is a program of its own; it is not run for an ESP")
    parts = [before, own]
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if _FROM_DEBIAN.fullmatch(path.name) or not _is_run(path):
            continue
        protection = scripts.protection(path)
        if protection is None:
            warnings.append(
                f"{path} is not run for an ESP; entries in /boot/grub/custom.cfg are taken over"
            )
        parts.append(protection or b"")
    if os.access(folder / "41_custom", os.X_OK) or not (folder / "41_custom").exists():
        parts.append(files.read(root / "boot/grub/custom.cfg") or b"")
    return b"\n".join(part for part in parts if _says_something(part)), warnings


def _is_run(path: Path) -> bool:
    """Whether grub-mkconfig would run it: Grub Customizer keeps folders beside the scripts."""
    return path.is_file() and os.access(path, os.X_OK) and not _NO_SCRIPT.fullmatch(path.name)


def _says_something(part: bytes) -> bool:
    lines = (line.strip() for line in part.splitlines())
    return any(line and not line.startswith(b"#") for line in lines)
