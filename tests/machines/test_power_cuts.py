"""A refresh that does not come to its end: the power is cut."""

import pytest

pytestmark = [pytest.mark.xdist_group("machines"), pytest.mark.timeout(900)]

SLOW = 8 << 20
"""Bytes a second: a refresh takes long enough to stop it where one wants to."""
_MIB = 1 << 20


def more_to_copy(kernels) -> str:
    """A script after which every kernel has to be copied, and one more."""
    again = " ".join(f"/boot/initrd.img-{one.version}" for one in kernels)
    touched = f"for one in {again}; do echo rebuilt >>$one; done"
    return f"{touched}; pvefw boot kernel add {kernels[-1].version}"


@pytest.mark.parametrize("loader", ["systemd-boot"])
def test_whenever_the_power_is_cut_the_disk_boots(hosts, kernels, loader, tmp_path):
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
    for one in cut:
        assert one.with_only(0).power_on().kernels == [newest]
    assert computer.with_only(1).power_on().kernels == [newest]
    with computer.workshop() as shop:
        shop.fail("pvefw boot status --quiet")
        said = shop.run("pvefw boot refresh")
        assert "interrupted" in said
        shop.run("pvefw boot status --quiet")
        for disk in ("vda2", "vdb2"):
            shop.run(f"fsck.vfat -n /dev/{disk}")
