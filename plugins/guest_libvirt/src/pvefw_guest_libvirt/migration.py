"""Guests that move: what stands against it, the move itself, its abort, and what is left when it fails.

We hold both ends (libvirt's "managed direct" migration): the daemons need no way to each other but the
one for the guest's memory and disks, and where pvefw dies, each daemon undoes its part.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import libvirt

from pvefw.api import (
    Cancelled,
    Guest,
    GuestState,
    MigrateOptions,
    ProviderError,
    Task,
    Unsupported,
)
from pvefw_guest_libvirt import domains
from pvefw_guest_libvirt.connections import Pool, connect
from pvefw_guest_libvirt.events import Events
from pvefw_guest_libvirt.metadata import Definition, Disk

_LOOK_AROUND = 0.2
_REPORT_SECONDS = 5.0
_LEAVE_SECONDS = 5.0
_NETWORK_FILE_SYSTEMS = {
    *("9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "gfs2", "glusterfs"),
    *("gpfs", "lustre", "nfs", "nfs4", "ocfs2", "smb3", "virtiofs"),
}
_MEBIBYTE = 1 << 20
_SAVED = (
    "its memory is saved on this node: it starts only here until the saved state is used or removed"
)


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
        connection = connect(self.target_uri.replace("{node}", node))
        try:
            yield connection
        finally:
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()

    def transfer(self, node: str) -> str | None:
        """Where a guest is sent to; ``None`` for libvirt's own choice."""
        return self.transfer_uri.replace("{node}", node) if self.transfer_uri else None

    def is_declared(self, disk: Disk) -> bool:
        """Whether a disk lies in a directory that was said to be the same everywhere."""
        return any(PurePosixPath(disk.path).is_relative_to(one) for one in self.shared)

    def is_local(self, disk: Disk) -> bool:
        """Whether only this node has a disk."""
        if not disk.path.startswith("/"):
            return False  # reached through the network, or by a pool's name
        return not self.is_declared(disk) and _file_system(disk.path) not in _NETWORK_FILE_SYSTEMS


def _file_system(path: str) -> str:
    """The type of the file system that a path is on, as the kernel names it."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError), Path("/proc/self/mounts").open() as mounts:
        for line in mounts:
            _, where, kind, *_ = line.split()
            found[where.replace("\\040", " ")] = kind
    real = PurePosixPath(os.path.realpath(path))
    return next((found[str(one)] for one in real.parents if str(one) in found), "")


@dataclass
class Migration:
    """One guest's way to another node."""

    pool: Pool
    events: Events
    places: Places
    guest: Guest
    target: str
    options: MigrateOptions

    # --- beforehand ----------------------------------------------------------------------------

    def obstacles(self) -> list[str]:
        """Why it cannot move: one sentence each.

        :raises ProviderError: it cannot be found out.
        """
        if self.guest.kind == "container":
            return ["libvirt cannot move containers"]
        with self.pool.connection() as here, self.places.connected(self.target) as there:
            domain = here.lookupByUUIDString(self.guest.backend_id)
            definition = Definition.of(domain, live=True)  # with disks that were plugged in since
            found = [_SAVED] if domains.has_saved_image(domain) else []
            found += self._of_disks(definition, there)
            if definition.devices_of_the_host:
                found.append("it uses devices of this host")
            found += self._of_names(definition, there)
            found += _refusal(lambda: _capabilities(there, definition))
            for name in definition.networks:
                found += _refusal(partial(there.networkLookupByName, name))
        return found

    def _of_disks(self, definition: Definition, there: Any) -> list[str]:
        local = [disk for disk in definition.disks if self.places.is_local(disk)]
        names = ", ".join(disk.path for disk in local)
        if not local:
            return []
        if not self.options.with_local_disks:
            return [f"it has local disks ({names}); see --with-local-disks"]
        if not self.options.online:
            return [f"libvirt copies local disks ({names}) of guests that run only"]
        return [
            f"{self.target} has no storage pool for {disk.path}"
            for disk in local
            if not _has_place(there, disk)
        ]

    def _of_names(self, definition: Definition, there: Any) -> list[str]:
        found = []
        for other in domains.others(there, definition.uuid):
            if other.name == definition.name:
                found.append(f"{self.target} has another guest of this name")
            if other.vmid == self.guest.vmid:
                found.append(f"{other.name} of {self.target} has the VMID {other.vmid}, too")
        return found

    # --- the move ------------------------------------------------------------------------------

    def run(self, task: Task) -> None:
        """Move it; a failure leaves it where it was.

        :raises ProviderError: it did not move.
        :raises Cancelled: the task was; the move was aborted.
        """
        if self.guest.kind == "container":
            raise Unsupported("libvirt cannot move containers")
        with self.pool.connection() as here, self.places.connected(self.target) as there:
            domain = here.lookupByUUIDString(self.guest.backend_id)
            online = domain.isActive() == 1
            if domains.has_saved_image(domain):
                raise ProviderError(_SAVED)
            disks = Definition.of(domain, live=True).disks
            local = [disk for disk in disks if self.places.is_local(disk)]
            if local and not self.options.with_local_disks:
                raise ProviderError(f"it has local disks: {', '.join(one.path for one in local)}")
            fresh = [disk for disk in local if not _exists(there, disk)]
            try:
                with self._attended(task):
                    domain.migrate3(
                        there, self._parameters(local), self._flags(domain, disks, local)
                    )
            except libvirt.libvirtError:
                self._mend(domain, there, fresh, task, ran=online)
                if task.cancelled:
                    raise Cancelled from None
                raise

    def _parameters(self, local: Sequence[Disk]) -> dict[str, object]:
        found: dict[str, object] = {}
        if uri := self.places.transfer(self.target):
            found[libvirt.VIR_MIGRATE_PARAM_URI] = uri
        if self.places.bandwidth:
            found[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = self.places.bandwidth
        if local:
            found[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS] = [disk.target for disk in local]
        return found

    def _flags(self, domain: Any, disks: Sequence[Disk], local: Sequence[Disk]) -> int:
        if not domain.isActive():
            return int(
                libvirt.VIR_MIGRATE_OFFLINE
                | libvirt.VIR_MIGRATE_PERSIST_DEST
                | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
            )
        flags = libvirt.VIR_MIGRATE_LIVE if self.options.online else 0
        if domain.isPersistent():
            flags |= libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
        if local:
            flags |= libvirt.VIR_MIGRATE_NON_SHARED_DISK
        if any(self.places.is_declared(disk) for disk in disks):
            flags |= libvirt.VIR_MIGRATE_UNSAFE  # libvirt does not know that they are shared
        return int(flags)

    @contextlib.contextmanager
    def _attended(self, task: Task) -> Iterator[None]:
        """Somebody who reports how far it is, and aborts it when the task is cancelled."""
        done = threading.Event()
        thread = threading.Thread(target=self._attend, args=(task, done), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _attend(self, task: Task, done: threading.Event) -> None:
        reported = time.monotonic()
        limit = self.options.timeout
        end = float("inf") if limit is None else reported + limit
        while not done.wait(_LOOK_AROUND):
            with contextlib.suppress(libvirt.libvirtError, ProviderError):  # it may just have ended
                if task.cancelled or time.monotonic() >= end:
                    self._control().abortJob()
                elif time.monotonic() - reported >= _REPORT_SECONDS:
                    reported = time.monotonic()
                    self._report(task)

    def _control(self) -> Any:
        """The domain, on the connection that is not busy with moving it."""
        return self.events.connection.lookupByUUIDString(self.guest.backend_id)

    def _report(self, task: Task) -> None:
        job = self._control().jobStats()
        total, left = (int(job.get(f"data_{key}", 0)) for key in ("total", "remaining"))
        task.log(
            f"{self.guest.vmid} ({self.guest.name}): "
            f"{(total - left) // _MEBIBYTE} of {total // _MEBIBYTE} MiB moved"
        )

    # --- when it failed ------------------------------------------------------------------------

    def _mend(
        self, domain: Any, there: Any, fresh: Sequence[Disk], task: Task, *, ran: bool
    ) -> None:
        """See that it goes on here, and that nothing of it is left there."""
        who = f"{self.guest.vmid} ({self.guest.name})"
        gone = _leaves(there, self.guest)
        try:
            paused = domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
            if ran and paused and self.guest.state is not GuestState.PAUSED:
                if gone:  # or it could run twice
                    domain.resume()
                else:
                    task.warn(f"{who}: it is paused here; see what {self.target} does with it")
        except libvirt.libvirtError as error:
            task.warn(f"{who}: what it does now is not known: {error}")
        for disk in fresh if gone else ():
            with contextlib.suppress(libvirt.libvirtError):  # it was never made there
                there.storageVolLookupByPath(disk.path).delete()


def _refusal(question: Callable[[], object]) -> list[str]:
    """What libvirt has against something that is only looked at."""
    try:
        question()
    except libvirt.libvirtError as error:
        return [" ".join(str(error).split())]
    return []


def _capabilities(there: Any, definition: Definition) -> object:
    """Ask whether a daemon has what the guest runs on: emulator, machine type, KVM.

    :raises libvirt.libvirtError: it has not.
    """
    root = definition.root
    kind = root.find("os/type")
    arch, machine = (None, None) if kind is None else (kind.get("arch"), kind.get("machine"))
    emulator = root.findtext("devices/emulator")
    return there.getDomainCapabilities(emulator, arch, machine, root.get("type"))


def _leaves(there: Any, guest: Guest) -> bool:
    """Whether a target that gave a guest up is rid of it soon; it takes it a moment."""
    end = time.monotonic() + _LEAVE_SECONDS
    while time.monotonic() < end:
        try:
            if not there.lookupByUUIDString(guest.backend_id).isActive():
                return True
        except libvirt.libvirtError as error:
            return bool(error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN)
        time.sleep(_LOOK_AROUND)
    return False


def _exists(there: Any, disk: Disk) -> bool:
    """Whether a storage pool there has this very path already."""
    for pool in there.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
        with contextlib.suppress(libvirt.libvirtError):
            pool.refresh()
    try:
        there.storageVolLookupByPath(disk.path)
    except libvirt.libvirtError:
        return False
    return True


def _has_place(there: Any, disk: Disk) -> bool:
    """Whether a storage pool there can take it."""
    directory = str(PurePosixPath(disk.path).parent)
    with contextlib.suppress(libvirt.libvirtError):
        there.storagePoolLookupByTargetPath(directory)
        return True
    return False
