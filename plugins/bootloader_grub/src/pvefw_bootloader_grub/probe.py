"""What of GRUB lies on an ESP. Nothing is written."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pvefw.api import BootState, Esp, Firmware, ProviderError
from pvefw_bootloader_grub import files, grubenv, platforms
from pvefw_bootloader_grub.menu import Entry, Menu, parse, version_in
from pvefw_bootloader_grub.platforms import Platform
from pvefw_bootloader_grub.render import CONFIG, ENVIRONMENT
from pvefw_bootloader_grub.script import Unbalanced

_BOOT_SECTOR = 512
_VERSION = re.compile(rb"^grub_package_version=[\"']?([^\"'\n]+)", re.MULTILINE)


def probe(esp: Esp) -> BootState | None:
    """See :meth:`BootloaderSpec.boot_probe`."""
    root = esp.mountpoint
    try:
        kinds = firmware(esp)
        if not kinds:
            return None
        menu = _menu(root)
        environment = grubenv.read(root / ENVIRONMENT) or {}
        kernels = {entry.version: None for _, entry in menu.kernels() if _is_complete(entry, root)}
        return BootState(
            firmware=kinds,
            kernels=list(kernels),
            default=_default(menu, environment.get("saved_entry", "")),
            next_boot=_started_by(menu, environment.get("next_entry", "")),
            loader_version=_loader_version(root),
        )
    except OSError as error:
        raise ProviderError(f"{root}: cannot be read: {error.strerror}") from error


def firmware(esp: Esp) -> Sequence[Firmware]:
    """The kinds of firmware that start GRUB from an ESP.

    :raises OSError: it cannot be read.
    """
    return list(_firmware(esp))


def _firmware(esp: Esp) -> Iterator[Firmware]:
    """The kinds that start GRUB from here: its modules are here, and what the firmware starts first."""
    if any(_is_on(esp.mountpoint, platform) for platform in platforms.UEFI):
        yield Firmware.UEFI
    core = esp.mountpoint / "grub" / platforms.BIOS.target / "core.img"
    if core.is_file() and _is_in_boot_sector(esp.disk):
        yield Firmware.BIOS


def _is_on(root: Path, kind: Platform) -> bool:
    """Whether GRUB for this platform of UEFI's is on an ESP, with its modules."""
    names = (f"proxmox/{kind.image}", f"BOOT/{kind.image}", f"BOOT/{kind.fallback}")
    has_modules = (root / "grub" / kind.target).is_dir()
    return has_modules and any((root / "EFI" / name).is_file() for name in names)


def _is_in_boot_sector(disk: Path) -> bool:
    """Whether the disk starts GRUB; yes where it cannot be looked at."""
    try:
        with disk.open("rb") as file:
            return b"GRUB" in file.read(_BOOT_SECTOR)
    except OSError:
        return True


def _menu(root: Path) -> Menu:
    def text(name: str) -> str:
        return (files.read(root / CONFIG.parent / Path(name).name) or b"").decode(errors="replace")

    try:
        return parse(text(CONFIG.name), text)
    except Unbalanced:  # cut off: GRUB shows no menu then
        return Menu()


def _default(menu: Menu, saved: str) -> str | None:
    """What GRUB starts: a kernel's version, or the title of an entry that starts something else."""
    chosen = menu.find(saved) if menu.saved and saved else None
    entry = chosen or menu.find(menu.default)
    return (entry.version or entry.title or None) if entry else None


def _started_by(menu: Menu, name: str) -> str | None:
    """What GRUB starts for this value of ``default``: a version, or another entry's title.

    A kernel that is not installed now counts: it boots where it is installed again.
    """
    entry = menu.find(name) if name else None
    return (entry.version or entry.title if entry else version_in(name)) or None


def _is_complete(entry: Entry, root: Path) -> bool:
    paths = [root / initrd.lstrip("/") for initrd in (entry.linux, *entry.initrds)]
    return bool(entry.initrds) and all(path.is_file() and path.stat().st_size for path in paths)


def _loader_version(root: Path) -> str:
    for kind in (*platforms.UEFI, platforms.BIOS):
        match = _VERSION.search(files.read(root / "grub" / kind.target / "modinfo.sh") or b"")
        if match:
            return match[1].decode(errors="replace")
    return ""
