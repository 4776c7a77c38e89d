"""An ESP for another architecture: pvefw writes it, and a firmware of that kind starts from it."""

import pytest
from resources import uses
from servers.machines import arm64
from servers.machines.computer import Computer
from servers.machines.power import good_initrd

from pvefw.api import Firmware

pytestmark = [
    pytest.mark.skipif(bool(arm64.missing()), reason=arm64.missing() or "-"),
    pytest.mark.xdist_group("machines of their own"),
    pytest.mark.timeout(1200),
]
_BOOTCTL = """
printf '#!/bin/sh\\nexec /usr/bin/bootctl --all-architectures "$@"\\n' >/usr/local/bin/bootctl
chmod +x /usr/local/bin/bootctl
cp {}/usr/lib/systemd/boot/efi/*.efi /usr/lib/systemd/boot/efi
"""
"""This machine's bootctl installs what it would take for its own architecture on a host of the other."""


@uses("night")
def test_systemd_boot_starts_what_pvefw_wrote(tmp_path):
    kernel = arm64.kernel()
    files = {
        "etc/kernel/cmdline": f"root=/dev/sda3 ro {arm64.CONSOLE}\n",
        f"boot/vmlinuz-{kernel.version}": kernel.image,
        f"boot/initrd.img-{kernel.version}": good_initrd(
            "ttyAMA0", arm64.unpacked() / "bin/busybox"
        ),
    }
    computer = Computer.new(tmp_path / "computer", Firmware.UEFI, files, disks=1)
    with computer.workshop() as shop:
        shop.run(_BOOTCTL.format(arm64.unpacked()))
        shop.run("pvefw boot partition /dev/vda --yes && pvefw boot format /dev/vda2 --yes")
        shop.run("pvefw boot init /dev/vda2 systemd-boot && pvefw boot status")
        shop.switch_off()

    boots = arm64.power_on(computer.disks[0], tmp_path)

    assert boots.kernels == [kernel.version]
    assert f"root=/dev/sda3 ro {arm64.CONSOLE}" in boots.last.cmdline
