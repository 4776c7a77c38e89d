"""What the firmware's own entries start: ours, another system's, or nothing that is there."""

import dataclasses

import pytest
from boot.conftest import UUIDS
from boot.efivars import variables
from boot.test_firmware import GLOBAL, variable

from pvefw.api import Firmware
from pvefw.boot import status
from pvefw.boot.boot_entries import BootEntries, Judge, OurEsp
from pvefw.boot.disks import Devices

ONE, OTHER, STRANGE, GONE = (f"{digit * 8}-0000-4000-8000-{digit * 12}" for digit in "1234")
LOADER = "efi/systemd/systemd-bootx64.efi"
NAMES = {LOADER, "efi/boot/bootx64.efi", "efi/debian/shimx64.efi", "efi/mine/loader.efi"}


def entry(number, partition, file, label="Linux Boot Manager", mark="*"):
    path = "\\" + file.replace("/", "\\")
    return f"Boot{number}{mark} {label}\tHD(2,GPT,{partition},0x800,0x100000)/File({path})"


PXE = "Boot0009* UEFI PXEv4\tPciRoot(0x0)/Pci(0x3,0x0)/MAC(525400123456,1)/IPv4(0.0.0.0)"
SETUP = "Boot0008* UiApp\tFvVol(7cb8bdc9)/FvFile(462caa21)"
DISK = "Boot0007* UEFI QEMU HARDDISK\tPciRoot(0x0)/Pci(0x5,0x0)/Scsi(0x0,0x0)"
OURS = entry("0001", ONE, "EFI/systemd/systemd-bootx64.efi")
SECOND = entry("0002", OTHER, "EFI/systemd/systemd-bootx64.efi")
WINDOWS = entry("0005", STRANGE, "EFI/Microsoft/Boot/bootmgfw.efi", "Windows Boot Manager")
DEBIAN = entry("0006", ONE, "EFI/debian/shimx64.efi", "debian")


def lines(order, *entries, once="", esps=None, there=(ONE, OTHER, STRANGE)):
    text = "\n".join(["BootCurrent: 0001", once, f"BootOrder: {order}", *entries])
    known = [OurEsp(ONE, NAMES), OurEsp(OTHER, NAMES)] if esps is None else esps
    return Judge(BootEntries.read(variables(text)), known, there).lines()


@pytest.mark.parametrize(
    ("order", "entries"),
    [
        ("0001,0002", [OURS, SECOND]),
        ("0001", [OURS]),  # the second disk starts by itself
        ("0009,0008,0007,0001", [PXE, SETUP, DISK, OURS]),  # these may have nothing to start
        ("0007,0008", [DISK, SETUP]),
        ("0001,0005,0006", [OURS, WINDOWS, DEBIAN]),  # others behind ours
        ("0001", [entry("0001", ONE, "EFI/BOOT/BOOTX64.EFI")]),
        ("0001", [entry("0001", ONE, "efi/SYSTEMD/Systemd-bootx64.efi")]),
        ("0001", [f"Boot0001* Linux\tHD(2,GPT,{ONE},0x800,0x100000)"]),
        ("0003,0001", [OURS]),  # a number without an entry
        ("0005,0001", [WINDOWS.replace("*", "", 1), OURS]),
    ],
)
def test_what_starts_us_is_well(order, entries):
    assert lines(order, *entries) == []


@pytest.mark.parametrize(
    ("first", "who"),
    [(WINDOWS, "Boot0005 (Windows Boot Manager)"), (DEBIAN, "Boot0006 (debian)")],
)
def test_another_systems_entry_before_ours_is_told(first, who):
    number = who[4:8]
    said = f"the firmware starts {who} first, which is no boot loader of pvefw's: "
    assert lines(f"{number},0009,0001,0002", first, PXE, OURS, SECOND) == [
        f"{said}efibootmgr -o 0001,0002,{number},0009"
    ]
    assert lines(f"0009,{number},0001", PXE, first, OURS) == [
        f"{said}efibootmgr -o 0001,0009,{number}"
    ]


def test_another_systems_entry_and_none_for_us_is_told():
    [said] = lines("0009,0005", PXE, WINDOWS)
    assert said.startswith("the firmware starts Boot0005 (Windows Boot Manager) first")
    assert said.endswith("and has no entry for an ESP: pvefw boot reinit")


def test_an_entry_before_ours_that_leads_nowhere_is_passed_over():
    lost = entry("0005", GONE, "EFI/Microsoft/Boot/bootmgfw.efi", "Windows")
    removed = entry("0006", ONE, "EFI/gone/shimx64.efi", "gone")
    assert lines("0005,0006,0001", lost, removed, OURS) == []


def test_an_entry_whose_file_is_gone_is_told():
    gone = entry("0003", ONE, "EFI/proxmox/grubx64.efi", "proxmox")
    [said] = lines("0003,0002", gone, SECOND)
    assert rf"Boot0003 of {ONE} names \EFI\proxmox\grubx64.efi, which is not there" in said
    assert said.endswith("pvefw boot reinit")
    assert lines("0003,0001", gone, OURS) == [], "another one leads to the same ESP"
    not_looked_at = [OurEsp(ONE), OurEsp(OTHER)]
    assert lines("0003,0002", gone, SECOND, esps=not_looked_at) == []


def test_an_entry_for_a_partition_that_is_gone_is_told():
    lost = entry("0003", GONE, "EFI/proxmox/shimx64.efi", "proxmox")
    said = "firmware entry Boot0003 (proxmox) names a partition that is not there: efibootmgr -b 0003 -B"
    assert lines("0003,0001", lost, OURS) == [said]
    assert lines("0003,0001", lost.replace("*", "", 1), OURS) == [], "it is passed over anyway"
    missing = [OurEsp(ONE, NAMES), OurEsp("")]
    assert lines("0003,0001", lost, OURS, esps=missing) == [], "its disk may come back"


@pytest.mark.parametrize(
    ("order", "mark", "said"),
    [
        ("0002,0001,0006", "", "is inactive: efibootmgr -b 0001 -a"),
        ("0002,0006", "*", "is not in BootOrder: efibootmgr -o 0002,0006,0001"),
    ],
)
def test_an_entry_of_ours_beside_one_of_another_system_on_the_same_esp(order, mark, said):
    """That the other one is in use does not start ours."""
    ours = entry("0001", ONE, "EFI/systemd/systemd-bootx64.efi", mark=mark)
    assert lines(order, ours, SECOND, DEBIAN) == [f"firmware entry Boot0001 of {ONE} {said}"]


@pytest.mark.parametrize(
    ("number", "told"),
    [
        ("0001", False),
        ("0003", False),  # its file is gone, so that the order decides
        ("0005", True),
        ("0006", True),  # on an ESP of ours, and another system's
    ],
)
def test_what_the_firmware_starts_once(number, told):
    gone = entry("0003", ONE, "EFI/gone/loader.efi")
    found = lines("0001", OURS, gone, WINDOWS, DEBIAN, once=f"BootNext: {number}")
    assert [line for line in found if "once; to prevent that: efibootmgr -N" in line] == found
    assert bool(found) is told


def test_a_loader_in_a_folder_of_its_own_is_ours_by_the_manifest():
    mine = entry("0004", ONE, "EFI/mine/loader.efi", "mine")
    ours = [OurEsp(ONE, NAMES, ["efi/mine/loader.efi"])]
    assert lines("0004", mine, esps=ours) == []
    [said] = lines("0004", mine)
    assert "Boot0004 (mine) first" in said


def test_without_identifiers_of_partitions_nothing_is_said():
    assert lines("0005", WINDOWS, esps=[OurEsp("")], there=()) == []
    assert lines("0005", WINDOWS, esps=[]) == []


def test_status_looks_at_the_files_on_the_esps(ready, host, machine, plain, monkeypatch):
    """The entries of a host whose loader lies in ``plain``, and of a file that is not there."""
    plain.firmware = Firmware.UEFI
    devices = machine.devices()
    identified = [
        dataclasses.replace(device, partition_uuid=part)
        if (part := dict(zip(UUIDS, (ONE, OTHER), strict=True)).get(device.uuid))
        else device
        for device in devices
    ]
    monkeypatch.setattr(machine, "devices", lambda: Devices(identified))
    text = "\n".join(["BootOrder: 0001,0003", OURS, entry("0003", OTHER, "plain/loader", "plain")])
    for name, value in variables(text).items():
        variable(host, name, GLOBAL, value)
    found = status.status(ready())
    assert f"Boot0001 of {ONE} names \\EFI\\systemd\\systemd-bootx64.efi, which is not there" in (
        "\n".join(found.problems)
    )
    assert len(found.problems) == 1
    assert not found.ok


@pytest.mark.parametrize("length", [0, 1, 5, 6, 7, 40, 46, 50, 80, 100])
def test_a_variable_that_is_cut_off_is_no_entry_or_names_less(length):
    [(name, value)] = variables(WINDOWS).items()
    found = BootEntries.read({name: value[:length], "BootOrder": b"\5\0\1", "BootNext": b"\1"})
    assert found.order == ["0005"]
    assert found.once == ""
    assert all(entry.label in "Windows Boot Manager" for entry in found.entries.values())


def test_a_node_without_a_size_ends_a_path():
    value = b"\1\0\0\0\x08\0M\0\0\0" + b"\4\1\0\0" * 2
    assert BootEntries.read({"Boot0001": value}).entries["0001"].partition == ""
