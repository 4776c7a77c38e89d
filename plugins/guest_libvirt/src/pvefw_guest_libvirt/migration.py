"""Guests that move: what prevents it, the move itself, its abort, and what is left when it fails.

We hold both ends (libvirt's "managed direct" migration): the daemons need no way to each other but the
one for the guest's memory and disks, and where pvefw dies, each daemon undoes its part.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import libvirt

from pvefw.api import Cancelled, Guest, GuestState, MigrateOptions, ProviderError, Task, Unsupported
from pvefw_guest_libvirt import domains, files, obstacles
from pvefw_guest_libvirt.attending import attended
from pvefw_guest_libvirt.connections import Pool
from pvefw_guest_libvirt.copying import copy, exists, remove
from pvefw_guest_libvirt.events import Events
from pvefw_guest_libvirt.files import Places
from pvefw_guest_libvirt.metadata import Definition
from pvefw_guest_libvirt.references import File, Role, references

_LOOK_AROUND = 0.2
_REPORT_SECONDS = 5.0
_LEAVE_SECONDS = 5.0
_MEBIBYTE = 1 << 20


@dataclass
class Migration:
    """One guest's way to another node."""

    pool: Pool
    events: Events
    places: Places
    guest: Guest
    target: str
    options: MigrateOptions

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
                raise ProviderError(obstacles.SAVED)
            needed = files.resolved(here, references(Definition.of(domain, live=True).root))
            disks = [item for item in needed if isinstance(item, File) and item.role is Role.DISK]
            local = [disk for disk in disks if self.places.is_local(disk)]
            if local and not self.options.with_local_disks:
                raise ProviderError(f"it has local disks: {', '.join(disk.path for disk in local)}")
            fresh = [disk for disk in local if not files.in_pool(there, disk)]
            copied = [] if online else self._copy(here, there, needed, task)
            try:
                with attended(self._looks(task)):
                    domain.migrate3(
                        there,
                        self._parameters(local, online=online),
                        self._flags(domain, disks, local),
                    )
            except libvirt.libvirtError:
                self._mend(domain, there, fresh, task, ran=online)
                for path in copied:
                    remove(there, path)
                if task.cancelled:
                    raise Cancelled from None
                raise

    def _copy(self, here: Any, there: Any, needed: Sequence[File | str], task: Task) -> list[str]:
        """Copy what a stopped guest writes to: disks and UEFI variables. The originals stay.

        :returns: the paths.
        :raises ProviderError: something could not be copied; what was copied is removed.
        """
        wanted = [
            file.path
            for file in self.places.local(needed)
            if file.role is not Role.READ and file.path
        ]
        done: list[str] = []
        try:
            for path in wanted if self.options.with_local_disks else ():
                if exists(here, path):
                    task.log(f"{self.guest.vmid} ({self.guest.name}): copying {path}")
                    copy(here, there, path, task)
                    done.append(path)
        except BaseException:
            for path in done:
                remove(there, path)
            raise
        if done:
            kept = ", ".join(done)
            task.log(f"{self.guest.vmid} ({self.guest.name}): the originals are kept here: {kept}")
        return done

    def _parameters(self, local: Sequence[File], *, online: bool) -> dict[str, object]:
        parameters: dict[str, object] = {}
        if uri := self.places.transfer(self.target):
            parameters[libvirt.VIR_MIGRATE_PARAM_URI] = uri
        if self.places.bandwidth:
            parameters[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = self.places.bandwidth
        if local and online:
            parameters[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS] = [disk.target for disk in local]
        return parameters

    def _flags(self, domain: Any, disks: Sequence[File], local: Sequence[File]) -> int:
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

    def _looks(self, task: Task) -> Callable[[], None]:
        """What reports how far it is, and aborts it when the task is cancelled or the time is over."""
        reported = time.monotonic()
        limit = self.options.timeout
        end = float("inf") if limit is None else reported + limit

        def look() -> None:
            nonlocal reported
            if task.cancelled or time.monotonic() >= end:
                self._control().abortJob()
            elif time.monotonic() - reported >= _REPORT_SECONDS:
                reported = time.monotonic()
                self._report(task)

        return look

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
        self, domain: Any, there: Any, fresh: Sequence[File], task: Task, *, ran: bool
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
            task.warn(f"{who}: its state is not known: {error}")
        for disk in fresh if gone else ():
            with contextlib.suppress(libvirt.libvirtError):  # it was never made there
                there.storageVolLookupByPath(disk.path).delete()


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
