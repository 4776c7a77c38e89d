"""What is on a real FAT the moment after a file was replaced: a directory's fsync alone leaves it out."""

import subprocess

import pytest
from servers.machines.workshop import workshop

pytestmark = [pytest.mark.xdist_group("systemd-boot"), pytest.mark.timeout(900)]

_REPLACE = """
from pathlib import Path, PurePosixPath

from pvefw.api import replace_file
from pvefw.boot.esp_files import EspFiles

replace_file(Path("/mnt/by-plugin.cfg"), b"new" * {times})
esp, target = EspFiles(Path("/mnt")), PurePosixPath("by-core.cfg")
esp.create(target, [b"new" * {times}])
esp.sync_file(target)
esp.put_in_place(target)
esp.sync(target.parent)
"""


def test_a_replaced_file_has_its_name_and_size_on_the_disk(tmp_path):
    disk = tmp_path / "disk"
    with disk.open("wb") as image:
        image.truncate(64 << 20)
    with workshop(tmp_path / "w", [disk]) as shop:
        shop.run("set -e; mkfs.vfat /dev/vda; mount -t vfat /dev/vda /mnt; sync")
        for times in (10, 20):
            shop.run(f"python3 - <<'END'\n{_REPLACE.format(times=times)}\nEND")
            with shop.frozen():
                listing = ["mdir", "-a", "-i", str(disk), "::"]
                lines = subprocess.check_output(listing, text=True).splitlines()
            files = {line.split()[-1]: int(line.split()[-4]) for line in lines if ".cfg" in line}
            assert files == {"by-plugin.cfg": 3 * times, "by-core.cfg": 3 * times}
