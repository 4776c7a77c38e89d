"""What guests do while a bulk action is under way: told by their backend, or asked for."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from pvefw.core.binding import Bound
from pvefw.core.errors import PvefwError
from pvefw.core.hookspecs.guest import GuestSpec
from pvefw.core.model import GuestState
from pvefw.guests.backends import Backends
from pvefw.host.clock import Clock
from pvefw.instances.trial import ask
from pvefw.store.guest_reference import Reference

_WATCH_SECONDS = 60.0
"""How long one call of ``guest_watch`` may last; the thread that is in it is left behind at the end."""
_POLL_SECONDS = 5.0


@dataclass
class Watcher:
    """Watches the guests of all backends for the time of a ``with`` block, in a thread for each backend.

    :param states: of the guests that matter, as they were listed.
    :param seen: told of every change, from those threads.
    """

    backends: Backends
    states: Mapping[Reference, GuestState]
    seen: Callable[[Reference, GuestState], None]
    clock: Clock
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        names = {self.backends.of(id_).name for id_ in self.states}
        for name, backend in self.backends.bound.items():
            if name in names:
                watch = _OfOneBackend(self, name, backend)
                threading.Thread(target=watch.watch, name=f"watch {name}", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()

    @property
    def over(self) -> bool:
        """Whether nobody wants to know any more."""
        return self._over.is_set()

    def pause(self) -> None:
        """Wait until it is time to ask again."""
        self.clock.wait(self._over, _POLL_SECONDS)


class _OfOneBackend:
    """The guests of one backend, as they were seen last."""

    def __init__(self, watcher: Watcher, name: str, backend: Bound[GuestSpec]) -> None:
        self._watcher = watcher
        self._name = name
        self._backend = backend
        self._states = dict(watcher.states)
        self._asked = datetime.min.replace(tzinfo=UTC)
        """When the hypervisor was asked last: what it told before is older than what we know."""

    def watch(self) -> None:
        """Until nobody wants to know any more. What cannot be seen is not our failure: hooks say it."""
        gap = False
        while not self._watcher.over:
            try:
                told = self._follow(gap=gap)
            except PvefwError:
                told = False
            if not told:
                self._watcher.pause()
            gap = True

    def _follow(self, *, gap: bool) -> bool:
        """Take in events for a while; whether the backend has any.

        :param gap: whether something may have been missed since the last time.
        """
        events = None
        if "guest_watch" in self._backend.implemented:
            events = self._backend.hooks.guest_watch(timeout=_WATCH_SECONDS)
        if gap:
            self._ask()
        if events is None:
            return False
        for event in events:
            if self._watcher.over:
                break
            if event.time >= self._asked:
                self._saw(event.vmid, event.state)
        return True

    def _ask(self) -> None:
        now = self._watcher.clock.now()
        guests = ask(self._backend.hooks.guest_list, self._name)
        self._asked = now
        for guest in guests:
            self._saw(guest.vmid, guest.state)

    def _saw(self, vmid: int, state: GuestState) -> None:
        id_ = self._watcher.backends.id(self._name, vmid)
        if self._states.get(id_) is not state:
            self._states[id_] = state
            self._watcher.seen(id_, state)
