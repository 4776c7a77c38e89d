"""The conformance kit, with GRUB played by an interpreter of its own."""

from pathlib import PurePosixPath

import pytest
from servers.grub_script import Grub as Player

from pvefw.testing.boot import BootloaderConformance, Started
from pvefw_bootloader_grub import Grub


def install(esp):
    """What grub-install leaves there, as far as it is looked at."""
    for path, content in {
        "EFI/proxmox/shimx64.efi": "shim",
        "EFI/proxmox/grubx64.efi": "GRUB",
        "EFI/BOOT/BOOTX64.EFI": "shim",
        "EFI/BOOT/grubx64.efi": "GRUB",
        "grub/x86_64-efi/modinfo.sh": 'grub_package_version="2.06-13"\n',
        "grub/i386-pc/core.img": "GRUB",
    }.items():
        (esp / path).parent.mkdir(parents=True, exist_ok=True)
        (esp / path).write_text(content)


def boots(esp):
    started = Player(esp).start()
    if started is None or not started.initrds:
        return None
    kernel, *_ = started.linux
    return Started(
        PurePosixPath(kernel.lstrip("/")),
        PurePosixPath(started.initrds[-1].lstrip("/")),
        started.cmdline,
    )


class TestGrub(BootloaderConformance):
    @pytest.fixture
    def plugin(self):
        return Grub()

    @pytest.fixture
    def install(self):
        return install

    @pytest.fixture
    def boots(self):
        return boots

    def arguments(self, plan):
        """GRUB's own settings decide; only where the root is comes from the plan."""
        return " ".join(
            word for word in plan.cmdline.split() if word.startswith(("root=", "boot="))
        )
