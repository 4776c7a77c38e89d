"""Reading a menu back: how entries are named, and what is not in it."""

import pytest

from pvefw_bootloader_grub.menu import parse

TEXT = """\
menuentry 'Debian, with Linux 6.1.0-1-amd64' --class os --id=gnulinux-6.1.0-1-amd64-advanced-x rest {
    linux /vmlinuz-6.1.0-1-amd64 root=/dev/sda2
}
"""


def test_an_id_may_be_joined_with_its_option():
    [entry] = parse(TEXT).entries
    assert entry.id == "gnulinux-6.1.0-1-amd64-advanced-x"
    assert entry.title == "Debian, with Linux 6.1.0-1-amd64"


def test_a_kernel_that_is_not_in_it_has_no_position():
    menu = parse(TEXT)
    assert menu.position("6.1.0-1-amd64") == 0
    with pytest.raises(ValueError, match=r"6\.1\.0-2-amd64"):
        menu.position("6.1.0-2-amd64")
