"""File systems of ESPs: not FAT32, and not unmounted."""

import subprocess

import pytest
from boot.conftest import UUIDS

from pvefw.api import Firmware
from pvefw.boot import refresh, registry, status
from pvefw.boot.disks import Device
from pvefw.boot.machine import Host
from pvefw.host.fat import Volume
from pvefw.store.paths import Paths
from pvefw.testing.fakes import FakeTask

STATE = {"12": 37, "16": 37, "32": 65}
SIZES = {"12": 2 << 20, "16": 32 << 20, "32": 64 << 20}


@pytest.fixture(params=["12", "16", "32"])
def bits(request):
    return request.param


@pytest.fixture
def image(tmp_path, bits):
    path = tmp_path / "esp.img"
    with path.open("wb") as file:
        file.truncate(SIZES[bits])
    subprocess.run(["mkfs.vfat", "-F", bits, path], check=True, capture_output=True)
    return path


def mark(image, bits):
    with image.open("r+b") as file:
        file.seek(STATE[bits])
        file.write(b"\1")


def test_a_real_file_system_says_what_it_is(image, bits, tmp_path):
    device = Device(image, "loop0", "loop", SIZES[bits], fstype="vfat")
    host = Host(Paths(tmp_path, "pve1"))
    assert host.file_system(device) == Volume(f"FAT{bits}", dirty=False)
    mark(image, bits)
    assert host.file_system(device) == Volume(f"FAT{bits}", dirty=True)
    assert host.repair(device) != ""
    assert host.file_system(device) == Volume(f"FAT{bits}", dirty=False)


def test_what_is_mounted_is_not_asked(image, bits, tmp_path):
    mark(image, bits)
    device = Device(image, "loop0", "loop", SIZES[bits], mountpoints=["/efi"])
    assert Host(Paths(tmp_path, "pve1")).file_system(device) is None


@pytest.mark.parametrize("data", [b"", b"x" * 511, b"x" * 512])
def test_another_file_system_says_nothing(data, tmp_path):
    (tmp_path / "disk").write_bytes(data)
    host = Host(Paths(tmp_path, "pve1"))
    assert host.file_system(Device(tmp_path / "disk", "sda", "disk", 512)) is None
    assert host.file_system(Device(tmp_path / "gone", "sdb", "disk", 512)) is None


def test_an_esp_that_was_not_unmounted_is_told_and_checked(ready, machine):
    machine.dirty.add(UUIDS[0])
    first, second = status.status(ready()).esps
    assert (first.state, second.state) == ("drift", "ok")
    assert first.problems == [
        "it was not unmounted cleanly; to check and repair it: pvefw boot refresh"
    ]
    assert machine.repaired == []

    task = FakeTask()
    refresh.refresh(ready(task=task))

    assert machine.repaired == [UUIDS[0]]
    assert task.warnings == []
    assert "it was not unmounted cleanly; checking the file system" in "\n".join(task.lines)
    assert status.status(ready()).ok


def test_after_a_check_all_is_read_again(ready, machine, monkeypatch):
    """What a damaged file system has done to a kernel is seen, whatever is remembered of it."""
    machine.dirty.add(UUIDS[0])
    monkeypatch.setattr(machine, "seal", lambda _device: "as before")
    refresh.refresh(ready())
    [kernel, *_] = sorted((machine.directory / UUIDS[0]).rglob("vmlinuz-*"))
    kernel.write_bytes(b"x" * kernel.stat().st_size)
    machine.dirty.add(UUIDS[0])
    refresh.refresh(ready())
    assert status.status(ready()).ok


def test_an_esp_that_cannot_be_checked_is_a_warning(ready, machine):
    machine.dirty.add(UUIDS[0])
    machine.has_fsck = False
    task = FakeTask()
    refresh.refresh(ready(task=task))
    [warning] = task.warnings
    assert warning.endswith("could not be checked: fsck.vfat -a /dev/sda2 (package dosfstools)")


@pytest.mark.parametrize(
    ("kind", "uefi", "warned"),
    [("FAT32", True, False), ("FAT16", True, True), ("FAT12", True, True), ("FAT16", False, False)],
)
def test_init_warns_of_what_some_firmware_does_not_start(
    context, machine, host, plain, kind, uefi, warned
):
    machine.kinds[UUIDS[0]] = kind
    if uefi:
        (host.root / "sys/firmware/efi").mkdir()
        plain.firmware = Firmware.UEFI
    task = FakeTask()
    registry.init(context(task=task), machine.path_of(UUIDS[0]), "plain")
    assert [f"it is {kind}, and some firmware" in line for line in task.warnings] == [True] * warned
    assert status.status(context()).ok
