"""Guests that are suspended to memory or disk ("managed save"), and continue."""

import threading
import time
from typing import Any

import libvirt

from pvefw.api import Cancelled, GuestState, ProviderError, Task, Unavailable
from pvefw_guest_libvirt import domains
from pvefw_guest_libvirt.attending import attended
from pvefw_guest_libvirt.events import Events


def to_memory(domain: Any) -> None:
    """Pause a domain.

    :raises ProviderError: it does not run.
    """
    domains.act(domain, GuestState.PAUSED, domain.suspend)


def to_disk(domain: Any, events: Events, seconds: float, task: Task) -> None:
    """Save a domain's memory and stop it.

    :raises Unavailable: it was not saved in time, and runs on.
    :raises Cancelled: the task was; the domain runs on.
    :raises ProviderError: it is stopped already, and not saved.
    """
    if not domain.isActive():
        if not domains.has_saved_image(domain):
            raise ProviderError("it is stopped: there is no memory to save")
        return
    uuid, end, late = domain.UUIDString(), time.monotonic() + seconds, threading.Event()

    def look() -> None:
        if time.monotonic() >= end:
            late.set()
        if late.is_set() or task.cancelled:
            events.connection.lookupByUUIDString(uuid).abortJob()

    try:
        with attended(look):
            domain.managedSave()
    except libvirt.libvirtError:
        if task.cancelled:
            raise Cancelled from None
        if late.is_set():
            raise Unavailable(f"its memory is not saved after {seconds:g} seconds") from None
        raise


def resume(domain: Any) -> None:
    """Let a domain continue from memory or disk.

    :raises ProviderError: it was not suspended, or somebody is working on it.
    """
    if domains.state(domain) is GuestState.STOPPED:
        if not domains.has_saved_image(domain):
            raise ProviderError("it is stopped, not suspended")
        domain.create()
    domains.resume(domain)  # also one that was paused when it was saved
    domains.check_runs(domain)
