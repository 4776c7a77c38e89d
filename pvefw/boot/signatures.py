"""What Secure Boot is sure to refuse: boot loaders and kernels that carry no signature.

Whether the firmware trusts the signatures that are there, only the firmware knows.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pvefw.boot import firmware
from pvefw.core.model import Kernel
from pvefw.store import files
from pvefw.store.paths import Paths

_LOADER = re.compile(r"(?:boot|grub|shim|systemd-boot)[^/]*\.efi", re.IGNORECASE)
_HEADERS = 4096
"""Bytes that hold all headers of an image."""
_POINTER, _SIGNATURE = 0x3C, b"PE\0\0"
_COFF = 20
_CERTIFICATES = 4
_DIRECTORIES = {0x10B: 96, 0x20B: 112}
"""Magic number of the optional header (PE32, PE32+) to where its data directories begin."""


def refused_loaders(paths: Paths, esp: Path) -> list[str]:
    """What is wrong with the boot loaders on a mounted ESP where Secure Boot is on, in a line at most.

    :raises OSError: the ESP cannot be read.
    """
    if not firmware.secure_boot(paths):
        return []
    unsigned = ", ".join(str(one.relative_to(esp)) for one in _loaders(esp) if not is_signed(one))
    trouble = (
        f"Secure Boot is on, and the firmware will refuse what is not signed here: {unsigned}; sign "
        "it, or format this ESP and give it GRUB, with Debian's packages shim-signed and "
        "grub-efi-amd64-signed"
    )
    return [trouble] if unsigned else []


def _loaders(esp: Path) -> Iterator[Path]:
    """``EFI/BOOT/BOOTX64.EFI``, ``EFI/proxmox/shimx64.efi`` and the like, in order."""
    for folder in sorted(esp.glob("[Ee][Ff][Ii]/*/")):
        for path in sorted(folder.iterdir()):
            if _LOADER.fullmatch(path.name) and path.is_file():
                yield path


def refused_kernels(paths: Paths, kernels: Sequence[Kernel]) -> list[str]:
    """One line for each of these kernels that Secure Boot keeps from being started.

    :raises StoreError: one of them cannot be read.
    """
    if not firmware.verifies_kernels(paths):
        return []
    return [
        f"kernel {one.version} is not signed, and Secure Boot is on: it will not be started"
        for one in kernels
        if not is_signed(one.vmlinuz)
    ]


def is_signed(path: Path) -> bool:
    """Whether a file is an image for UEFI with at least one signature, whoever made it.

    Source: Microsoft's specification of the PE format, "Attribute Certificate Table".

    :raises StoreError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data, length = file.read(_HEADERS), os.fstat(file.fileno()).st_size
    except OSError as error:
        raise files.failed("read", path, error) from error

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], "little")

    header = number(_POINTER, 4)
    optional = header + len(_SIGNATURE) + _COFF
    directories = _DIRECTORIES.get(number(optional, 2))
    if data[:2] != b"MZ" or data[header:][: len(_SIGNATURE)] != _SIGNATURE or directories is None:
        return False
    table = optional + directories
    if number(table - 4, 4) <= _CERTIFICATES:  # as many directories are there
        return False
    start, size = (number(table + 8 * _CERTIFICATES + at, 4) for at in (0, 4))
    return size > 0 and start + size <= length
