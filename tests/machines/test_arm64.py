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
_SETTINGS = "GRUB_TIMEOUT=1\nGRUB_TERMINAL=console\n"
_PREPARE = """
set -e
cp {0}/usr/lib/systemd/boot/efi/*.efi /usr/lib/systemd/boot/efi
printf '#!/bin/sh\nexec /usr/bin/bootctl --all-architectures "$@"\n' >/usr/local/bin/bootctl
chmod +x /usr/local/bin/bootctl
cp -r {0}/usr/lib/grub/arm64-efi /usr/lib/grub
mkdir /run/python
echo 'import platform; platform.machine = lambda: "aarch64"' >/run/python/sitecustomize.py
"""
"""This machine's programs install for their own architecture what they would on a host of the other."""


@uses("night")
@pytest.mark.parametrize("loader", ["systemd-boot", "grub"])
def test_a_loader_starts_what_pvefw_wrote(loader, tmp_path):
    kernel = arm64.kernel()
    files = {
        "etc/kernel/cmdline": f"root=/dev/sda3 ro {arm64.CONSOLE}\n",
        "etc/default/grub": _SETTINGS,
        f"boot/vmlinuz-{kernel.version}": kernel.image,
        f"boot/initrd.img-{kernel.version}": good_initrd(
            "ttyAMA0", arm64.unpacked() / "bin/busybox"
        ),
    }
    computer = Computer.new(tmp_path / "computer", Firmware.UEFI, files, disks=1)
    with computer.workshop() as shop:
        shop.run(_PREPARE.format(arm64.unpacked()))
        shop.run("pvefw boot partition /dev/vda --yes && pvefw boot format /dev/vda2 --yes")
        shop.run(
            f"export PYTHONPATH=/run/python; pvefw boot init /dev/vda2 {loader} && pvefw boot status"
        )
        shop.switch_off()

    boots = arm64.power_on(computer.disks[0], tmp_path)

    assert boots.kernels == [kernel.version]
    wanted = f"root=/dev/sda3 ro {arm64.CONSOLE}".split()
    assert set(wanted) <= set(boots.last.cmdline.split())  # GRUB has an order of its own
