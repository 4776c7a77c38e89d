"""Containers: libvirt must know which process the init of one is, or can never ask it to shut down.

libvirt is told once, by the process that it starts for each container, as soon as it is connected to it.
Up to libvirt 9 at least, it reads from this connection a moment before it knows what the message means
(``virLXCMonitorNew`` in ``src/lxc/lxc_monitor.c``), and drops what comes in that moment. It takes a busy
host, and seldom happens.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import libvirt
import libvirt_lxc

from pvefw.api import GuestState, Task
from pvefw_guest_libvirt.events import Events

_STARTS = 3
_TOLD_SECONDS = 3.0
"""libvirt has been told after some milliseconds, or never will be."""
_LOOK_AGAIN = 0.02
"""No event says that it has."""
_SEEN_SECONDS = 10.0
_OPEN = Path("/proc/self/fd")
_NOT_KNOWN = (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_SYSTEM_ERROR)


def start(domain: Any, events: Events, who: str, task: Task) -> None:
    """Start a container that can be asked to shut down.

    One whose init libvirt does not know is force-stopped, a few seconds old, and started again.

    :param domain: of a daemon on this host: file descriptors show whether it knows.
    :param who: it is, for messages.
    :raises libvirt.libvirtError: it cannot be started.
    """
    domain.create()
    for _ in range(_STARTS - 1):
        if _is_init_known(domain, task):
            return
        task.log(f"{who}: libvirt failed to record its init process; it is started again")
        _start_again(domain, events, task)
    if not _is_init_known(domain, task):
        task.warn(f"{who}: libvirt does not know its init process, and cannot ask it to shut down")


def _start_again(domain: Any, events: Events, task: Task) -> None:
    """Stop and start it so that nobody takes it for one that has stopped by itself."""
    with events.watch_alone(domain.UUIDString()) as watch:
        domain.destroy()
        domain.create()
        while (change := watch.next(_SEEN_SECONDS, task)) is not None:
            if change.state is GuestState.RUNNING:
                return


def _is_init_known(domain: Any, task: Task) -> bool:
    """Whether it is, soon; also of one that does not run any more."""
    end = time.monotonic() + _TOLD_SECONDS
    while domain.isActive():
        try:
            if _is_any_alive(libvirt_lxc.lxcOpenNamespace(domain, 0)):
                return True
        except libvirt.libvirtError as error:
            if error.get_error_code() not in _NOT_KNOWN:
                raise
        if time.monotonic() >= end:
            return False
        task.wait(_LOOK_AGAIN)
    return True


def _is_any_alive(namespaces: Sequence[int]) -> bool:
    """Whether they are of a process that lives: libvirt keeps the number of the init that was before.

    :param namespaces: file descriptors, which are closed.
    """
    try:
        return any(
            str((_OPEN / str(namespace)).readlink()).startswith("mnt:") for namespace in namespaces
        )
    finally:
        for namespace in namespaces:
            os.close(namespace)
