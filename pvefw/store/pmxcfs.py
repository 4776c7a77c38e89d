"""Proxmox VE's cluster file system: whether it is there where it has to be.

Where it is installed, nothing may be read or written below its mount point while it is not mounted:
what is read would be a node with nothing configured, and on a directory that is not empty pmxcfs does
not start.
"""

import errno
import os
from pathlib import Path

from pvefw.core.errors import StoreError

_MARK = ".version"
"""A file that is in ``/etc/pve`` where pmxcfs is mounted there."""
_INSTALLED = ("var/lib/pve-cluster/config.db", "usr/bin/pmxcfs")
"""One of them is there where Proxmox VE is installed."""
_DEAD = (errno.ENOTCONN, errno.ESTALE, errno.ENODEV)
"""What a FUSE file system answers whose process has died."""
_HINT = "Start it: systemctl restart pve-cluster; what it says: journalctl -u pve-cluster"


def is_mounted(root: Path) -> bool:
    """Whether pmxcfs is mounted in the tree below a root.

    :raises StoreError: it is, and its process has died.
    """
    mark = root / "etc/pve" / _MARK
    try:
        os.stat(mark)  # noqa: PTH116 - Path.exists swallows some errors, by version
    except OSError as error:
        if error.errno in _DEAD:
            raise not_mounted(mark.parent) from error
        return False
    return True


def check(path: Path) -> None:
    """Refuse to use a path below ``/etc/pve`` where pmxcfs should be, and is not.

    :raises StoreError: it is not mounted.
    """
    mount_point = mount_point_of(path)
    if mount_point is None:
        return
    root = mount_point.parents[1]
    if not is_mounted(root) and is_installed(root):
        raise not_mounted(mount_point)


def is_installed(root: Path) -> bool:
    """Whether the tree below a root is a host of Proxmox VE's."""
    return any((root / one).exists() for one in _INSTALLED)


def mount_point_of(path: Path) -> Path | None:
    """The ``/etc/pve`` that a path is in or below; ``None`` for a path that is elsewhere."""
    for one in (path, *path.parents):
        if one.name == "pve" and one.parent.name == "etc":
            return one
    return None


def is_dead(error: OSError) -> bool:
    """Whether the process of a FUSE file system has died."""
    return error.errno in _DEAD


def not_mounted(mount_point: Path) -> StoreError:
    """What to raise where pmxcfs is not mounted."""
    return StoreError(f"the cluster file system is not mounted: {mount_point}", hint=_HINT)
