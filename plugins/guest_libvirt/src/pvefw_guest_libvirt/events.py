"""What the daemon reports about its guests, on a connection of its own.

That connection also serves for what has to get through while other calls wait: the state and the end of a
migration.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import libvirt

from pvefw.api import Cancelled, GuestState, Task, Unavailable
from pvefw_guest_libvirt.connections import connect, explained

_LOOK_AROUND = 0.2
"""Seconds after which who waits looks whether the task was cancelled."""
_STATES = {
    libvirt.VIR_DOMAIN_EVENT_STARTED: GuestState.RUNNING,
    libvirt.VIR_DOMAIN_EVENT_RESUMED: GuestState.RUNNING,
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: GuestState.PAUSED,
    libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: GuestState.PAUSED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED: GuestState.STOPPED,
    libvirt.VIR_DOMAIN_EVENT_CRASHED: GuestState.UNKNOWN,
}
MIGRATED = "migrated"
_HOW_IT_STOPPED = {
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: "shut down",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED: "stopped by force",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED: MIGRATED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED: "saved",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED: "its process ended",
}


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened to a guest."""

    uuid: str
    state: GuestState | None
    """``None``: the agent in it connected or disconnected."""
    time: datetime
    detail: str = ""


@dataclass(eq=False)
class Watch:
    """The changes of one guest, or of all, from the moment it was made."""

    uuid: str | None
    moved_away: bool = False
    """Whether a guest has left for another node."""
    _changes: "queue.SimpleQueue[Change | None]" = field(default_factory=queue.SimpleQueue)

    def put(self, change: Change | None) -> None:
        """Called by libvirt's event loop; ``None`` when the connection is gone."""
        if change is None or self.uuid in (None, change.uuid):
            self.moved_away |= change is not None and change.detail == MIGRATED
            self._changes.put(change)

    def next(self, seconds: float, task: Task | None = None) -> Change | None:
        """The next change, or ``None`` when the time is over.

        :raises Unavailable: the connection is gone; more will not come.
        :raises Cancelled: the task was cancelled meanwhile.
        """
        end = time.monotonic() + seconds
        while True:
            left = max(end - time.monotonic(), 0.0)
            try:
                change = self._changes.get(timeout=min(left, _LOOK_AROUND))
            except queue.Empty:
                if task is not None and task.cancelled:
                    raise Cancelled from None
                if left <= 0.0:
                    return None
                continue
            if change is None:
                raise Unavailable("the connection to the daemon was lost")
            return change


class Events:
    """Tells watches what happens; connects when the first is wanted, and again when that is lost."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._connecting = threading.Lock()
        self._connection: Any = None
        self._watches: set[Watch] = set()
        self._alone: dict[str, Watch] = {}
        """By UUID, who alone is told of a guest."""

    @property
    def connection(self) -> Any:
        """The connection that stays free: nothing that takes long may be asked on it.

        :raises Unavailable: it cannot be made.
        """
        with self._connecting:
            if self._connection is None or not self._connection.isAlive():
                self._connection = self._connect()
            return self._connection

    @contextlib.contextmanager
    def watch(self, uuid: str | None = None) -> Iterator[Watch]:
        """What happens to a guest, or to all, from now on.

        :raises Unavailable: there is no connection.
        """
        watch = Watch(uuid)
        self._watches.add(watch)
        try:
            _ = self.connection
            yield watch
        finally:
            self._watches.discard(watch)

    @contextlib.contextmanager
    def watch_alone(self, uuid: str) -> Iterator[Watch]:
        """What happens to a guest from now on is told to nobody else.

        :raises Unavailable: there is no connection.
        """
        with self.watch(uuid) as watch:
            self._alone[uuid] = watch
            try:
                yield watch
            finally:
                del self._alone[uuid]

    def _connect(self) -> Any:
        connection = connect(self._uri)
        with explained():
            for kind, callback in (
                (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle),
                (libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, self._agent),
            ):
                connection.domainEventRegisterAny(None, kind, callback, None)
            connection.registerCloseCallback(self._lost, None)
        return connection

    def _lifecycle(self, _connection: Any, domain: Any, event: int, detail: int, _: Any) -> None:
        state = _STATES.get(event)
        if state is not None:
            stopped = state is GuestState.STOPPED
            self._tell(domain, state, _HOW_IT_STOPPED.get(detail, "") if stopped else "")

    def _agent(self, _connection: Any, domain: Any, *_: Any) -> None:
        self._tell(domain, None, "")

    def _tell(self, domain: Any, state: GuestState | None, detail: str) -> None:
        change = Change(domain.UUIDString(), state, datetime.now(UTC), detail)
        alone = self._alone.get(change.uuid)
        for watch in self._watches.copy() if alone is None else [alone]:
            watch.put(change)

    def _lost(self, _connection: Any, _reason: int, _: Any) -> None:
        for watch in self._watches.copy():
            watch.put(None)
