"""Secure Boot refuses what is not signed: it is said before anybody restarts the host."""

import shutil
from pathlib import Path

import pytest
from boot.test_firmware import GLOBAL, variable

from pvefw.api import Firmware
from pvefw.boot.images import Image
from pvefw.boot.refresh import refresh
from pvefw.boot.status import status
from pvefw.core.errors import StoreError

SHIM = "605dab50-e046-4300-abb6-3dd810dd8b23"
SIGNED = (
    Path("/usr/lib/shim/shimx64.efi.signed"),
    Path("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"),
)
UNSIGNED = (
    Path("/usr/lib/shim/shimx64.efi"),
    Path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi"),
)


@pytest.mark.parametrize("image", [*SIGNED, *UNSIGNED], ids=lambda path: path.name)
def test_debians_own_images(image):
    assert bool(Image.read(image).signatures) is (image in SIGNED)


@pytest.mark.parametrize("length", [0, 1, 63, 64, 200, 4096])
def test_an_image_that_is_cut_off_is_not_signed(tmp_path, length):
    cut = tmp_path / "cut"
    cut.write_bytes(SIGNED[0].read_bytes()[:length])
    assert not Image.read(cut).signatures


def test_what_is_no_image_is_not_signed(tmp_path):
    text = tmp_path / "text"
    text.write_text("MZ" + "a kernel " * 1000)
    assert not Image.read(text).signatures
    with pytest.raises(StoreError, match="could not read the file"):
        Image.read(tmp_path / "gone")


@pytest.fixture
def put(machine, ready, plain):
    """Put an image on the first ESP; the loader that is on both of them is for UEFI, too."""
    plain.firmware = Firmware.UEFI

    def put(image, name):
        path = machine.directory / "AAAA-0001" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, path)

    return put


@pytest.fixture
def signed_kernels(host):
    """Kernels that Secure Boot starts."""
    for kernel in host.root.glob("boot/vmlinuz-*"):
        shutil.copyfile(SIGNED[0], kernel)


def problems(context):
    return [line for esp in status(context()).esps for line in esp.problems]


def test_a_loader_that_is_not_signed_is_told_by_status_and_refresh(
    ready, host, put, signed_kernels
):
    variable(host, "SecureBoot", GLOBAL, b"\1")
    put(UNSIGNED[1], "EFI/BOOT/BOOTX64.EFI")
    put(UNSIGNED[1], "EFI/systemd/systemd-bootx64.efi")
    put(SIGNED[1], "EFI/proxmox/grubx64.efi")
    put(UNSIGNED[1], "EFI/tools/memtest86.efi")  # an administrator's own business
    refresh(context := ready())

    [said] = problems(ready)
    assert (
        "EFI/BOOT/BOOTX64.EFI, EFI/systemd/systemd-bootx64.efi: it is not signed; sign it" in said
    )
    assert context.task.warnings == [f"ESP AAAA-0001 (/dev/sda2): {said}"]
    assert [esp.state for esp in status(ready()).esps] == ["drift", "ok"]


def test_signed_loaders_are_in_order(ready, host, put, signed_kernels):
    variable(host, "SecureBoot", GLOBAL, b"\1")
    put(SIGNED[0], "EFI/BOOT/BOOTX64.EFI")
    put(SIGNED[1], "EFI/BOOT/grubx64.efi")
    refresh(context := ready())

    assert (context.task.warnings, status(ready()).ok) == ([], True)


def test_nothing_is_refused_where_secure_boot_is_off(ready, host, put):
    variable(host, "SecureBoot", GLOBAL, b"\0")
    put(UNSIGNED[1], "EFI/BOOT/BOOTX64.EFI")
    assert status(ready()).ok


def test_kernels_that_are_not_signed_are_told_once_for_all(ready, host, plain, signed_kernels):
    plain.firmware = Firmware.UEFI
    variable(host, "SecureBoot", GLOBAL, b"\1")
    host.install("6.8.12-4-pve")
    refresh(context := ready())

    wanted = ["kernel 6.8.12-4-pve will not be started, as Secure Boot is on: it is not signed"]
    assert context.task.warnings == wanted
    assert list(status(ready()).problems) == wanted


def test_shim_may_have_been_told_not_to_verify_kernels(ready, host):
    variable(host, "SecureBoot", GLOBAL, b"\1")
    variable(host, "MokSBStateRT", SHIM, b"\1")
    assert refresh(ready()).failed == {}
    assert status(ready()).problems == []
