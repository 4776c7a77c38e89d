"""memtest86+ is offered where Debian's package has put it, and only there."""

from pathlib import PurePosixPath

import pytest

from pvefw.api import BootPlan
from pvefw.core.binding import bind_object
from pvefw.core.families import BOOTLOADER
from pvefw.testing.fakes import fake_esp, fake_kernel
from pvefw_bootloader_systemd import SystemdBoot

ENTRY = PurePosixPath("loader/entries/memtest86+x64.conf")
BINARY = PurePosixPath("EFI/memtest86+/memtest86+x64.efi")


@pytest.fixture
def host(tmp_path):
    return tmp_path / "host"


@pytest.fixture
def rendered(tmp_path, host):
    """The tree for the host as it is."""

    def do():
        kernels = [fake_kernel(host, "6.8.12-4-pve")]
        plan = BootPlan(kernels, "6.8.12-4-pve", None, "root=/dev/sda3", host)
        loader = SystemdBoot(efivars=tmp_path / "efivars")
        hooks = bind_object(BOOTLOADER, loader, "systemd-boot").hooks
        return hooks.boot_render(esp=fake_esp(tmp_path / "esp"), plan=plan)

    return do


def test_it_is_copied_and_offered(rendered, host):
    source = host / "boot/memtest86+x64.efi"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"MZ")
    tree = rendered()
    assert tree.copies[BINARY] == source
    assert tree.texts[ENTRY].decode() == (
        "title    Memory test (memtest86+)\n"
        "architecture x64\n"
        "efi      /EFI/memtest86+/memtest86+x64.efi\n"
    )
    texts = list(tree.texts)
    assert texts.index(ENTRY) < texts.index(PurePosixPath("loader/loader.conf"))


def test_without_the_package_it_is_ours_to_remove(rendered):
    tree = rendered()
    assert BINARY not in tree.copies
    assert ENTRY not in tree.texts
    assert {str(BINARY), str(ENTRY)} <= set(tree.owned)
