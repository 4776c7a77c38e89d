"""The solver, from challenges to records on real servers and back to none."""

import threading
import time

import pytest
from servers.world import ServerZones, Task, challenge

from pvefw.core.errors import (
    Cancelled,
    ConfigError,
    CredentialsRejected,
    PluginFailed,
    PluginTimeout,
    ProviderError,
    RateLimited,
    StoreError,
    Unavailable,
)
from pvefw.dns import journal
from pvefw.dns.resolver import Resolver, Server
from pvefw.dns.solver import DnsSolver
from pvefw.store.paths import Paths


def name_of(domain):
    return f"_acme-challenge.{domain}."


def test_apex_and_wildcard_beside_a_foreign_value(world, paths, task):
    name = name_of("apex.example.test")
    world.primary.update("example.test.", ("add", name, "foreign"))
    plugin = ServerZones(world.primary)
    routes = [
        world.route(domain, plugin) for domain in ("apex.example.test", "*.apex.example.test")
    ]
    solver = DnsSolver(paths, routes, world.resolver)
    assert solver.challenge_types() == ["dns-01", "dns-account-01"]
    two = [challenge("apex.example.test", "one"), challenge("apex.example.test", "two")]
    solver.challenge_present(challenges=two, task=task)
    wanted = {challenge_.dns_value for challenge_ in two}
    assert world.primary.txt(name) == world.second.txt(name) == {"foreign"} | wanted
    assert {entry.value for entry in journal.open_entries(paths, "inst")} == wanted
    solver.challenge_cleanup(challenges=two, task=task)
    assert world.primary.txt(name) == {"foreign"}
    assert journal.open_entries(paths) == []
    assert plugin.made("add") == plugin.made("remove") == [("example.test.", 2)]
    assert task.warnings == []


def test_fifty_names_in_three_zones_are_one_call_for_each_zone(world, paths, task):
    plugin = ServerZones(world.primary)
    zones = ["example.test", "other.test", "wild.test"]
    domains = [f"h{number}.{zones[number % 3]}" for number in range(50)]
    solver = DnsSolver(paths, [world.route(domain, plugin) for domain in domains], world.resolver)
    challenges = [challenge(domain) for domain in domains]
    start = time.monotonic()
    solver.challenge_present(challenges=challenges, task=task)
    assert time.monotonic() - start < 10
    assert sorted(plugin.made("add")) == [
        ("example.test.", 17),
        ("other.test.", 17),
        ("wild.test.", 16),
    ]
    for challenge_ in challenges:
        assert challenge_.dns_value in world.values(name_of(challenge_.identifier.value))
    solver.challenge_cleanup(challenges=challenges, task=task)
    assert len(plugin.made("remove")) == 3
    assert plugin.most_running == 1
    assert not any(world.values(name_of(domain)) for domain in domains)


def test_instances_work_side_by_side_each_in_its_own_zone(world, paths, task):
    together = threading.Barrier(3, timeout=10)

    class Meeting(ServerZones):
        def _change(self, action, zone, records):
            together.wait()
            super()._change(action, zone, records)

    plugins = {
        "bind.example.test": Meeting(world.primary),
        "www.knot.test": Meeting(world.knot),
        "www.pdns.test": Meeting(world.pdns, zones=["pdns.test."]),
    }
    routes = [world.route(domain, plugin, f"for-{domain}") for domain, plugin in plugins.items()]
    solver = DnsSolver(paths, routes, world.resolver)
    challenges = [challenge(domain) for domain in plugins]
    solver.challenge_present(challenges=challenges, task=task)
    for challenge_ in challenges:
        assert world.values(name_of(challenge_.identifier.value)) == {challenge_.dns_value}
    solver.challenge_cleanup(challenges=challenges, task=task)
    for challenge_ in challenges:
        assert world.values(name_of(challenge_.identifier.value)) == set()


def test_two_accounts_of_one_provider(world, paths, task):
    first, second = ServerZones(world.primary), ServerZones(world.primary)
    routes = [
        world.route("one.example.test", first, "first"),
        world.route("two.example.test", second, "second"),
    ]
    solver = DnsSolver(paths, routes, world.resolver)
    challenges = [challenge("one.example.test"), challenge("two.example.test")]
    solver.challenge_present(challenges=challenges, task=task)
    solver.challenge_cleanup(challenges=challenges, task=task)
    assert first.made("add") == second.made("add") == [("example.test.", 1)]


def test_names_that_lead_to_one_record_are_added_once(world, paths, task):
    plugin = ServerZones(world.primary)
    names = ("a.example.test", "b.example.test")
    routes = [world.route(name, plugin, alias="shared.other.test") for name in names]
    solver = DnsSolver(paths, routes, world.resolver)
    same = [challenge(name) for name in names]
    values = {challenge_.dns_value for challenge_ in same}
    solver.challenge_present(challenges=same, task=task)
    assert world.values(name_of("shared.other.test")) == values
    solver.challenge_cleanup(challenges=same, task=task)
    assert plugin.made("add") == [("other.test.", 2)]


def test_a_second_order_in_the_same_run(world, paths, task):
    """An interrupted order that cannot be completed is followed by a new one."""
    plugin = ServerZones(world.primary)
    solver = DnsSolver(paths, [world.route("twice.example.test", plugin)], world.resolver)
    for token in ("first", "second"):
        dns_challenge = challenge("twice.example.test", token)
        solver.challenge_present(challenges=[dns_challenge], task=task)
        assert world.primary.txt(name_of("twice.example.test")) == {dns_challenge.dns_value}
        solver.challenge_cleanup(challenges=[dns_challenge], task=task)
    assert plugin.made("remove") == [("example.test.", 1)] * 2


# --- where ---------------------------------------------------------------------------------------


def test_an_existing_cname_is_followed(world, paths, task):
    plugin = ServerZones(world.primary)
    solver = DnsSolver(paths, [world.route("aliased.example.test", plugin)], world.resolver)
    dns_challenge = challenge("aliased.example.test")
    solver.challenge_present(challenges=[dns_challenge], task=task)
    assert world.primary.txt(name_of("target.other.test")) == {dns_challenge.dns_value}
    solver.challenge_cleanup(challenges=[dns_challenge], task=task)
    assert plugin.made("remove") == [("other.test.", 1)]
    assert " → _acme-challenge.target.other.test." in task.text


def test_an_alias_that_dns_confirms_is_no_warning(world, paths, task):
    plugin = ServerZones(world.primary)
    route = world.route("aliased.example.test", plugin, alias="target.other.test")
    solver = DnsSolver(paths, [route], world.resolver)
    dns_challenge = challenge("aliased.example.test")
    solver.challenge_present(challenges=[dns_challenge], task=task)
    solver.challenge_cleanup(challenges=[dns_challenge], task=task)
    assert task.warnings == []


def test_an_alias_without_its_cname_is_warned_of(world, paths, task):
    plugin = ServerZones(world.primary)
    route = world.route("www.example.test", plugin, alias="target.other.test")
    solver = DnsSolver(paths, [route], world.resolver)
    solver.challenge_present(challenges=[challenge("www.example.test")], task=task)
    solver.challenge_cleanup(challenges=[challenge("www.example.test")], task=task)
    assert len(task.warnings) == 1
    assert "is not a CNAME to _acme-challenge.target.other.test." in task.warnings[0]


def test_the_provider_s_longest_zone_wins(world, paths, task):
    plugin = ServerZones(world.primary, zones=["test.", "example.test.", "other.test."])
    solver = DnsSolver(paths, [world.route("www.example.test", plugin)], world.resolver)
    solver.challenge_present(challenges=[challenge("www.example.test")], task=task)
    solver.challenge_cleanup(challenges=[challenge("www.example.test")], task=task)
    assert plugin.made("add") == [("example.test.", 1)]


def test_a_provider_without_the_zone_is_told_before_anything_is_added(world, paths, task):
    plugin = ServerZones(world.primary, zones=["elsewhere.test."])
    solver = DnsSolver(paths, [world.route("www.example.test", plugin)], world.resolver)
    with pytest.raises(ProviderError, match=r"inst: none of its zones holds _acme-chall") as caught:
        solver.challenge_present(challenges=[challenge("www.example.test")], task=task)
    assert "elsewhere.test." in caught.value.hint
    assert plugin.calls == []
    solver.challenge_cleanup(challenges=[challenge("www.example.test")], task=task)
    assert plugin.calls == []


def test_a_poisoned_resolver_does_not_matter_to_who_knows_the_zones(world, paths, task):
    """Then nothing can be watched, and the delay is waited."""
    plugin = ServerZones(world.primary, zones=["example.test."])
    nobody = Resolver([Server(world.closed, world.port)])
    solver = DnsSolver(paths, [world.route("p.example.test", plugin, delay=0.3)], nobody)
    solver.challenge_present(challenges=[challenge("p.example.test")], task=task)
    assert "waiting 0.3 s instead: DNS: SOA of p.example.test. cannot be looked up" in task.text
    solver.challenge_cleanup(challenges=[challenge("p.example.test")], task=task)
    without = DnsSolver(paths, [world.route("p.example.test", ServerZones(world.primary))], nobody)
    with pytest.raises(Unavailable):
        without.challenge_present(challenges=[challenge("p.example.test")], task=task)


def test_a_wildcard_and_its_base_must_agree(world, paths):
    plugin = ServerZones(world.primary)
    routes = [
        world.route("example.test", plugin, "one"),
        world.route("*.example.test", plugin, "two"),
    ]
    with pytest.raises(ConfigError, match=r"example\.test and \*\.example\.test share"):
        DnsSolver(paths, routes, world.resolver)


# --- when it fails ---------------------------------------------------------------------------------


def test_a_busy_provider_is_asked_again(world, paths, task):
    plugin = ServerZones(world.primary)
    plugin.failures["add"] = [RateLimited("slow down", retry_after=0.1), Unavailable("maintenance")]
    plugin.failures["remove"] = [Unavailable("maintenance")]
    solver = DnsSolver(paths, [world.route("busy.example.test", plugin)], world.resolver)
    dns_challenge = challenge("busy.example.test")
    solver.challenge_present(challenges=[dns_challenge], task=task)
    assert world.primary.txt(name_of("busy.example.test")) == {dns_challenge.dns_value}
    solver.challenge_cleanup(challenges=[dns_challenge], task=task)
    assert world.primary.txt(name_of("busy.example.test")) == set()
    assert "inst: slow down; trying again in 0.1 seconds" in task.text
    assert len({records for _, _, records in plugin.calls}) == 1


def test_one_instance_fails_and_the_other_s_records_go_too(world, paths, task):
    good, bad = ServerZones(world.primary), ServerZones(world.knot)
    bad.failures["add"] = [CredentialsRejected("the key may not do this", hint="Ask for more.")]
    routes = [
        world.route("good.example.test", good, "good"),
        world.route("bad.knot.test", bad, "bad"),
    ]
    solver = DnsSolver(paths, routes, world.resolver)
    both = [challenge("good.example.test"), challenge("bad.knot.test")]
    with pytest.raises(CredentialsRejected) as caught:
        solver.challenge_present(challenges=both, task=task)
    assert caught.value.message == "bad.knot.test: bad: the key may not do this"
    assert caught.value.hint == "Ask for more."
    solver.challenge_cleanup(challenges=both, task=task)
    assert world.values(name_of("good.example.test")) == set()
    assert bad.made("remove") == [("knot.test.", 1)]  # half of it may have been added
    assert journal.open_entries(paths) == []


def test_rubbish_from_a_plugin_names_it(world, paths, task):
    plugin = ServerZones(world.primary)
    plugin.failures["add"] = [KeyError("id")]
    solver = DnsSolver(paths, [world.route("rubbish.example.test", plugin)], world.resolver)
    with pytest.raises(PluginFailed, match=r"rubbish\.example\.test: inst: dns_add failed"):
        solver.challenge_present(challenges=[challenge("rubbish.example.test")], task=task)
    solver.challenge_cleanup(challenges=[challenge("rubbish.example.test")], task=task)


def test_what_is_accepted_but_never_published_is_an_error(world, paths, task):
    plugin = ServerZones(world.primary)
    plugin.publishes = False
    route = world.route("lost.example.test", plugin, delay=0.5)
    solver = DnsSolver(paths, [route], world.resolver)
    with pytest.raises(ProviderError, match=r"does not show after 0\.5 seconds"):
        solver.challenge_present(challenges=[challenge("lost.example.test")], task=task)
    solver.challenge_cleanup(challenges=[challenge("lost.example.test")], task=task)
    assert plugin.made("remove") == [("example.test.", 1)]


def test_a_failed_clean_up_says_what_is_left_where_and_keeps_the_journal(world, paths, task):
    plugin = ServerZones(world.primary)
    solver = DnsSolver(paths, [world.route("left.example.test", plugin)], world.resolver)
    dns_challenge = challenge("left.example.test")
    solver.challenge_present(challenges=[dns_challenge], task=task)
    plugin.failures["remove"] = [CredentialsRejected("the key has expired")]
    with pytest.raises(ProviderError) as caught:
        solver.challenge_cleanup(challenges=[dns_challenge], task=task)
    said = (
        f'_acme-challenge.left.example.test. TXT "{dns_challenge.dns_value}" in zone example.test.'
    )
    assert caught.value.message == f"DNS records are left behind: {said}: inst: the key has expired"
    assert "pvefw dns cleanup" in caught.value.hint
    assert [entry.value for entry in journal.open_entries(paths)] == [dns_challenge.dns_value]
    solver.challenge_cleanup(challenges=[dns_challenge], task=task)  # again, and now it works
    assert journal.open_entries(paths) == []


def test_without_a_journal_nothing_is_added(world, tmp_path, task):
    (tmp_path / "var").write_text("not a directory")
    plugin = ServerZones(world.primary)
    solver = DnsSolver(
        Paths(tmp_path, "pve1"), [world.route("www.example.test", plugin)], world.resolver
    )
    with pytest.raises(StoreError):
        solver.challenge_present(challenges=[challenge("www.example.test")], task=task)
    assert plugin.calls == []


def test_cancelled_while_waiting_and_still_cleaned_up(world, paths):
    task = Task()
    plugin = ServerZones(world.primary)
    route = world.route("cancelled.slow.test", plugin, delay=60)
    solver = DnsSolver(paths, [route], world.resolver)
    dns_challenge = challenge("cancelled.slow.test")
    threading.Timer(0.5, task.cancel).start()
    with pytest.raises(Cancelled):
        solver.challenge_present(challenges=[dns_challenge], task=task)
    assert world.primary.txt(name_of("cancelled.slow.test")) == {dns_challenge.dns_value}
    plugin.failures["remove"] = [Unavailable("busy")]
    solver.challenge_cleanup(challenges=[dns_challenge], task=task)
    assert world.primary.txt(name_of("cancelled.slow.test")) == set()


def test_a_plugin_that_hangs_is_cleaned_up_once_more_later(world, paths, task, monkeypatch):
    """What it was doing may take effect after we have removed the records."""
    monkeypatch.setenv("PVEFW_PLUGIN_TIMEOUT", "0.5")
    go_on = threading.Event()

    class Hangs(ServerZones):
        def _change(self, action, zone, records):
            if action == "add":
                go_on.wait(20)
            super()._change(action, zone, records)

    plugin = Hangs(world.primary)
    solver = DnsSolver(paths, [world.route("hangs.example.test", plugin)], world.resolver)
    dns_challenge = challenge("hangs.example.test")
    with pytest.raises(PluginTimeout, match="did not return within"):
        solver.challenge_present(challenges=[dns_challenge], task=task)
    solver.challenge_cleanup(challenges=[dns_challenge], task=task)
    assert [entry.value for entry in journal.open_entries(paths)] == [dns_challenge.dns_value]
    go_on.set()
