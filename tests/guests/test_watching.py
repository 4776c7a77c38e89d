"""How a bulk action learns what guests do: through events, by asking, and after a connection broke."""

import queue
import threading
from datetime import UTC, datetime, timedelta

import pytest

from pvefw.core import binding
from pvefw.core.errors import Unavailable
from pvefw.core.families import GUEST
from pvefw.core.hookspecs import hookimpl
from pvefw.core.model import Guest, GuestEvent, GuestState
from pvefw.guests.backends import Backends
from pvefw.guests.watching import Watcher
from pvefw.host.clock import SystemClock
from pvefw.store.guest_reference import Reference

RUNNING, STOPPED = GuestState.RUNNING, GuestState.STOPPED
LONG = 30.0


class Quick(SystemClock):
    """It does not wait five seconds until it asks again."""

    def wait(self, event, seconds):
        return super().wait(event, min(seconds, 0.01))


class Silent:
    """A hypervisor without events."""

    def __init__(self):
        self.states = {100: RUNNING, 101: STOPPED}
        self.asked = 0

    @hookimpl
    def guest_list(self):
        self.asked += 1
        return [Guest(vmid, "", "vm", state) for vmid, state in self.states.items()]

    @hookimpl
    def guest_start(self):
        pass

    @hookimpl
    def guest_shutdown(self):
        pass

    @hookimpl
    def guest_stop(self):
        pass

    @hookimpl
    def guest_migrate(self):
        pass


class Telling(Silent):
    """One with events; an error among them is a connection that breaks."""

    def __init__(self):
        super().__init__()
        self.events = queue.SimpleQueue()
        self.watched = threading.Semaphore(0)

    def tell(self, vmid, state, ago=0.0):
        self.events.put(GuestEvent(vmid, state, datetime.now(UTC) - timedelta(seconds=ago)))

    @hookimpl
    def guest_watch(self):
        def events():
            self.watched.release()
            while (event := self.events.get(timeout=LONG)) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event

        return events()


@pytest.fixture
def watch():
    """Watch a backend; what is seen comes out of a queue."""
    watchers = []

    def begin(backend):
        seen = queue.SimpleQueue()
        bound = Backends({"it": binding.bind_object(GUEST, backend, "it")})
        states = {Reference(vmid): state for vmid, state in backend.states.items()}
        watcher = Watcher(bound, states, lambda id_, state: seen.put((id_.vmid, state)), Quick())
        watchers.append(watcher.__enter__())
        return seen

    yield begin
    for watcher in watchers:
        watcher.__exit__(None, None, None)


def test_events_are_passed_on_and_nobody_is_asked(watch):
    backend = Telling()
    seen = watch(backend)
    backend.tell(101, RUNNING)
    backend.tell(101, RUNNING)  # nothing new
    backend.tell(100, STOPPED)
    assert [seen.get(timeout=LONG) for _ in range(2)] == [(101, RUNNING), (100, STOPPED)]
    assert backend.asked == 0
    backend.events.put(None)


def test_without_events_the_hypervisor_is_asked(watch):
    backend = Silent()
    seen = watch(backend)
    backend.states = {100: STOPPED, 101: STOPPED}
    assert seen.get(timeout=LONG) == (100, STOPPED)


def test_what_happened_while_the_connection_was_broken_is_asked_for(watch):
    backend = Telling()
    seen = watch(backend)
    assert backend.watched.acquire(timeout=LONG)
    backend.states = {100: STOPPED, 101: STOPPED}
    backend.events.put(Unavailable("gone"))
    assert seen.get(timeout=LONG) == (100, STOPPED)
    backend.tell(100, RUNNING, ago=60)  # an old tale: what was asked is newer
    backend.tell(101, RUNNING)
    assert seen.get(timeout=LONG) == (101, RUNNING)
    backend.events.put(None)


def test_a_hypervisor_that_cannot_be_asked_either_is_tried_again(watch):
    class Away(Silent):
        @hookimpl
        def guest_list(self):
            self.asked += 1
            if self.asked < 3:
                raise Unavailable("away")
            return [Guest(100, "", "vm", STOPPED)]

    assert watch(Away()).get(timeout=LONG) == (100, STOPPED)
