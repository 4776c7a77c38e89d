"""Which files on an ESP are GRUB's own, and how they are brought up to date."""

import subprocess
from dataclasses import dataclass, field

import pytest

from pvefw.api import Firmware
from pvefw.testing.fakes import FakeTask
from pvefw_bootloader_grub import Grub, install, nvram, platforms


@dataclass
class Host:
    """A host with GRUB's packages."""

    modules: object
    signed: tuple
    calls: list = field(default_factory=list)


@pytest.fixture
def host(tmp_path, monkeypatch):
    modules = tmp_path / "grub"
    for target in ("i386-pc", "x86_64-efi"):
        (modules / target).mkdir(parents=True)
        for name in ("modinfo.sh", "linux.mod", "part_gpt.mod"):
            (modules / target / name).write_text(name)
    monkeypatch.setattr(platforms, "MODULES", modules)
    monkeypatch.setattr(platforms, "SHIMS", tmp_path / "shim")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    made = Host(modules, platforms.uefi().signed)
    monkeypatch.setattr(install, "_program", lambda: "grub-install")

    def run(argv, **_):
        made.calls.append(argv)
        return subprocess.CompletedProcess(argv, 0, "", "")

    monkeypatch.setattr(install, "run", run)
    return made


@pytest.fixture
def uefi(esp):
    """An ESP that UEFI starts GRUB from."""
    for name in ("EFI/proxmox/grubx64.efi", "grub/x86_64-efi/linux.mod"):
        (esp.mountpoint / name).parent.mkdir(parents=True, exist_ok=True)
        (esp.mountpoint / name).write_text("GRUB")
    return esp


def named(esp):
    return {str(target): file.name for target, file in Grub().boot_files(esp=esp).items()}


MODULES = {f"grub/x86_64-efi/{module}": module for module in ("linux.mod", "part_gpt.mod")}


def test_its_modules_say_whether_the_image_has_aged(host, uefi):
    assert named(uefi) == MODULES


def test_an_esp_without_any_module_was_not_made_by_grub_install(host, uefi):
    (uefi.mountpoint / "grub/x86_64-efi/linux.mod").unlink()
    assert named(uefi) == {}


def test_signed_images_are_compared_where_they_were_put(host, uefi):
    for image in host.signed:
        image.parent.mkdir()
        image.write_text("signed")
    assert named(uefi) == MODULES, "this one starts without shim"
    (uefi.mountpoint / "EFI/proxmox/shimx64.efi").write_text("shim")
    assert named(uefi) == MODULES | {
        "EFI/proxmox/grubx64.efi": "grubx64.efi.signed",
        "EFI/proxmox/shimx64.efi": "shimx64.efi.signed",
    }


def test_an_update_leaves_the_firmwares_entries_alone(host, uefi, monkeypatch):
    monkeypatch.setattr(nvram, "register", lambda *_: pytest.fail("an entry was made"))
    Grub().boot_update(esp=uefi, firmware=[Firmware.UEFI, Firmware.BIOS], task=FakeTask())
    assert [argv[1] for argv in host.calls] == ["--target=x86_64-efi", "--target=i386-pc"]
