"""How grub-install is called; ``tests/machines`` runs the real one."""

from dataclasses import dataclass, field, replace

import pytest

from pvefw.api import Firmware, ProviderError, Unsupported
from pvefw.testing.fakes import FakeTask
from pvefw_bootloader_grub import Grub, install


@dataclass
class Machine:
    """What grub-install finds: its modules, signed images, EFI variables; and what it answers."""

    calls: object
    task: FakeTask = field(default_factory=FakeTask)

    def argv(self):
        return [line.split("\t") for line in self.calls.read_text().splitlines()]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    programs, modules, calls = tmp_path / "bin", tmp_path / "grub", tmp_path / "calls"
    calls.write_text("")
    for target in ("i386-pc", "x86_64-efi"):
        (modules / target).mkdir(parents=True)
        (modules / target / "modinfo.sh").write_text("")
    programs.mkdir()
    (programs / "grub-install").write_text(
        f"""#!/bin/sh
IFS='\t'; echo "$*" >>{calls}
case "$*" in
*broken*) echo "grub-install: error: cannot find a device for /broken." >&2; exit 1 ;;
*no-nvram*) ;;
*efi*) [ -e {tmp_path}/full ] && {{ echo "grub-install: error: efibootmgr failed." >&2; exit 1; }} ;;
esac
echo "Installation finished. No error reported." >&2
"""
    )
    (programs / "grub-install").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(install, "_MODULES", modules)
    monkeypatch.setattr(install, "_EFI_VARIABLES", tmp_path / "efivars")
    signed = (tmp_path / "grubx64.efi.signed", tmp_path / "shimx64.efi.signed")
    monkeypatch.setattr(install, "_SIGNED", signed)
    return Machine(calls)


def test_bios(machine, esp):
    Grub().boot_install(esp, Firmware.BIOS, machine.task)
    (argv,) = machine.argv()
    assert argv == [
        "--target=i386-pc",
        f"--boot-directory={esp.mountpoint}",
        "--no-floppy",
        str(esp.disk),
    ]


def test_uefi_without_variables_and_signed_images(machine, esp):
    Grub().boot_install(esp, Firmware.UEFI, machine.task)
    (argv,) = machine.argv()
    assert argv == [
        "--target=x86_64-efi",
        f"--boot-directory={esp.mountpoint}",
        "--no-floppy",
        f"--efi-directory={esp.mountpoint}",
        "--bootloader-id=proxmox",
        "--force-extra-removable",
        "--no-uefi-secure-boot",
        "--no-nvram",
    ]


def test_uefi_with_both(machine, esp, tmp_path):
    for one in install._SIGNED:
        one.write_text("signed")
    (tmp_path / "efivars").mkdir()
    (tmp_path / "efivars/BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c").write_text("")
    Grub().boot_install(esp, Firmware.UEFI, machine.task)
    (argv,) = machine.argv()
    assert argv[-1] == "--uefi-secure-boot"


def test_variables_that_cannot_be_written_are_a_warning(machine, esp, tmp_path):
    (tmp_path / "full").write_text("")
    (tmp_path / "efivars").mkdir()
    (tmp_path / "efivars/Boot0000").write_text("")
    Grub().boot_install(esp, Firmware.UEFI, machine.task)
    assert [argv[-1] for argv in machine.argv()][1] == "--no-nvram"
    (warning,) = machine.task.warnings
    assert "No boot entry in the firmware" in warning


def test_a_failure_is_said_in_grubs_words(machine, esp, tmp_path):
    broken = replace(esp, disk=tmp_path / "broken")
    with pytest.raises(ProviderError, match="error: cannot find a device for /broken"):
        Grub().boot_install(broken, Firmware.BIOS, machine.task)


@pytest.mark.parametrize(
    ("firmware", "target", "package"),
    [
        (Firmware.BIOS, "i386-pc", "grub-pc-bin"),
        (Firmware.UEFI, "x86_64-efi", "grub-efi-amd64-bin"),
    ],
)
def test_a_target_that_is_not_installed(machine, esp, firmware, target, package):
    (install._MODULES / target / "modinfo.sh").unlink()
    with pytest.raises(Unsupported) as caught:
        Grub().boot_install(esp, firmware, machine.task)
    assert package in caught.value.hint
    assert machine.argv() == []
