"""What is found of GRUB on an ESP."""

import re
from dataclasses import replace

import pytest

from pvefw.api import Firmware, ProviderError
from pvefw_bootloader_grub import Grub

NEW, OLD = "6.8.12-4-pve", "6.5.13-6-pve"


@pytest.fixture
def put(esp):
    def put(**files):
        for path, content in files.items():
            target = esp.mountpoint / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    return lambda files: put(**files)


@pytest.fixture
def proxmox(grub_host, put):
    """An ESP as Proxmox VE's own tool leaves it: its grub.cfg is update-grub's."""

    def proxmox(settings="GRUB_DEFAULT=0\n"):
        grub_host.kernels(NEW, OLD)
        grub_host.settings(settings)
        # its paths begin at the file system that /boot is on, wherever that is mounted
        config = re.sub(r"/\S*/(?=(?:vmlinuz|initrd\.img)-)", "/", grub_host.update_grub())
        put(
            {
                "grub/grub.cfg": config.encode(),
                "grub/i386-pc/core.img": b"core",
                "grub/i386-pc/modinfo.sh": b'x=1\ngrub_package_version="2.06-13+pmx2"\n',
                "grub/x86_64-efi/normal.mod": b"module",
                "EFI/proxmox/grubx64.efi": b"GRUB",
                **{f"vmlinuz-{version}": b"kernel" for version in (NEW, OLD)},
                **{f"initrd.img-{version}": b"initrd" for version in (NEW, OLD)},
            }
        )

    return proxmox


def test_an_esp_of_proxmox_ve(proxmox, esp):
    proxmox()
    state = Grub().boot_probe(esp)
    assert list(state.firmware) == [Firmware.UEFI, Firmware.BIOS]
    assert list(state.kernels) == [NEW, OLD]
    assert (state.default, state.next_boot) == (NEW, None)
    assert state.loader_version == "2.06-13+pmx2"


def test_proxmox_ves_pin(proxmox, esp, grub_host):
    proxmox(
        f'GRUB_DEFAULT="gnulinux-advanced-{grub_host.uuid}>gnulinux-{OLD}-advanced-{grub_host.uuid}"\n'
    )
    assert Grub().boot_probe(esp).default == OLD


def test_saved_and_next_entries(proxmox, esp, put):
    proxmox("GRUB_DEFAULT=saved\n")
    assert Grub().boot_probe(esp).default == NEW
    block = b"# GRUB Environment Block\nsaved_entry=1>2\nnext_entry=1>0\n"
    put({"grub/grubenv": block.ljust(1024, b"#")})
    state = Grub().boot_probe(esp)
    assert (state.default, state.next_boot) == (OLD, NEW)
    put({"grub/grubenv": block.replace(b"1>0", b"gone").ljust(1024, b"#")})
    assert Grub().boot_probe(esp).next_boot is None
    put({"grub/grubenv": block})
    state = Grub().boot_probe(esp)
    assert (state.default, state.next_boot) == (NEW, None)


def test_a_next_entry_of_a_kernel_that_is_gone(proxmox, esp, put):
    """It is armed: GRUB would start it once when the kernel comes again."""
    proxmox("GRUB_DEFAULT=saved\n")
    gone = b"next_entry=gnulinux-advanced-abc>gnulinux-6.2.16-3-pve-advanced-abc\n"
    put({"grub/grubenv": (b"# GRUB Environment Block\n" + gone).ljust(1024, b"#")})
    assert Grub().boot_probe(esp).next_boot == "6.2.16-3-pve"


@pytest.mark.parametrize("name", ["vmlinuz", "initrd.img"])
def test_a_kernel_that_is_not_whole(proxmox, esp, put, name):
    proxmox()
    put({f"{name}-{OLD}": b""})
    assert list(Grub().boot_probe(esp).kernels) == [NEW]


def test_an_entry_without_an_initrd_is_not_complete(proxmox, esp, put):
    proxmox()
    config = (esp.mountpoint / "grub/grub.cfg").read_bytes()
    put({"grub/grub.cfg": config.replace(f"/initrd.img-{OLD}".encode(), b"")})
    assert list(Grub().boot_probe(esp).kernels) == [NEW]


@pytest.mark.parametrize("config", [b"", b"menuentry 'cut o", b"\0" * 4096, b"\xff\xfe}}}{{{"])
def test_a_menu_that_is_damaged(proxmox, esp, put, config):
    proxmox()
    put({"grub/grub.cfg": config})
    state = Grub().boot_probe(esp)
    assert (list(state.kernels), state.default) == ([], None)


def test_what_the_disk_starts_decides_on_bios(proxmox, esp, put):
    proxmox()
    esp.disk.write_bytes(b"\0" * 512)
    assert list(Grub().boot_probe(esp).firmware) == [Firmware.UEFI]
    esp.disk.write_bytes(b"\xebc\x90GRUB".ljust(512))
    assert Firmware.BIOS in Grub().boot_probe(esp).firmware


def test_an_esp_for_another_processor(put, esp):
    put(
        {
            "grub/arm64-efi/modinfo.sh": b'grub_package_version="2.06-13"\n',
            "EFI/BOOT/BOOTAA64.EFI": b"GRUB",
        }
    )
    state = Grub().boot_probe(esp)
    assert (list(state.firmware), state.loader_version) == ([Firmware.UEFI], "2.06-13")


def test_modules_without_an_image_are_no_loader(put, esp):
    put({"grub/x86_64-efi/normal.mod": b"module", "EFI/systemd/systemd-bootx64.efi": b"x"})
    assert Grub().boot_probe(esp) is None


def test_an_image_of_another_system_is_no_loader(put, esp):
    put({"EFI/debian/grubx64.efi": b"GRUB", "EFI/BOOT/grubx64.efi": b"GRUB"})
    assert Grub().boot_probe(esp) is None


def test_an_esp_that_cannot_be_read(proxmox, esp):
    proxmox()
    (esp.mountpoint / "grub/grub.cfg").unlink()
    (esp.mountpoint / "grub/grub.cfg").mkdir()
    with pytest.raises(ProviderError, match="cannot be read"):
        Grub().boot_probe(replace(esp))
