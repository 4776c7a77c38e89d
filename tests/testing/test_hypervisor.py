"""The hypervisor that the kits bring along."""

import threading
import urllib.request

from pvefw.testing import hypervisor as testing


def test_a_guest_that_is_stopped_does_not_start_late(monkeypatch):
    """What was asked for before has no effect any more, however late it comes."""
    late = []

    class Late(threading.Timer):
        def start(self):
            late.append(self)

    monkeypatch.setattr(threading, "Timer", Late)
    with testing.hypervisor() as made:
        made.add(101)
        for verb in ("start", "stop"):
            urllib.request.urlopen(f"{made.url}/guests/101/{verb}", data=b"").close()
        [start] = late
        start.function(*start.args, **start.kwargs)
        assert not made.runs(101)
