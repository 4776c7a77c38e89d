"""The conformance kit, with a reader that follows the scripts as the UEFI shell does."""

from pathlib import PurePosixPath

import pytest
from pvefw_bootloader_minimal import STARTUP, Minimal

from pvefw.testing.boot import BootloaderConformance, Started
from pvefw.testing.fakes import fake_esp


def esp_path(shell_path):
    return PurePosixPath(*shell_path.strip("\\").split("\\"))


def start(root, script):
    """Follow scripts that call one another, up to a program."""
    if not (root / esp_path(script)).is_file():
        return None
    command, *arguments = (root / esp_path(script)).read_text().rstrip("\n").split(" ")
    if command.endswith(".nsh"):
        return start(root, command)
    if not (root / esp_path(command)).is_file():
        return None
    initrd, *_ = [
        argument.removeprefix("initrd=") for argument in arguments if argument.startswith("initrd=")
    ]
    return Started(esp_path(command), esp_path(initrd), " ".join(arguments))


def shell(root):
    """What STARTUP says, in Python."""
    startup, home = root / "startup.nsh", root / "EFI/pvefw"
    if not startup.exists() or startup.read_bytes() != STARTUP:
        return None
    if not (home / "default.nsh").exists():
        return None
    if (home / "once.nsh").exists():
        (home / "once.nsh").replace(home / "spent.nsh")
        return start(root, r"\EFI\pvefw\spent.nsh") or start(root, r"\EFI\pvefw\default.nsh")
    return start(root, r"\EFI\pvefw\default.nsh")


class TestMinimal(BootloaderConformance):
    @pytest.fixture
    def plugin(self):
        return Minimal()

    @pytest.fixture
    def install(self, plugin):
        return lambda root: plugin.boot_install(fake_esp(root))

    @pytest.fixture
    def boots(self):
        return shell


def test_a_shell_is_put_where_firmware_looks(tmp_path):
    (tmp_path / "shell.efi").write_bytes(b"a shell")
    (tmp_path / "esp").mkdir()
    Minimal(shell=tmp_path / "shell.efi").boot_install(fake_esp(tmp_path / "esp"))
    assert (tmp_path / "esp/EFI/BOOT/BOOTX64.EFI").read_bytes() == b"a shell"
