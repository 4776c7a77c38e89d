"""Real firmware, real boot loaders, real kernels: what comes up after ``pvefw boot refresh``."""

import pytest
from resources import uses

pytestmark = pytest.mark.timeout(1200)


def test_without_the_first_disk_the_second_boots_its_default(states, kernels, tmp_path):
    """From the first disk the default boots after a power cut, too."""
    boots = states.default.copy(tmp_path / "computer").with_only(1).power_on()

    assert boots.kernels == [kernels[0].version]
    assert "root=/dev/sda3" in boots.last.cmdline
    assert "changed=1" not in boots.last.cmdline


def test_after_a_next_boot_that_panics_the_pinned_kernel_boots(states, kernels, tmp_path):
    """Each with the command line that was set."""
    boots = states.panics.copy(tmp_path / "computer").power_on(restarts=1)

    _newest, pinned, oldest = (kernel.version for kernel in kernels)
    assert [(start.kernel, start.panics) for start in boots.starts] == [
        (oldest, True),
        (pinned, False),
    ]
    for start in boots.starts:
        assert "root=/dev/sda3" in start.cmdline
        assert "changed=1" in start.cmdline


@uses("night")  # the test before shows the same of a kernel that panics
def test_next_boot_happens_once(states, kernels, tmp_path):
    computer = states.default.copy(tmp_path / "computer")
    newest, oldest = kernels[0].version, kernels[-1].version
    with computer.workshop() as shop:
        shop.run(f"pvefw boot kernel pin {oldest} --next-boot && pvefw boot refresh")
        shop.switch_off()

    assert computer.power_on().kernels == [oldest]
    assert computer.power_on().kernels == [newest]
