"""A kernel that hangs at its one boot: a watchdog restarts the machine, and then the default boots."""

import pytest
from resources import uses
from servers.machines.power import hanging_initrd

pytestmark = pytest.mark.timeout(1200)
_LOADERS = ("systemd-boot", "grub")


@uses("night")  # one that panics shows by day that the one boot is used up before the kernel starts
@pytest.mark.parametrize(
    "loader", [pytest.param(one, marks=pytest.mark.xdist_group(one)) for one in _LOADERS]
)
def test_a_kernel_that_hangs_at_its_next_boot_is_not_tried_again(hosts, loader, kernels, tmp_path):
    newest, oldest = kernels[0].version, kernels[-1].version
    computer = hosts(loader).default.copy(tmp_path / "computer")
    with computer.workshop() as shop:
        shop.run(f"cp {hanging_initrd(kernels[-1])} /boot/initrd.img-{oldest}")
        shop.run(f"pvefw boot kernel pin {oldest} --next-boot")
        shop.run("pvefw boot refresh && pvefw boot status --quiet")
        shop.switch_off()
    computers = [computer]
    if loader == "grub":
        computers.append(computer.copy(tmp_path / "with BIOS").with_bios())

    for one in computers:
        boots = one.power_on(restarts=1)

        assert boots.kernels == [oldest, newest]
        assert "softdog: Initiating system reboot" in boots.console
