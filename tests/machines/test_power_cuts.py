"""A refresh that does not come to its end: the power is cut, or the disk fails.

A file system that fills up meanwhile is tried at every step in tests/boot/test_power_cut.py.
"""

import pytest
from resources import uses

pytestmark = pytest.mark.timeout(900)

SLOW = 8 << 20
"""Bytes a second: a refresh takes long enough to stop it where one wants to."""
_MIB = 1 << 20


def more_to_copy(kernels) -> str:
    """A script after which every kernel has to be copied, and one more."""
    again = " ".join(f"/boot/initrd.img-{kernel.version}" for kernel in kernels)
    touched = f"for one in {again}; do echo rebuilt >>$one; done"
    return f"{touched}; pvefw boot kernel add {kernels[-1].version}"


@pytest.mark.xdist_group("systemd-boot")
def test_whenever_the_power_is_cut_the_disk_boots(hosts, kernels, tmp_path):
    always_boots("systemd-boot", hosts, kernels, tmp_path)


@uses("night")  # what writes the files is the same for every loader
@pytest.mark.xdist_group("grub")
def test_whenever_the_power_is_cut_the_disk_boots_with_grub(hosts, kernels, tmp_path):
    always_boots("grub", hosts, kernels, tmp_path)


def always_boots(loader, hosts, kernels, tmp_path):
    computer = hosts(loader).default.copy(tmp_path / "computer")
    cut = []
    with computer.workshop(bytes_per_second=SLOW) as shop:
        shop.run(more_to_copy(kernels))
        before = shop.bytes_written(0)
        shop.begin("pvefw boot refresh")
        for count in (3, 14):
            shop.wait_for_bytes(0, before + count * _MIB)
            with shop.frozen():
                cut.append(computer.copy(tmp_path / f"cut-{count}"))
        shop.wait_for_bytes(1, shop.bytes_written(1) + 2 * _MIB)
        shop.kill()

    newest = kernels[0].version
    for disk in cut:
        assert disk.with_only(0).power_on().kernels == [newest]
    assert computer.with_only(1).power_on().kernels == [newest]
    with computer.workshop() as shop:
        shop.fail("pvefw boot status --quiet")
        said = shop.run("pvefw boot refresh")
        assert "interrupted" in said
        shop.run("pvefw boot status --quiet")
        for disk in ("vda2", "vdb2"):
            shop.run(f"fsck.vfat -n /dev/{disk}")


@pytest.mark.xdist_group("systemd-boot")
def test_a_disk_that_fails_keeps_what_it_has(hosts, kernels, tmp_path):
    computer = hosts("systemd-boot").default.copy(tmp_path / "computer")
    with computer.workshop(bytes_per_second=SLOW) as shop:
        shop.run(more_to_copy(kernels))
        before = shop.bytes_written(0)
        shop.begin("pvefw boot refresh")
        shop.wait_for_bytes(0, before + 3 * _MIB)
        shop.break_disk(0)
        done = shop.end()
        shop.run("sync --file-system /etc/kernel")
        with shop.frozen():
            failed = computer.copy(tmp_path / "failed")
        shop.mend_disk(0)
        shop.run("pvefw boot refresh && pvefw boot status --quiet")

    assert done.status == 1
    assert "Input/output error" in done.output
    assert "1 of 2 ESPs are up to date" in done.output
    assert failed.with_only(0).power_on().kernels == [kernels[0].version]
