"""Real firmware, real boot loaders, real kernels: what comes up after ``pvefw boot refresh``."""

import pytest
from resources import uses

pytestmark = [pytest.mark.xdist_group("machines"), pytest.mark.timeout(1200)]


def test_without_the_first_disk_the_second_boots_its_default(states, kernels, tmp_path):
    """From the first disk the default boots in the last test, too."""
    boots = states.default.copy(tmp_path / "computer").with_only(1).power_on()

    assert boots.kernels == [kernels[0].version]
    assert "root=/dev/sda3" in boots.last.cmdline
    assert "changed=1" not in boots.last.cmdline


def test_a_pinned_kernel_boots_with_the_command_line_that_was_set(states, kernels, tmp_path):
    boots = states.pinned.copy(tmp_path / "computer").power_on()

    assert boots.kernels == [kernels[-1].version]
    assert "root=/dev/sda3" in boots.last.cmdline
    assert "changed=1" in boots.last.cmdline


@uses("night")  # the next test shows the same of a kernel that panics
def test_next_boot_happens_once(states, kernels, tmp_path):
    computer = states.once.copy(tmp_path / "computer")

    assert computer.power_on().kernels == [kernels[-1].version]
    assert computer.power_on().kernels == [kernels[0].version]


def test_a_kernel_that_panics_at_its_next_boot_is_not_tried_again(states, kernels, tmp_path):
    computer = states.panics.copy(tmp_path / "computer")

    boots = computer.power_on(restarts=1)

    assert [(one.kernel, one.panics) for one in boots.starts] == [
        (kernels[-1].version, True),
        (kernels[0].version, False),
    ]
