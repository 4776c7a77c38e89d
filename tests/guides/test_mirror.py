"""A disk of a mirror is replaced as the page says: the real sgdisk on images of two disks."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from boot.conftest import HostTree
from environments import ROOT
from guides.reader import Reader
from privileges import only_root
from servers.bootctl import write_bootctl
from servers.directory_machine import DirectoryMachine

HERE = Path(__file__).parent
GOOD, FAILED, NEW = "D363-2CED", "D3B4-5C44", "E1F0-77A2"
BOOT_ORDER = "BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c"


def partitions(disk):
    """What each partition is, and its id."""
    shown = [
        subprocess.run(["sgdisk", "-i", str(at), disk], capture_output=True, text=True, check=True)
        for at in (1, 2, 3)
    ]
    ids = [re.search(r"unique GUID: (\S+)", answer.stdout)[1] for answer in shown]
    return [answer.stdout.replace(id_, "") for answer, id_ in zip(shown, ids, strict=True)], ids


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def host(tmp_path):
    """Two ESPs and images of two disks. The second disk is another one from now on, and empty."""
    HostTree(tmp_path / "root")
    (tmp_path / "root/sys/firmware/efi").mkdir()
    for name in ("efivars", "bin", "disks"):
        (tmp_path / name).mkdir()
    (tmp_path / "efivars" / BOOT_ORDER).write_bytes(b"\7" * 6)
    write_bootctl(tmp_path / "bin", tmp_path / "folder")
    script(tmp_path / "bin/pvefw", f'exec {sys.executable} {HERE / "boot_host.py"} {tmp_path} "$@"')
    sgdisk = shutil.which("sgdisk")
    renamed = f"$(echo \"$@\" | sed 's,/dev/,{tmp_path}/disks/,g')"
    of_images = "grep -v -e Warning: -e 'new table' -e partprobe"  # no kernel uses them
    script(tmp_path / "bin/sgdisk", f"{sgdisk} {renamed} | {of_images}")
    script(tmp_path / "bin/zpool", "exit 0")
    for disk in ("sda", "sdb"):
        with (tmp_path / "disks" / disk).open("wb") as image:
            image.truncate(1 << 30)
    scheme = ["-n1:34:2047", "-t1:EF02", "-n2:1M:+512M", "-t2:EF00", "-n3:0:0", "-t3:BF01"]
    subprocess.run(
        [sgdisk, "-a1", *scheme, tmp_path / "disks/sda"], check=True, capture_output=True
    )
    return tmp_path


@only_root("mounts file systems")
def test_a_failed_disk(host):
    machine = DirectoryMachine(host / "esps")
    for uuid in (GOOD, FAILED):
        machine.add(uuid)

    def tables_are_alike():
        (good, good_ids), (new, new_ids) = (
            partitions(host / f"disks/{disk}") for disk in ("sda", "sdb")
        )
        assert new == good
        assert set(new_ids).isdisjoint(good_ids)

    Reader(
        ROOT / "docs/mirror.md",
        host,
        prepared=f"pvefw boot init /dev/sda2; pvefw boot init /dev/sdb2; rm -r {host}/esps/{FAILED}",
        meanwhile=[("zpool", tables_are_alike), ("pvefw boot init", f"mkdir {host}/esps/{NEW}")],
        leaves_out={
            "mdadm": "it needs a kernel's RAID",
            "pvefw boot format": "tests/machines formats disks",
        },
        fails=("pvefw boot init",),
    ).read()
