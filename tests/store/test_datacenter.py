"""The cluster's options."""

import pytest

from pvefw.core.errors import ConfigError
from pvefw.store import datacenter, files

OPTIONS = """console: html5
keyboard: de
mac_prefix: BC:24:11
migration: secure,network=192.0.2.0/24
#Our cluster%3A three nodes; max_workers: 3
  a line that nobody understands
"""


def test_max_workers(paths):
    assert datacenter.max_workers(paths) is None
    files.replace(paths.datacenter_cfg, OPTIONS.encode())
    assert datacenter.max_workers(paths) is None
    files.replace(paths.datacenter_cfg, f"{OPTIONS}max_workers: 12\n".encode())
    assert datacenter.max_workers(paths) == 12


@pytest.mark.parametrize("value", ["0", "-1", "many", "\u0664", ""])
def test_a_number_that_is_none(paths, value):
    files.replace(paths.datacenter_cfg, f"max_workers: {value}\n".encode())
    with pytest.raises(ConfigError, match=r"datacenter\.cfg: max_workers"):
        datacenter.max_workers(paths)
