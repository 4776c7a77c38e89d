"""Parameters of the kernel that name nothing: one rule for core and for boot loaders."""

import pytest

from pvefw.api import names_nothing


@pytest.mark.parametrize(
    "parameter",
    [
        *("root=", "root=UUID=", "ROOT=partuuid=", "root=UUID=$UNSET", "root=$UNSET"),
        *("root=UUID=<yours>", "root='UUID=1-2'", "root=\u201cUUID=1-2\u201d"),
        *("cryptdevice=UUID=:root", "resume=UUID=", "cryptopts=target=root,source=UUID=,luks"),
    ],
)
def test_it_names_nothing(parameter):
    assert names_nothing(parameter)


@pytest.mark.parametrize(
    "parameter",
    [
        *("root=UUID=1-2", "root=/dev/sda1", "root=ZFS=rpool/ROOT", 'root="LABEL=a b"', "roots="),
        *("cryptdevice=UUID=1-2:root", "quiet", "console=", "x=$y", "rd.luks.uuid="),
    ],
)
def test_it_names_something_or_no_device_at_all(parameter):
    assert not names_nothing(parameter)
