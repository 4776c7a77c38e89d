"""systemd-boot on a machine whose firmware takes no variables: the next boot is counted on the ESP."""

import pytest
from servers.machines.power import bad_initrd

pytestmark = [pytest.mark.xdist_group("systemd-boot"), pytest.mark.timeout(1200)]


def test_a_counted_next_boot_that_panics_is_not_tried_again(hosts, kernels, tmp_path):
    """Nothing has to come up for that: the loader takes note of the try before it starts the kernel."""
    newest, oldest = kernels[0].version, kernels[-1].version
    computer = hosts("systemd-boot").default.copy(tmp_path / "computer")
    with computer.workshop() as shop:
        assert r"\EFI\SYSTEMD\SYSTEMD-BOOTX64.EFI" in shop.run("efibootmgr -v").upper()
        shop.run("mount -o remount,ro /sys/firmware/efi/efivars")
        shop.run(f"cp {bad_initrd()} /boot/initrd.img-{oldest}")
        shop.run(f"pvefw boot kernel pin {oldest} --next-boot")
        assert "counting boots instead" in shop.run("pvefw boot refresh")
        before = shop.bytes_written(0)
        shop.run("pvefw boot refresh")
        assert shop.bytes_written(0) == before, "what is armed by counting makes a refresh write"
        shop.switch_off()

    boots = computer.power_on(restarts=1)
    assert [(start.kernel, start.panics) for start in boots.starts] == [
        (oldest, True),
        (newest, False),
    ]
