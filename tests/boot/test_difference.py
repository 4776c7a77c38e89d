"""What loaders want on an ESP has to be possible: on FAT, in one place, and on that ESP."""

from pathlib import Path, PurePosixPath

import pytest

from pvefw.api import BootTree
from pvefw.boot.difference import merged
from pvefw.core.errors import PluginFailed


def wants(*targets):
    return BootTree({PurePosixPath(target): Path("/boot/vmlinuz") for target in targets}, {}, [])


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "EFI/../../outside", ""])
def test_no_file_is_wanted_outside_the_esp(target):
    with pytest.raises(PluginFailed, match="plain: boot_render wants a file outside the ESP"):
        merged({"plain": wants(target)})


def test_names_that_differ_in_case_only_are_one_file_on_fat():
    both = wants("EFI/proxmox/6.8.12-A/vmlinuz", "EFI/proxmox/6.8.12-a/vmlinuz")
    with pytest.raises(PluginFailed, match="are one file on an ESP") as raised:
        merged({"plain": both})
    assert "Two kernels whose versions differ in case only" in raised.value.hint


def test_two_loaders_do_not_share_a_file():
    with pytest.raises(PluginFailed, match="grub and other both want efi/boot/bootx64") as raised:
        merged({"other": wants("EFI/BOOT/BOOTX64.EFI"), "grub": wants("efi/boot/bootx64.efi")})
    assert "format it, and init it with one" in raised.value.hint


def test_trees_that_fit_are_one():
    found = merged({"a": wants("a/one"), "b": wants("b/two")})
    assert set(found.copies) == {PurePosixPath("a/one"), PurePosixPath("b/two")}
