"""A family says what it wants of its calls: how long one may take, and whether one waits for another."""

import threading
from dataclasses import dataclass, replace

import pytest

from pvefw.api import hookimpl
from pvefw.core import binding, families
from pvefw.core.errors import PluginFailed, PluginTimeout
from pvefw.core.families import OBSERVER, STORE
from pvefw.testing.fakes import FakeTask


@dataclass
class Meeting:
    """Two calls meet in it, if they run at once."""

    def __post_init__(self):
        self.barrier = threading.Barrier(2)

    @hookimpl
    def on_boot_synced(self, event):
        self.barrier.wait(timeout=0.5)


def call_twice(family):
    """Whether two calls met."""
    bound, failures = binding.bind_object(family, Meeting(), "meeting"), []

    def call():
        try:
            bound.hooks.on_boot_synced(event=None, task=FakeTask())
        except PluginFailed as error:
            failures.append(error)

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return not failures


@pytest.mark.parametrize("seconds", [30.0, None])
def test_calls_wait_for_each_other_or_not(seconds):
    family = replace(OBSERVER, call_seconds=seconds)
    assert not call_twice(family)
    assert call_twice(replace(family, one_at_a_time=False))


def test_a_call_has_the_familys_time():
    bound = binding.bind_object(replace(OBSERVER, call_seconds=0.05), Meeting(), "meeting")
    with pytest.raises(PluginTimeout, match=r"did not return within 0\.05 seconds"):
        bound.hooks.on_boot_synced(event=None, task=FakeTask())


@pytest.mark.parametrize("family", families.FAMILIES.values(), ids=lambda family: family.name)
def test_every_family_says_how_to_try_an_instance_out(family):
    """A question has no arguments that a caller must know; observers only listen, and stores have no
    instances."""
    assert family.question in family.hooks or family in (OBSERVER, STORE)
