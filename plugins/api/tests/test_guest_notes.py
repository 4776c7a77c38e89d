"""What is noted of guests that were started at boot: at shutdown, one that is missing was killed."""

import pytest

from pvefw.api import Guest, GuestState
from pvefw.guests.bulk import Bulk
from pvefw.guests.plan import Listed
from pvefw.store import guest_notes
from pvefw.store.guest_reference import Reference
from pvefw.testing.fakes import FakeTask
from pvefw_api import guest, table
from pvefw_api.calls import Call

GUEST = Reference(100)


@pytest.fixture
def after(paths, monkeypatch):
    """Which guests are still noted after something was done to one of them, well."""
    web = Guest(vmid=100, name="web", kind="vm", state=GuestState.PAUSED)
    monkeypatch.setattr(guest, "_find", lambda _call, _kind: (None, Listed(GUEST, web)))
    monkeypatch.setattr(Bulk, "run", lambda _bulk, _jobs: None)
    monkeypatch.setattr(Bulk, "good", lambda _bulk: [GUEST])

    def done(action):
        guest_notes.note_started(paths, [GUEST], all_=True)
        path = f"/nodes/pve1/qemu/100/{action}"
        endpoint, named = table.find("POST", path)
        endpoint.run(Call(paths, {**named, "target": "pve2"})).work(FakeTask())
        return guest_notes.started(paths)

    return done


@pytest.mark.parametrize("action", ["status/start", "status/resume"])
def test_a_guest_that_runs_on_is_still_missed(after, action):
    assert after(action) == {GUEST}


@pytest.mark.parametrize("action", ["status/shutdown", "status/stop", "status/suspend", "migrate"])
def test_one_that_was_stopped_or_has_moved_is_not(after, action):
    assert after(action) == set()
