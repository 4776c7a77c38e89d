"""The machines themselves, with a boot loader that is set up by hand."""

import pytest
from servers.machines.kernels import boot_kernels
from servers.machines.power import CONSOLE, new_variables, power_on
from servers.machines.workshop import workshop

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
    disk, variables = tmp_path / "disk", new_variables(tmp_path / "variables")
    with disk.open("wb") as image:
        image.truncate(700 << 20)
    with workshop(tmp_path / "workshop", [disk], variables) as shop:
        assert shop.fail("systemd-detect-virt --container; false") == "none\n"
        assert shop.run("pvefw --version").startswith("pvefw ")
        shop.install_kernel(kernel)
        shop.run(_BY_HAND.format(version=kernel.version, options=f"{CONSOLE} by=hand"))
        assert "Linux Boot Manager" in shop.run("efibootmgr -v")
        shop.run("umount /mnt")
        assert shop.bytes_written(0) > kernel.image.stat().st_size
        shop.switch_off()

    boots = power_on([disk], variables)

    assert boots.kernels == [kernel.version]
    assert boots.last.cmdline.endswith(f"{CONSOLE} by=hand")
    assert not boots.last.panics
