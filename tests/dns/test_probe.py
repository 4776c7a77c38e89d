"""``pvefw dns test``: the time line of one record."""

import pytest
from servers.world import ServerZones

from pvefw.core.errors import ProviderError
from pvefw.dns import journal
from pvefw.dns.probe import probe


def test_the_time_line_tells_the_whole_way(world, paths, task):
    plugin = ServerZones(world.primary)
    steps = []
    route = world.route("aliased.example.test", plugin)
    probe(paths, route, world.resolver, task, steps.append)
    said = [step.line for step in steps]
    assert said[0] == "_acme-challenge.aliased.example.test. is an alias"
    assert said[1] == "the record is _acme-challenge.target.other.test., in zone other.test."
    assert said[2].startswith("name servers: ns1.other.test (127.0.0.1 port ")
    assert said[3].startswith('added by inst: "')
    assert sorted(line.partition(" (")[0] for line in said[4:6]) == [
        "seen at ns1.other.test",
        "seen at ns2.other.test",
    ]
    assert said[6:] == ["every name server shows it", "removed"]
    times = [step.seconds for step in steps]
    assert times == sorted(times)
    assert journal.open_entries(paths) == []


def test_a_lagging_server_is_an_error_and_the_record_goes(world, paths, task):
    steps = []
    route = world.route("probe.slow.test", ServerZones(world.primary), delay=0.5)
    with pytest.raises(ProviderError, match=r"ns2\.slow\.test"):
        probe(paths, route, world.resolver, task, steps.append)
    assert steps[-1].line == "removed"
    assert world.primary.txt("_acme-challenge.probe.slow.test.") == set()


def test_what_was_never_added_is_not_said_to_be_removed(world, paths, task):
    plugin = ServerZones(world.primary)
    plugin.failures["add"] = [ProviderError("wrong token")]
    steps = []
    with pytest.raises(ProviderError, match="wrong token"):
        probe(paths, world.route("never.example.test", plugin), world.resolver, task, steps.append)
    assert not [step.line for step in steps if "removed" in step.line or "left" in step.line]


def test_a_record_that_stays_is_named(world, paths, task):
    plugin = ServerZones(world.primary)
    plugin.failures["remove"] = [ProviderError("no")]
    with pytest.raises(ProviderError, match="the test record is left behind"):
        probe(paths, world.route("stays.example.test", plugin), world.resolver, task, _nothing)
    assert len(journal.open_entries(paths, "inst")) == 1


def _nothing(_step):
    pass
