"""A kernel that hangs at its one boot: the board's watchdog restarts it, and then the default boots."""

import pytest
from resources import uses
from servers.machines.power import WATCHDOG, hanging_initrd

pytestmark = pytest.mark.timeout(1200)
_LOADERS = ("systemd-boot", "grub")


@uses("night")  # one that panics shows by day that the one boot is used up before the kernel starts
@pytest.mark.parametrize(
    "loader", [pytest.param(loader, marks=pytest.mark.xdist_group(loader)) for loader in _LOADERS]
)
def test_a_kernel_that_hangs_at_its_next_boot_is_not_tried_again(hosts, loader, kernels, tmp_path):
    newest, older = kernels[0], kernels[1].version  # only the newest has a driver for the watchdog
    computer = hosts(loader).default.copy(tmp_path / "computer")
    with computer.workshop() as shop:
        shop.run(f"cp {hanging_initrd(newest)} /boot/initrd.img-{newest.version}")
        shop.run(f"pvefw boot kernel pin {older}")
        shop.run(f"pvefw boot kernel pin {newest.version} --next-boot")
        shop.run("pvefw boot refresh && pvefw boot status --quiet")
        shop.switch_off()
    computers = [computer]
    if loader == "grub":
        computers.append(computer.copy(tmp_path / "with BIOS").with_bios())

    for machine in computers:
        boots = machine.power_on(restarts=1, board=WATCHDOG)

        assert boots.kernels == [newest.version, older]
