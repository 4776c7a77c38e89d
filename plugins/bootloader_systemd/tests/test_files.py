"""Which files on an ESP are systemd-boot's own, and where this host's packages have them."""

import errno
import os
from pathlib import PosixPath, PurePosixPath

import pytest

from pvefw.api import ProviderError, Unsupported
from pvefw.testing.fakes import FakeTask, fake_esp
from pvefw_bootloader_systemd import SystemdBoot, installation

OURS = b"MZ #### LoaderInfo: systemd-boot 252.39-1~deb12u2 ####"
LOADER, FALLBACK = "EFI/systemd/systemd-bootx64.efi", "EFI/BOOT/BOOTX64.EFI"


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """Where the package systemd-boot-efi puts its files."""
    folder = tmp_path / "packaged"
    folder.mkdir()
    (folder / "systemd-bootx64.efi").write_bytes(OURS)
    monkeypatch.setattr(installation, "PACKAGED", folder)
    return folder


@pytest.fixture
def esp(tmp_path):
    """An ESP with what is put there."""

    def with_files(**files):
        made = fake_esp(tmp_path / "esp")
        for name, data in files.items():
            path = made.mountpoint / {"loader": LOADER, "fallback": FALLBACK}[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return made

    return with_files


def named(esp):
    return {str(target): file.name for target, file in SystemdBoot().boot_files(esp=esp).items()}


def test_both_places_are_kept_up_to_date(packaged, esp):
    assert named(esp(loader=OURS, fallback=OURS)) == {
        LOADER: "systemd-bootx64.efi",
        FALLBACK: "systemd-bootx64.efi",
    }


def test_shim_or_the_loader_of_another_system_in_efi_boot_is_not_ours(packaged, esp):
    assert named(esp(loader=OURS, fallback=b"MZ shim")) == {LOADER: "systemd-bootx64.efi"}


def test_the_signed_one_comes_first_as_with_bootctl(packaged, esp):
    (packaged / "systemd-bootx64.efi.signed").write_bytes(OURS)
    assert named(esp(loader=OURS)) == {LOADER: "systemd-bootx64.efi.signed"}


def test_without_the_package_nothing_is_said(packaged, esp):
    (packaged / "systemd-bootx64.efi").unlink()
    assert named(esp(loader=OURS, fallback=OURS)) == {}


def test_each_architecture_has_its_own(packaged, esp):
    made = esp(loader=OURS, fallback=OURS)
    (packaged / "systemd-bootaa64.efi").write_bytes(OURS)
    for name in ("EFI/systemd/systemd-bootaa64.efi", "EFI/BOOT/BOOTAA64.EFI"):
        (made.mountpoint / name).write_bytes(OURS)
    found = SystemdBoot().boot_files(esp=made)
    assert found[PurePosixPath("EFI/BOOT/BOOTAA64.EFI")].name == "systemd-bootaa64.efi"
    assert found[PurePosixPath(FALLBACK)].name == "systemd-bootx64.efi"


@pytest.mark.parametrize(
    ("release", "packages"),
    [
        ({"VERSION_ID": "12"}, "systemd-boot,"),
        ({"VERSION_ID": "13"}, "systemd-boot-tools systemd-boot-efi,"),
        ({}, "systemd-boot-tools systemd-boot-efi,"),  # testing and unstable have no number
    ],
)
def test_the_packages_to_install_are_those_of_this_release(esp, monkeypatch, release, packages):
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: release)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unsupported) as caught:
        SystemdBoot().boot_install(esp=esp(), task=FakeTask())
    assert caught.value.hint == f"apt install {packages} then try again."


def test_a_host_that_says_nothing_of_itself_gets_the_packages_of_today(esp, monkeypatch):
    def no_os_release():
        raise FileNotFoundError("/etc/os-release")

    monkeypatch.setattr("platform.freedesktop_os_release", no_os_release)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unsupported) as caught:
        SystemdBoot().boot_install(esp=esp(), task=FakeTask())
    assert caught.value.hint == "apt install systemd-boot-tools systemd-boot-efi, then try again."


@pytest.mark.parametrize("ask", ["boot_probe", "boot_files"])
def test_an_esp_that_cannot_be_read_is_named(packaged, esp, monkeypatch, ask):
    made = esp(loader=OURS, fallback=OURS)

    def broken(_path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(PosixPath, "read_bytes", broken)
    monkeypatch.setattr(PosixPath, "open", broken)
    with pytest.raises(ProviderError, match=f"^{made.device}: Input/output error$"):
        getattr(SystemdBoot(), ask)(esp=made)
