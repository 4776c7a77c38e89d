"""Proxmox VE's cluster file system: whether it is there where it has to be.

Where it is installed, nothing may be read or written below its mount point while it is not mounted:
what is read would be a node with nothing configured, and on a directory that is not empty pmxcfs does
not start.
"""

import errno
import os
import stat
from pathlib import Path

from pvefw.core.errors import StoreError
from pvefw.host import foreign

_MARK = ".version"
"""A file that is in ``/etc/pve`` where pmxcfs is mounted there."""
_INSTALLED = ("var/lib/pve-cluster/config.db", "usr/bin/pmxcfs")
"""One of them is there where Proxmox VE is installed."""
_DEAD = (errno.ENOTCONN, errno.ESTALE, errno.ENODEV)
"""What a FUSE file system answers whose process has died."""
NO_QUORUM = "pmxcfs refuses changes while its cluster has no quorum; see: pvecm status"
"""For who meets that."""
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
    return any((root / program).exists() for program in _INSTALLED)


def has_quorum(path: Path) -> bool:
    """Whether the cluster takes changes below the ``/etc/pve`` that a path is in.

    A file system that answers as pmxcfs does, and does not show it, is tried.
    """
    mount_point = mount_point_of(path)
    if mount_point is None or not is_mounted(mount_point.parents[1]):
        return True
    shown = shows_quorum(mount_point)
    return _takes_changes(mount_point) if shown is None else shown


def shows_quorum(mount_point: Path) -> bool | None:
    """What pmxcfs shows: without quorum, nobody may write to the link ``local``, as the mode has it.

    Proxmox VE's own tools go by this, too. ``None`` where there is no such link.
    """
    try:
        mode = (mount_point / "local").lstat().st_mode
    except OSError:
        return None
    return bool(mode & stat.S_IWUSR) if stat.S_ISLNK(mode) else None


def _takes_changes(mount_point: Path) -> bool:
    probe = f".pvefw-probe-{os.urandom(4).hex()}"
    try:
        with foreign.directory(mount_point) as there:
            os.close(there.create(probe, 0o600))
            there.remove(probe)
    except PermissionError:
        return False
    except OSError:
        return True  # something else is wrong, and who writes is told
    return True


def mount_point_of(path: Path) -> Path | None:
    """The ``/etc/pve`` that a path is in or below; ``None`` for a path that is elsewhere."""
    words = path.parts  # every read asks: paths are not made for each of its folders
    for at in range(len(words) - 1, 0, -1):
        if words[at] == "pve" and words[at - 1] == "etc":
            return path if at == len(words) - 1 else path.parents[len(words) - at - 2]
    return None


def is_dead(error: OSError) -> bool:
    """Whether the process of a FUSE file system has died."""
    return error.errno in _DEAD


def not_mounted(mount_point: Path) -> StoreError:
    """What to raise where pmxcfs is not mounted."""
    return StoreError(f"the cluster file system is not mounted: {mount_point}", hint=_HINT)
