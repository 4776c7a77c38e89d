"""memtest86+ is offered where Debian's package has put it, and only there."""

import subprocess
from pathlib import PurePosixPath

import pytest

from pvefw_bootloader_grub import render

NAMES = ("memtest86+x64.efi", "memtest86+x64.bin")


@pytest.fixture
def tree(esp, make_plan, tmp_path):
    """The tree for a host with these files below /boot."""

    def do(*names, settings=""):
        (tmp_path / "host/boot").mkdir(parents=True)
        for name in names:
            (tmp_path / "host/boot" / name).write_bytes(b"MZ")
        return render.tree(esp, make_plan("6.8.12-4-pve", settings=settings))

    return do


def test_each_firmware_gets_its_own(tree, tmp_path):
    found = tree(*NAMES)
    for name in NAMES:
        assert found.copies[PurePosixPath(name)] == tmp_path / "host/boot" / name
    config = found.texts[render.CONFIG].decode()
    assert "= efi ]; then\n  menuentry 'Memory test (memtest86+)' --id memtest86+" in config
    assert "chainloader /memtest86+x64.efi" in config
    assert "linux /memtest86+x64.bin" in config
    (tmp_path / "grub.cfg").write_text(config)
    subprocess.run(["grub-script-check", tmp_path / "grub.cfg"], check=True)


def test_what_is_not_there_is_not_offered(tree):
    found = tree(NAMES[0])
    assert PurePosixPath(NAMES[1]) not in found.copies
    assert NAMES[1] not in found.texts[render.CONFIG].decode()
    assert set(NAMES) <= set(found.owned)


def test_the_administrator_does_not_want_it(tree):
    found = tree(*NAMES, settings="GRUB_DISABLE_MEMTEST=true\n")
    assert not any(str(copy).startswith("memtest") for copy in found.copies)
    assert "memtest" not in found.texts[render.CONFIG].decode()
