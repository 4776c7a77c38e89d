"""A host without synced ESPs: GRUB reads its menu from /boot, and Debian's own update-grub writes it."""

from functools import partial

import pytest

from pvefw.api import Firmware

pytestmark = [pytest.mark.xdist_group("grub"), pytest.mark.timeout(900)]

_ROOT = "/run/system"
_MAKE_ROOT = f"""
set -e
sgdisk -n1:2048:+1M -t1:EF02 -n2:0:0 /dev/vda
udevadm settle
mkfs.ext4 -q /dev/vda2
mount --mkdir /dev/vda2 {_ROOT}
cd {_ROOT}
mkdir -p dev proc run sys tmp usr var/lib var/log
cp -a /etc /boot .
for folder in bin sbin lib lib64; do ln -s usr/$folder; done
for folder in dev proc sys run usr; do mount --rbind /$folder $folder; done
mkdir -p .$PWD_OF_PVEFW
mount --rbind $PWD_OF_PVEFW .$PWD_OF_PVEFW
rm -f etc/default/grub.d/*
chroot . grub-install --target=i386-pc /dev/vda
chroot . update-grub
"""
"""A root file system on a disk of its own, with this machine's programs; as GRUB's tools see it."""


def test_pins_of_a_host_without_synced_esps(kernels, new_computer, checkout, tmp_path):
    _newest, middle, oldest = (kernel.version for kernel in kernels)
    computer = new_computer(tmp_path / "computer", Firmware.BIOS, kernels, disks=1)
    with computer.workshop() as shop:
        in_root = partial("chroot {} {}".format, _ROOT)
        shop.run(f"PWD_OF_PVEFW={checkout}\n{_MAKE_ROOT}")
        shop.run(in_root(f"pvefw boot kernel pin {middle}"))
        shop.run(in_root(f"pvefw boot kernel pin {oldest} --next-boot"))
        shop.switch_off()

    assert computer.power_on().kernels == [oldest]
    assert computer.power_on().kernels == [middle]
