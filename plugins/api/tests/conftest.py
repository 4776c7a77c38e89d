"""A node that has one of everything that needs no server, and answers in its process."""

import full_node
import pytest

from pvefw.store.paths import Paths

UPID = full_node.UPID


@pytest.fixture
def paths(tmp_path):
    paths = Paths(tmp_path / "root", "pve1")
    full_node.fill(paths)
    paths.node_dir("pve2").mkdir()
    paths.node_config("pve2").write_text("wakeonlan: 02:00:00:00:00:01\n")
    paths.node_config().write_text("#note\nacmedomain0: pve1.example\nballooning-target: 70\n")
    paths.datacenter_cfg.write_text("keyboard: de\nmax_workers: 4\n")
    return paths
