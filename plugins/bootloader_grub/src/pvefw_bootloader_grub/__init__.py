"""GRUB for pvefw: on synced ESPs under UEFI and BIOS, and on hosts with an ordinary ``/boot``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pvefw.api import BootPlan, BootState, BootTree, Esp, Firmware, Task, hookimpl

__all__ = ["Grub"]


@dataclass
class Grub:
    """GRUB 2, as ``grub-install`` sets it up, with a menu of our own from ``/etc/default/grub``."""

    @hookimpl
    def boot_firmware(self) -> Sequence[Firmware]:
        """Both."""
        return [Firmware.UEFI, Firmware.BIOS]

    @hookimpl
    def boot_probe(self, esp: Esp) -> BootState | None:
        """Its images, menu and environment block."""
        from pvefw_bootloader_grub import probe

        return probe.probe(esp)

    @hookimpl
    def boot_install(self, esp: Esp, firmware: Firmware, task: Task) -> None:
        """grub-install, with the signed images where there are any."""
        from pvefw_bootloader_grub import install

        install.install(esp, firmware, task)

    @hookimpl
    def boot_files(self, esp: Esp) -> Mapping[PurePosixPath, Path]:
        """Its modules, and the signed images; an image that is made here is made of the same modules."""
        from pvefw_bootloader_grub import install, probe

        return install.packaged(esp, probe.firmware(esp))

    @hookimpl
    def boot_update(self, esp: Esp, firmware: Sequence[Firmware], task: Task) -> None:
        """grub-install again, without the firmware's boot entries."""
        from pvefw_bootloader_grub import install

        for kind in firmware:
            install.put(esp, kind, task)

    @hookimpl
    def boot_render(self, esp: Esp, plan: BootPlan) -> BootTree:
        """``/grub/grub.cfg``, and kernels in the ESP's root, as Proxmox VE has them."""
        from pvefw_bootloader_grub import render

        return render.tree(esp, plan)

    @hookimpl
    def boot_arm(self, esp: Esp, plan: BootPlan, task: Task) -> None:
        """``next_entry`` in the environment block; GRUB clears it before it starts the kernel."""
        from pvefw_bootloader_grub import arm

        arm.arm(esp, plan, task)

    @hookimpl
    def boot_select(
        self, default: str | None, next_boot: str | None, root: Path, task: Task
    ) -> None:
        """Proxmox VE's pin snippet and ``update-grub``; ``next_entry`` for a boot that happens once."""
        from pvefw_bootloader_grub import host

        host.select(default, next_boot, root, task)
