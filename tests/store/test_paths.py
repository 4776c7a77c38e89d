"""Where everything lies."""

from pathlib import Path

import pytest

from pvefw.core.errors import UsageError
from pvefw.store.paths import Paths


def test_every_path_lies_below_the_root(tmp_path):
    paths = Paths(tmp_path, "pve1")
    found = [
        getattr(paths, name) for name, value in vars(Paths).items() if isinstance(value, property)
    ]
    found += [paths.node_dir("pve2"), paths.node_config(), paths.node_pvefw_cfg()]
    assert len(found) > 10
    assert all(path.is_relative_to(tmp_path) and path != tmp_path for path in found)
    assert paths.below("/etc/kernel/cmdline") == tmp_path / "etc/kernel/cmdline"


def test_another_nodes_files():
    paths = Paths(Path("/"), "pve1")
    assert paths.node_config() == Path("/etc/pve/nodes/pve1/config")
    assert paths.node_config("pve2") == Path("/etc/pve/nodes/pve2/config")


@pytest.mark.parametrize(
    "name", ["..", ".", "a/b", "../../tmp", "", "a b", "pve1.example", "a:b", "pve_1", "pve-", "-a"]
)
def test_a_name_that_leads_elsewhere_is_no_node(name):
    with pytest.raises(UsageError, match="is not the name of a node"):
        Paths(Path("/"), name)
    if name:
        with pytest.raises(UsageError):
            Paths(Path("/"), "pve1").node_config(name)
