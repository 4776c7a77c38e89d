"""Where a guest's files are: on this node only, or on storage that all nodes have."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import libvirt

from pvefw_guest_libvirt.connections import connect
from pvefw_guest_libvirt.copying import backing
from pvefw_guest_libvirt.references import File, Role

_NETWORK_FILE_SYSTEMS = {
    *("9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "gfs2", "glusterfs"),
    *("gpfs", "lustre", "nfs", "nfs4", "ocfs2", "smb3", "virtiofs"),
}
_WITHOUT_BACKING = ("", "raw")
"""Formats. What a guest has written into a raw image is no header."""


@dataclass(frozen=True)
class Places:
    """Where nodes are, and what they have in common."""

    target_uri: str
    transfer_uri: str | None
    shared: Sequence[str]
    bandwidth: int
    """MiB a second; 0 for all there is."""

    @contextlib.contextmanager
    def connected(self, node: str) -> Iterator[Any]:
        """A connection to another node's daemon.

        :raises Unavailable: it cannot be reached.
        """
        connection = connect(self.target_uri.replace("{node}", node), "target_uri")
        try:
            yield connection
        finally:
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()

    def transfer(self, node: str) -> str | None:
        """Where a guest is sent to; ``None`` for libvirt's own choice."""
        return self.transfer_uri.replace("{node}", node) if self.transfer_uri else None

    def local(self, needed: Sequence[File | str]) -> list[File]:
        """Those of a guest's files that only this node has."""
        return [item for item in needed if isinstance(item, File) and self.is_local(item)]

    def is_declared(self, file: File) -> bool:
        """Whether a file lies in a directory that was said to be the same everywhere."""
        return any(PurePosixPath(file.path).is_relative_to(folder) for folder in self.shared)

    def is_local(self, file: File) -> bool:
        """Whether only this node has a file."""
        if not file.path.startswith("/"):
            return file.role is Role.STATE  # else reached through the network
        return not self.is_declared(file) and _file_system(file.path) not in _NETWORK_FILE_SYSTEMS


def _file_system(path: str) -> str:
    """The type of the file system that a path is on, as the kernel names it."""
    type_of: dict[str, str] = {}
    with contextlib.suppress(OSError), Path("/proc/self/mounts").open() as mounts:
        for line in mounts:
            _, where, kind, *_ = line.split()
            type_of[where.replace("\\040", " ")] = kind
    real = PurePosixPath(os.path.realpath(path))
    return next((type_of[str(parent)] for parent in real.parents if str(parent) in type_of), "")


def resolved(here: Any, needed: Sequence[File | str]) -> list[File | str]:
    """The same, with the paths of volumes that are named by their pool.

    A volume that is not on this node but in the network keeps its name.
    """
    files: list[File | str] = []
    for item in needed:
        if isinstance(item, File) and item.pool:
            pool = here.storagePoolLookupByName(item.pool)
            files.append(replace(item, path=_volume(pool, item.path).path()))
        else:
            files.append(item)
    return files


def with_backing(here: Any, needed: Sequence[File | str]) -> list[File | str]:
    """The same, with the images below those of disks that the definition does not name."""
    files = list(needed)
    known = {item.path for item in needed if isinstance(item, File)}
    for item in needed:
        if not isinstance(item, File) or item.format in _WITHOUT_BACKING:
            continue
        path = item.path
        while path.startswith("/") and (path := backing(here, path)) and path not in known:
            known.add(path)
            files.append(File(path, f"backing file of {item.what}", Role.READ))
    return files


def _volume(pool: Any, name: str) -> Any:
    """A volume, also one that has come since libvirt looked."""
    try:
        return pool.storageVolLookupByName(name)
    except libvirt.libvirtError:
        pool.refresh()
        return pool.storageVolLookupByName(name)


def in_pool(there: Any, disk: File) -> bool:
    """Whether a storage pool there has this very path already."""
    for pool in there.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
        with contextlib.suppress(libvirt.libvirtError):
            pool.refresh()
    try:
        there.storageVolLookupByPath(disk.path)
    except libvirt.libvirtError:
        return False
    return True


def has_pool(there: Any, disk: File) -> bool:
    """Whether a storage pool there can take it."""
    directory = str(PurePosixPath(disk.path).parent)
    with contextlib.suppress(libvirt.libvirtError):
        there.storagePoolLookupByTargetPath(directory)
        return True
    return False
