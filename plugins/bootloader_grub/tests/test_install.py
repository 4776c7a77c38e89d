"""How grub-install is called; ``tests/machines`` runs the real one."""

from dataclasses import dataclass, field, replace

import pytest

from pvefw.api import Firmware, ProviderError, Unsupported
from pvefw.testing.fakes import FakeTask
from pvefw_bootloader_grub import Grub, nvram, platforms


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
esac
echo "Installation finished. No error reported." >&2
"""
    )
    (programs / "grub-install").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(platforms, "MODULES", modules)
    monkeypatch.setattr(platforms, "SHIMS", tmp_path / "shim")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(nvram, "_VARIABLES", tmp_path / "efivars")
    monkeypatch.setattr(nvram, "_BLOCK_DEVICES", tmp_path / "block")
    return Machine(calls)


def sign():
    """Let this host have signed images."""
    for image in platforms.uefi().signed:
        image.parent.mkdir(parents=True)
        image.write_text("signed")


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


def test_the_signed_image_for_any_machine_finds_its_menu(machine, esp):
    sign()
    own = esp.mountpoint / "EFI/proxmox/grub.cfg"  # as grub-install writes it
    own.parent.mkdir(parents=True)
    own.write_text("configfile $prefix/grub.cfg\n")
    Grub().boot_install(esp, Firmware.UEFI, machine.task)
    assert (esp.mountpoint / "EFI/BOOT/grub.cfg").read_bytes() == own.read_bytes()


def test_uefi_with_signed_images(machine, esp):
    sign()
    Grub().boot_install(esp, Firmware.UEFI, machine.task)
    (argv,) = machine.argv()
    assert argv[-2:] == ["--uefi-secure-boot", "--no-nvram"]


def test_uefi_of_another_processor(machine, esp, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(Unsupported) as caught:
        Grub().boot_install(esp, Firmware.UEFI, machine.task)
    assert "grub-efi-arm64-bin" in caught.value.hint
    (platforms.MODULES / "arm64-efi").mkdir()
    (platforms.MODULES / "arm64-efi/modinfo.sh").write_text("")
    Grub().boot_install(esp, Firmware.UEFI, machine.task)
    (argv,) = machine.argv()
    assert argv[0] == "--target=arm64-efi"
    assert argv[-2:] == ["--no-uefi-secure-boot", "--no-nvram"]


# --- the firmware's boot entries

_PARTITION = "FDAF6FBB-9076-904f-878f-d90d74c0b379"


@pytest.fixture
def firmware(machine, esp, tmp_path):
    """EFI variables with a program that keeps entries in a file."""
    (tmp_path / "efivars").mkdir()
    (tmp_path / "efivars/BootOrder-8be4df61").write_text("")
    (tmp_path / "block" / esp.device.name).mkdir(parents=True)
    (tmp_path / "block" / esp.device.name / "partition").write_text("2\n")
    (esp.mountpoint / "EFI/proxmox").mkdir(parents=True)
    (esp.mountpoint / "EFI/proxmox/grubx64.efi").write_text("GRUB")
    entries = tmp_path / "entries"
    entries.write_text("BootOrder: 0000\nBoot0000* UiApp\n")
    programs = {
        "lsblk": f"echo {_PARTITION}",
        "efibootmgr": f"""
case "$1" in
--verbose) cat {entries} ;;
--bootorder) sed -i "s/^BootOrder: .*/BootOrder: $2/" {entries} ;;
--bootnum) sed -i "s/^Boot$2 /Boot$2* /" {entries} ;;
*) sed -i 's/^BootOrder: /BootOrder: 0001,/' {entries}
   [ -e {tmp_path}/full ] && {{ echo 'No space left on device' >&2; exit 5; }}
   echo "Boot0001* proxmox HD(2,GPT,{_PARTITION.lower()},0x800)/File($9) $*" >>{entries} ;;
esac""",
    }
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    return entries


def test_an_entry_is_added_once_and_no_other_goes(firmware, machine, esp):
    for _ in range(2):
        Grub().boot_install(esp, Firmware.UEFI, machine.task)
    order, first, second = firmware.read_text().splitlines()
    assert (order, first) == ("BootOrder: 0001,0000", "Boot0000* UiApp")
    assert second.endswith(
        rf"--create --disk {esp.disk} --part 2 --label proxmox --loader \EFI\proxmox\grubx64.efi"
    )
    assert machine.task.warnings == []


@pytest.mark.parametrize(
    ("order", "mark"),
    [("0001,0000", ""), ("0000", "*"), ("0000", "")],
    ids=["inactive", "not in the order", "neither"],
)
def test_an_entry_that_the_firmware_passes_over_is_put_to_use(firmware, machine, esp, order, mark):
    entry = rf"proxmox HD(2,GPT,{_PARTITION.lower()},0x800)/File(\EFI\proxmox\grubx64.efi)"
    firmware.write_text(f"BootOrder: {order}\nBoot0000* UiApp\nBoot0001{mark} {entry}\n")
    Grub().boot_install(esp, Firmware.UEFI, machine.task)
    assert firmware.read_text().splitlines() == [
        "BootOrder: 0001,0000",
        "Boot0000* UiApp",
        f"Boot0001* {entry}",
    ]
    assert machine.task.warnings == []


def test_the_entry_starts_shim_where_it_is(firmware, machine, esp):
    (esp.mountpoint / "EFI/proxmox/shimx64.efi").write_text("shim")
    Grub().boot_install(esp, Firmware.UEFI, machine.task)
    assert firmware.read_text().endswith("\\EFI\\proxmox\\shimx64.efi\n")


def test_the_entry_starts_the_image_for_this_processor(firmware, machine, esp, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    nvram.register(esp, machine.task)
    assert firmware.read_text().endswith("\\EFI\\proxmox\\grubaa64.efi\n")


def test_variables_that_cannot_be_written_are_a_warning(firmware, machine, esp, tmp_path):
    (tmp_path / "full").write_text("")
    Grub().boot_install(esp, Firmware.UEFI, machine.task)
    (warning,) = machine.task.warnings
    assert warning.endswith("has to find it itself: No space left on device")


def test_a_partition_without_an_identifier_is_a_warning(firmware, machine, esp, tmp_path):
    (tmp_path / "bin/lsblk").write_text("#!/bin/sh\n")
    nvram.register(esp, machine.task)
    (warning,) = machine.task.warnings
    assert warning.endswith("find it itself: it is not a partition with an identifier")


def test_an_entry_that_cannot_be_activated_is_a_warning(firmware, machine, esp, tmp_path):
    Grub().boot_install(esp, Firmware.UEFI, machine.task)
    firmware.write_text(firmware.read_text().replace("Boot0001* ", "Boot0001  "))
    program = tmp_path / "bin/efibootmgr"
    refusing = "case $1 in --bootnum) echo 'Read-only file system' >&2; exit 1;; esac"
    program.write_text(program.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\n{refusing}\n"))
    nvram.register(esp, machine.task)
    (warning,) = machine.task.warnings
    assert warning.endswith("has to find it itself: Read-only file system")


def test_without_efibootmgr_it_is_a_warning(firmware, machine, esp, tmp_path, monkeypatch):
    (tmp_path / "bin/efibootmgr").unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    nvram.register(esp, machine.task)
    (warning,) = machine.task.warnings
    assert "efibootmgr is not installed" in warning


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
    (platforms.MODULES / target / "modinfo.sh").unlink()
    with pytest.raises(Unsupported) as caught:
        Grub().boot_install(esp, firmware, machine.task)
    assert package in caught.value.hint
    assert machine.argv() == []
