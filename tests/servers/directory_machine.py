"""A machine whose ESPs are directories: everything but the mount is as on a real one."""

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from pvefw.boot.disks import BIOS_BOOT_TYPE, ESP_TYPE, Device, Devices
from pvefw.core.errors import StoreError
from pvefw.host.fat import Volume


@dataclass
class DirectoryMount:
    path: Path
    writable: bool = False
    read_only: bool = False

    def make_writable(self):
        if self.read_only:
            raise StoreError("cannot be mounted for writing: Read-only file system")
        self.writable = True


@dataclass
class DirectoryMachine:
    """ESPs are directories below one; the kernel's count of writes is what stat(2) says of the tree."""

    directory: Path
    repaired: list = field(default_factory=list)
    read_only: set = field(default_factory=set)
    mounts: list = field(default_factory=list)
    boots: int = 1
    dirty: set = field(default_factory=set)
    """ESPs that were not unmounted."""
    kinds: dict = field(default_factory=dict)
    """ESPs that are not FAT32."""
    has_fsck: bool = True

    def add(self, uuid, disk=None, fstype="vfat"):
        """A new, empty ESP on a disk of its own: ``sda2``, ``sdb2``."""
        (self.directory / uuid).mkdir(parents=True)
        return self.path_of(uuid)

    def path_of(self, uuid):
        at = sorted(path.name for path in self.directory.iterdir()).index(uuid)
        return Path(f"/dev/sd{'abcdef'[at]}2")

    def devices(self):
        found = []
        uuids = (
            sorted(path.name for path in self.directory.iterdir())
            if self.directory.exists()
            else []
        )
        for at, uuid in enumerate(uuids):
            disk = f"sd{'abcdef'[at]}"
            found += [
                Device(Path(f"/dev/{disk}"), disk, "disk", 8 << 30, table="gpt"),
                Device(
                    Path(f"/dev/{disk}1"),
                    f"{disk}1",
                    "part",
                    1 << 20,
                    disk,
                    partition_type=BIOS_BOOT_TYPE,
                    table="gpt",
                ),
                Device(
                    Path(f"/dev/{disk}2"),
                    f"{disk}2",
                    "part",
                    512 << 20,
                    disk,
                    "vfat",
                    uuid,
                    ESP_TYPE,
                    "gpt",
                ),
            ]
        return Devices(found)

    @contextlib.contextmanager
    def mounted(self, device):
        mount = DirectoryMount(
            self.directory / device.uuid, read_only=device.uuid in self.read_only
        )
        self.mounts.append(mount)
        yield mount

    def privately(self, work, task):
        return work()

    def seal(self, device):
        tree = [
            (path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
            for path in sorted((self.directory / device.uuid).rglob("*"))
            for stat in [os.lstat(path)]
        ]
        return f"{self.boots} {hash(str(tree))}"

    def file_system(self, device):
        return Volume(self.kinds.get(device.uuid, "FAT32"), device.uuid in self.dirty)

    def repair(self, device):
        self.repaired.append(device.uuid)
        if self.has_fsck:
            self.dirty.discard(device.uuid)
        return ""
