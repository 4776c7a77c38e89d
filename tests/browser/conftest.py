"""A browser, and Cockpit with our page in it, as root on a node of the tests."""

import contextlib
import os
import sys
from pathlib import Path

import pytest
from environments import ROOT
from guests.conftest import farm
from servers.chromium import chromium
from servers.processes import free_port, process, wait_for_port

__all__ = ["farm"]

PAGE = ROOT / "plugins/api/page"
COCKPIT = Path("/usr/lib/cockpit/cockpit-ws")


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def cockpit(farm, tmp_path):
    """The address of Cockpit's frame-less pages; it needs no login."""
    (farm.root / "etc/pve/nodes/pve1").mkdir(parents=True)
    with serving(farm.root, tmp_path, {"PYTHONPATH": str(farm.site)}) as address:
        yield address


@contextlib.contextmanager
def serving(root, folder, more):
    """Cockpit with our page, for the time of the block; its address.

    :param root: the node's tree.
    :param folder: where it has its own files; programs in ``bin`` there come first.
    :param more: for the environment.
    """
    if not COCKPIT.exists():
        pytest.skip("cockpit-ws is not installed")
    packages = folder / "data/cockpit"
    packages.mkdir(parents=True)
    (packages / "pvefw").symlink_to(PAGE)
    env = {
        **os.environ,
        # where there are none, the bridge starts some, and never ends them
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
        "SSH_AUTH_SOCK": "/nonexistent",
        "HOME": str(folder),
        "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PVEFW_NODE": "pve1",
        "PVEFW_ROOT": str(root),
        "XDG_DATA_DIRS": f"{packages.parent}:/usr/share",
        **more,
    }
    port, log = free_port(), folder / "cockpit.log"
    command = [COCKPIT, "--no-tls", "--address", "127.0.0.1", "--port", port]
    command += ["--local-session=cockpit-bridge"]
    with process([str(word) for word in command], log, env) as server:
        wait_for_port(port, server, log)
        yield f"http://127.0.0.1:{port}/cockpit/@localhost/pvefw/index.html"
