"""GRUB's platforms, and what its files are called for each of them."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MODULES = Path("/usr/lib/grub")
SHIMS = Path("/usr/lib/shim")


@dataclass(frozen=True, slots=True)
class Platform:
    """What GRUB runs on: a kind of firmware and a processor."""

    target: str
    """As ``grub-install --target`` names it; so is the folder of its modules."""
    package: str
    """Debian's, with the modules."""
    processor: str = ""
    """As the names of UEFI's images end: ``x64``; empty for BIOS."""

    @property
    def image(self) -> str:
        """The name of GRUB itself."""
        return f"grub{self.processor}.efi"

    @property
    def shim(self) -> str:
        """The name of what starts GRUB where Secure Boot is on."""
        return f"shim{self.processor}.efi"

    @property
    def fallback(self) -> str:
        """The name in ``EFI/BOOT`` that every firmware tries."""
        return f"BOOT{self.processor.upper()}.EFI"

    @property
    def modules(self) -> Path:
        """Where its package has the modules."""
        return MODULES / self.target

    @property
    def signed(self) -> Sequence[Path]:
        """GRUB and shim, where Debian's packages have them with signatures."""
        grub = MODULES / f"{self.target}-signed" / f"{self.image}.signed"
        return grub, SHIMS / f"{self.shim}.signed"


BIOS = Platform("i386-pc", "grub-pc-bin")
_UEFI = {
    "x86_64": Platform("x86_64-efi", "grub-efi-amd64-bin", "x64"),
    "aarch64": Platform("arm64-efi", "grub-efi-arm64-bin", "aa64"),
}
"""By the processor, as uname(2) names it."""
UEFI = tuple(_UEFI.values())


def uefi() -> Platform:
    """That of this machine, when UEFI starts it."""
    return _UEFI.get(platform.machine(), UEFI[0])
