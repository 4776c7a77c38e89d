"""Disks: what lsblk says of them, and what may be done to them."""

import json
import subprocess
from pathlib import Path

import pytest

from pvefw.boot import disks, mounts, prepare
from pvefw.boot.disks import BIOS_BOOT_TYPE, ESP_TYPE
from pvefw.core.errors import NotFound, ProgramError, StoreError, UsageError
from pvefw.host import programs
from pvefw.host.programs import Completed
from pvefw.testing.fakes import FakeTask

MIB = 1 << 20


def row(name, **values):
    """A line of ``lsblk --json --bytes --list``."""
    return {
        "path": f"/dev/{name}",
        "kname": name,
        "pkname": None,
        "type": "part",
        "size": 512 * MIB,
        "fstype": None,
        "uuid": None,
        "parttype": None,
        "pttype": "gpt",
        "mountpoints": [None],
        "log-sec": 512,
        "ro": False,
        "partlabel": None,
        **values,
    }


ROWS = [
    row("sda", type="disk", size=8 << 30),
    row("sda1", pkname="sda", size=1007 << 10, parttype=BIOS_BOOT_TYPE),
    row("sda2", pkname="sda", parttype=ESP_TYPE.upper(), fstype="vfat", uuid="ABCD-1234"),
    row("sda3", pkname="sda", size=7 << 30, fstype="linux_raid_member"),
    row("md0", pkname="sda3", type="raid1", size=7 << 30, fstype="ext4", mountpoints=["/"]),
    row("sdb", type="disk", size=8 << 30),
    row("sdb1", pkname="sdb", parttype=ESP_TYPE),
    row("sdb2", pkname="sdb", parttype=ESP_TYPE, size=255 * MIB),
    row("sdb3", pkname="sdb", parttype="0fc63daf-8483-4772-8e79-3d69d8477de4"),
    row("sdb4", pkname="sdb", size=7 << 30, fstype="linux_raid_member"),
    row("md0", pkname="sdb4", type="raid1", size=7 << 30, fstype="ext4", mountpoints=["/"]),
    row("sdc", type="disk", size=8 << 30, pttype=None),
    row("sdd", type="disk", size=1 << 29, pttype=None),
    row("sde", type="disk", size=8 << 30, pttype=None, ro=True),
    row("sdf", type="disk", size=8 << 30, fstype="zfs_member", pttype=None),
    row("sdg", type="disk", size=8 << 30, pttype=None, fstype="ext4", mountpoints=["/srv"]),
    row("sdh", type="disk", size=8 << 30),
    row("sdi", type="disk", size=8 << 30),
    row(
        "sdh1",
        pkname="sdh",
        parttype=ESP_TYPE,
        fstype="vfat",
        uuid="BEEF-0001",
        mountpoints=["/efi"],
    ),
]


@pytest.fixture(autouse=True)
def _nothing_is_held(monkeypatch):
    """The devices are not there to be opened."""
    monkeypatch.setattr(prepare, "_held_by_the_kernel", lambda _path: False)


@pytest.fixture
def devices():
    return disks.parse(json.dumps({"blockdevices": ROWS}))


def test_what_lsblk_says(devices):
    (esp,) = devices.with_uuid("abcd-1234")
    assert (esp.path, esp.partition_type, esp.is_partition) == (Path("/dev/sda2"), ESP_TYPE, True)
    disk = devices.disk_of(esp)
    assert disk.path == Path("/dev/sda")
    assert [part.kname for part in devices.parts_of(disk)] == ["sda1", "sda2", "sda3"]
    assert devices.find(Path("/dev/sda3")).users == ["md0"]
    assert devices.find(Path("/dev/md0")).mountpoints == ["/"]
    assert devices.with_uuid("FFFF-0000") == []
    with pytest.raises(NotFound, match="no such block device"):
        devices.find(Path("/dev/sdz"))


def test_a_disk_is_found_by_a_link_to_it(devices, tmp_path):
    link = tmp_path / "by-id"
    link.symlink_to("/dev/sda2")
    assert devices.find(link).kname == "sda2"


def test_this_machines_own_devices_are_understood():
    assert all(device.kname and device.size >= 0 for device in disks.read())


def test_what_is_no_list_is_an_error():
    for text in ("", "{}", "[]", "lsblk: failed"):
        with pytest.raises(ProgramError, match="lsblk printed no list"):
            disks.parse(text)


@pytest.mark.parametrize(
    ("device", "force", "said"),
    [
        ("sda", True, "not a partition but a disk"),
        ("md0", True, "not a partition but a raid1"),
        ("sda2", False, "there is a file system on it already (vfat)"),
        ("sda3", True, "in use by md0"),
        ("sdb2", True, "too small: 255.0 MiB, an ESP needs 256.0 MiB"),
        ("sdb3", False, "not an EFI system partition by its type (0fc63daf"),
        ("sdh1", True, "mounted on /efi"),
    ],
)
def test_format_refuses(devices, device, force, said):
    with pytest.raises(UsageError) as caught:
        prepare.check_format(devices, Path("/dev", device), force=force)
    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(("device", "force"), [("sdb1", False), ("sdb3", True), ("sda2", True)])
def test_format_says_what_it_will_do(devices, device, force):
    planned = prepare.check_format(devices, Path("/dev", device), force=force)
    assert planned.lines[0] == f"/dev/{device}: 512.0 MiB, make a FAT32 file system on it"
    assert len(planned.lines) == (2 if device == "sda2" else 1)


@pytest.mark.parametrize(
    ("device", "force", "said"),
    [
        ("sda", True, "/dev/sda3: it is in use by md0"),
        ("sdb1", True, "not a disk but a part"),
        ("sdi", False, "a partition table (gpt)"),
        ("sdd", True, "too small"),
        ("sde", True, "write-protected"),
        ("sdf", False, "zfs_member on it"),
        ("sdg", True, "it is in use"),
        ("sdh", True, "/dev/sdh1: it is mounted on /efi"),
    ],
)
def test_partition_refuses(devices, device, force, said):
    with pytest.raises(UsageError) as caught:
        prepare.check_partition(devices, Path("/dev", device), force=force)
    assert said in caught.value.message


def test_what_udev_has_not_told_is_looked_for_on_the_disk_itself(tmp_path):
    """In a chroot of a rescue system, lsblk knows of no partition table, and of no file system."""
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(2 << 30)
    disk = disks.Device(image, "sdx", "disk", 2 << 30)
    assert prepare.check_partition(disks.Devices([disk]), image, force=False).lines
    subprocess.run(["sfdisk", str(image)], input="label: gpt\n", text=True, check=True)
    with pytest.raises(UsageError, match=r"it has a partition table \(gpt\)"):
        prepare.check_partition(disks.Devices([disk]), image, force=False)
    subprocess.run(["mkfs.vfat", "-F", "32", str(image)], check=True, capture_output=True)
    partition = disks.Device(image, "sdx1", "part", 2 << 30, "sdx", partition_type=ESP_TYPE)
    with pytest.raises(UsageError, match=r"a file system on it already \(vfat\)"):
        prepare.check_format(disks.Devices([partition]), image, force=False)


@pytest.mark.parametrize(("device", "force"), [("sdc", False), ("sdf", True)])
def test_partition_says_what_it_will_do(devices, device, force):
    planned = prepare.check_partition(devices, Path("/dev", device), force=force)
    assert "everything on it is lost" in planned.lines[0]


def test_what_the_kernel_holds_is_refused(devices, monkeypatch):
    monkeypatch.setattr(prepare, "_held_by_the_kernel", lambda _path: True)
    with pytest.raises(UsageError, match="it is in use by the kernel"):
        prepare.check_format(devices, Path("/dev/sdb1"), force=True)
    with pytest.raises(UsageError, match="it is in use"):
        prepare.check_partition(devices, Path("/dev/sdf"), force=True)


def test_the_installers_scheme(devices, tmp_path, monkeypatch):
    """Written by sfdisk itself, to an image."""
    monkeypatch.setattr(disks, "settle", lambda: None)
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(2 << 30)
    planned = prepare.check_partition(devices, Path("/dev/sdc"), force=False)
    done = subprocess.run(
        ["sfdisk", str(image)], input=planned.script, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    table = json.loads(subprocess.check_output(["sfdisk", "--json", str(image)]))["partitiontable"]
    found = [
        (partition["start"], partition["size"], partition["type"].lower())
        for partition in table["partitions"]
    ]
    assert table["label"] == "gpt"
    assert found[0] == (34, 2014, BIOS_BOOT_TYPE)
    assert found[1] == (2048, 512 * 2048, ESP_TYPE)
    assert found[2][0] == 2048 + 512 * 2048
    assert found[2][1] > 2 * 2048 * 1024 - 2048 * 515


def test_sectors_of_4096_bytes():
    script = prepare._script(4096)
    assert "first-lba: 6" in script
    assert f"start=6, size=250, type={BIOS_BOOT_TYPE}" in script
    assert f"start=256, size=131072, type={ESP_TYPE}" in script


def test_the_file_system_is_fat32(devices, tmp_path, monkeypatch):
    """Made by mkfs.vfat itself, in an image."""
    image = tmp_path / "esp"
    with image.open("wb") as file:
        file.truncate(300 * MIB)
    monkeypatch.setattr(disks, "settle", lambda: None)
    device = disks.Device(image, "sdb1", "part", 300 * MIB, partition_type=ESP_TYPE)
    task = FakeTask()
    prepare.format_(prepare.Format(device, []), task)
    [line] = task.lines
    uuid = line.removeprefix(f"{image}: FAT32, volume id ")
    assert len(uuid) == 9
    said = programs.run(["blkid", "-p", str(image)]).stdout
    assert 'VERSION="FAT32"' in said
    assert uuid in said


def test_a_program_that_fails_is_named(devices, monkeypatch):
    def fails(argv, **_):
        raise ProgramError("sfdisk failed with status 1: no")

    planned = prepare.check_partition(devices, Path("/dev/sdc"), force=False)
    monkeypatch.setattr(programs, "run", fails)
    with pytest.raises(ProgramError, match="partition: /dev/sdc: sfdisk failed"):
        prepare.partition(planned, FakeTask())


def test_lsblk_is_asked_for_json(monkeypatch):
    asked = []

    def run(argv, **_):
        asked.append(argv)
        return Completed(argv, 0, json.dumps({"blockdevices": ROWS}), "")

    monkeypatch.setattr(programs, "run", run)
    assert disks.read().with_uuid("ABCD-1234")
    assert asked[0][:4] == ["lsblk", "--json", "--bytes", "--list"]


def test_without_a_place_to_mount_it_is_said(tmp_path):
    (tmp_path / "run").write_text("full, or write-protected")
    mount = mounts.mounted(Path("/dev/vda2"), tmp_path / "run/vda2")
    with pytest.raises(StoreError, match="cannot be mounted on"), mount:
        pass
