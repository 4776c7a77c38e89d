"""The machines themselves, with a boot loader that is set up by hand."""

import subprocess
from pathlib import Path

import pytest
from servers.machines.computer import Computer
from servers.machines.kernels import boot_kernels
from servers.machines.power import CONSOLE

from pvefw.api import Firmware

pytestmark = [pytest.mark.xdist_group("machines"), pytest.mark.timeout(900)]

_BY_HAND = """
sgdisk -a1 -n1:34:2047 -t1:EF02 -n2:2048:+512M -t2:EF00 -n3:0:0 /dev/vda
udevadm settle
mkfs.vfat -F32 /dev/vda2
udevadm settle
test -b /dev/disk/by-uuid/*
mount -t vfat /dev/vda2 /mnt
bootctl --esp-path=/mnt install
cp /boot/*-{version} /mnt
cat >/mnt/loader/entries/only.conf <<END
linux /vmlinuz-{version}
initrd /initrd.img-{version}
options {options}
END
"""


def test_what_is_made_in_a_workshop_boots(tmp_path):
    kernel = boot_kernels()[-1]
    computer = Computer.new(tmp_path / "computer", Firmware.UEFI, disks=1)
    with computer.workshop() as shop:
        assert shop.fail("systemd-detect-virt --container") == "none\n"
        assert shop.run("pvefw --version").startswith("pvefw ")
        shop.install_kernel(kernel)
        shop.run(_BY_HAND.format(version=kernel.version, options=f"{CONSOLE} by=hand"))
        assert "Linux Boot Manager" in shop.run("efibootmgr -v")
        shop.run("umount /mnt")
        assert shop.bytes_written(0) > kernel.image.stat().st_size
        shop.switch_off()

    boots = computer.power_on()

    assert boots.kernels == [kernel.version]
    assert boots.last.cmdline.endswith(f"{CONSOLE} by=hand")
    assert not boots.last.panics


def test_what_goes_wrong_is_seen(tmp_path):
    computer = Computer.new(tmp_path / "computer", Firmware.BIOS)
    with computer.workshop() as shop:
        shop.run("mkfs.vfat -F32 /dev/vda && mount -t vfat /dev/vda /mnt && echo 1 >/mnt/a && sync")
        with shop.frozen():
            before = computer.copy(tmp_path / "before")
        shop.break_disk(0)
        assert "Input/output error" in shop.fail("echo 2 >/mnt/b; sync -f /mnt")
        shop.run("mkfs.vfat -F32 /dev/vdb")
        shop.mend_disk(0)
        shop.run("umount /mnt; mount -t vfat /dev/vda /mnt && echo 3 >/mnt/c && sync")
        shop.begin("echo begun; sleep 600")
        shop.wait_for("begun")
        shop.kill()
    assert _files(before.disks[0]) == {"a"}
    assert _files(computer.disks[0]) >= {"a", "c"}


def _files(image: Path) -> set[str]:
    listed = subprocess.run(
        ["mdir", "-b", "-i", image, "::"], capture_output=True, text=True, check=True
    )
    return {line.removeprefix("::/").lower() for line in listed.stdout.split()}
