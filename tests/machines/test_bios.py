"""GRUB, set up in a machine that has a BIOS: what can start it, what cannot, and which kernel boots."""

import re

import pytest

from pvefw.api import Firmware

pytestmark = [pytest.mark.xdist_group("machines of their own"), pytest.mark.timeout(900)]
_SET_UP = """
set -e
pvefw boot partition /dev/vda --yes
pvefw boot format /dev/vda2 --yes
pvefw boot init /dev/vda2
"""
_WITHOUT_BOOT_PARTITION = """
set -e
sgdisk --clear -n1:2048:+600M -t1:EF00 /dev/vdb
udevadm settle
pvefw boot format /dev/vdb1 --yes
"""
_DEFAULT_BY_PLACE = """
set -e
mkdir -p /boot/grub
echo 'set default="1>2"' >/boot/grub/custom.cfg
pvefw boot refresh
"""


def test_grub_in_a_machine_with_bios(new_computer, kernels, tmp_path):
    computer = new_computer(tmp_path / "computer", Firmware.BIOS, kernels)
    with computer.workshop() as shop:
        shop.run(_SET_UP)
        shop.run(_WITHOUT_BOOT_PARTITION)
        assert "EF02" in shop.fail("pvefw boot init /dev/vdb1")
        shop.run(_DEFAULT_BY_PLACE)
        said = shop.run("pvefw boot status")
        shop.switch_off()
    rows = [line.split()[1:3] for line in said.splitlines() if "/dev/vd" in line]
    assert rows == [["/dev/vda2", "grub"]]
    [default] = re.findall(r"default: (\S+)", said)
    assert default != kernels[0].version

    assert computer.power_on().kernels == [default]
