"""Which kernels can lie on an EFI system partition."""

from pathlib import Path

import pytest

from pvefw.api import BootPlan, Kernel, ProviderError, check_versions
from pvefw.host.fat import is_version


def plan(*versions):
    kernels = [Kernel(version, Path("/vmlinuz"), Path("/initrd")) for version in versions]
    return BootPlan(kernels, versions[0], None, "root=/dev/sda1", Path("/"))


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("6.8.12-4-pve", True),
        ("6.1.0+deb12~1_x", True),
        ("6" * 200, True),
        ("6" * 201, False),
        ("", False),
        ("..", False),
        ("pve-6.8", False),
        ("6.8.", False),
        ("6.8~", False),
        ("6.8/4", False),
        ("6.8 4", False),
        ("6.8\n", False),
    ],
)
def test_what_can_be_a_version(text, good):
    assert is_version(text) is good
    if good:
        check_versions(plan(text))
    else:
        with pytest.raises(ProviderError, match="no file name on an ESP"):
            check_versions(plan(text))


def test_kernels_that_differ_in_case_only():
    check_versions(plan("6.8-a", "6.8-a", "6.8-b"))
    with pytest.raises(ProviderError, match=r"kernels 6\.8-a and 6\.8-A: an ESP cannot hold both"):
        check_versions(plan("6.8-a", "6.8-A"))
