"""What Secure Boot is sure to refuse: boot loaders and kernels, on an ESP and before they come there."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from pvefw.boot import firmware, trust
from pvefw.boot.images import Image
from pvefw.boot.trust import Refusal
from pvefw.core.model import Kernel
from pvefw.host.fat import folded
from pvefw.store.paths import Paths

_LOADER = re.compile(r"(?:boot|grub|shim|systemd-boot)[^/]*\.efi", re.IGNORECASE)
_STARTED_BY_SHIM = re.compile(r"grub[^/]*\.efi", re.IGNORECASE)
_SHIMS = "usr/lib/shim/shim*.efi.signed"
"""Where Debian's package has it."""


def refused_loaders(paths: Paths, esp: Path) -> list[str]:
    """What is wrong with the boot loaders on a mounted ESP under Secure Boot, a line for each reason.

    :raises OSError: the ESP cannot be read.
    """
    if not firmware.secure_boot(paths):
        return []
    there, reasons = loaders(esp), dict[str, list[str]]()
    for target, refusal in refusals(paths, there, there).items():
        reasons.setdefault(str(refusal), []).append(str(target))
    return [
        f"Secure Boot is on, and will not start {', '.join(targets)}: {why}"
        for why, targets in reasons.items()
    ]


def loaders(esp: Path) -> Mapping[PurePosixPath, Path]:
    """``EFI/BOOT/BOOTX64.EFI``, ``EFI/proxmox/shimx64.efi`` and the like, in order."""
    return {
        PurePosixPath(path.relative_to(esp)): path
        for folder in sorted(esp.glob("[Ee][Ff][Ii]/*/"))
        for path in sorted(folder.iterdir())
        if _LOADER.fullmatch(path.name) and path.is_file()
    }


def refusals(
    paths: Paths, files: Mapping[PurePosixPath, Path], asked: Collection[PurePosixPath]
) -> Mapping[PurePosixPath, Refusal]:
    """Why Secure Boot would not start some of the loaders of an ESP.

    :param files: all of its loaders: target to where the content is, there or with the host's packages.
    :param asked: which of them.
    :raises StoreError: one of them cannot be read.
    """
    images = {target: Image.read(path) for target, path in files.items()}
    by_firmware = trust.of_firmware(paths)
    refused = {}
    for target in asked:
        beside = [
            image
            for other, image in images.items()
            if image.vendor and folded(other.parent) == folded(target.parent)
        ]
        second = beside and _STARTED_BY_SHIM.fullmatch(target.name)
        judge = trust.of_shim(paths, beside) if second else by_firmware
        if refusal := judge.refusal(images[target]):
            refused[target] = refusal
    return refused


def refused_kernels(paths: Paths, kernels: Sequence[Kernel]) -> list[str]:
    """One line for each of these kernels that Secure Boot keeps from being started.

    :raises StoreError: one of them cannot be read.
    """
    if not firmware.verifies_kernels(paths):
        return []
    shims = [Image.read(path) for path in sorted(paths.root.glob(_SHIMS))]
    judge = trust.of_shim(paths, shims)
    return [
        f"kernel {kernel.version} will not be started, as Secure Boot is on: {refusal.why}"
        for kernel in kernels
        if (refusal := judge.refusal(Image.read(kernel.vmlinuz)))
    ]
