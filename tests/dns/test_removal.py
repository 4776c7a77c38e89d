"""What servers still show after a removal, and where a record is not put at all."""

import threading

import pytest
from servers.world import ServerZones, bound, challenge

from pvefw.core.errors import CredentialsRejected, ProviderError
from pvefw.dns import batches, journal, removal
from pvefw.dns.cleanup import cleanup
from pvefw.dns.journal import Entry
from pvefw.dns.probe import probe
from pvefw.dns.resolver import Server
from pvefw.dns.solver import DnsSolver
from pvefw.dns.zones import Zone


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(batches, "LOOK_SECONDS", 1.0)


class Forgetful(ServerZones):
    """Says that it has removed what it has not, until it is published."""

    published = False

    def _change(self, action, zone, records):
        if action == "remove" and not self.published:
            self.calls.append((action, zone, tuple(records)))
            return
        super()._change(action, zone, records)


def name_of(domain):
    return f"_acme-challenge.{domain}."


def presented(world, paths, task, domain, **options):
    plugin = Forgetful(world.primary)
    solver = DnsSolver(paths, [world.route(domain, plugin, **options)], world.resolver)
    dns_challenge = challenge(domain)
    solver.challenge_present(challenges=[dns_challenge], task=task)
    return plugin, solver, dns_challenge


def test_what_servers_still_show_is_named_and_kept(world, paths, task):
    plugin, solver, dns_challenge = presented(world, paths, task, "shown.example.test")
    with pytest.raises(ProviderError) as caught:
        solver.challenge_cleanup(challenges=[dns_challenge], task=task)
    said = "removed at the provider, but still shown by ns1.example.test"
    assert said in caught.value.message
    assert dns_challenge.dns_value in caught.value.message
    assert [entry.value for entry in journal.open_entries(paths)] == [dns_challenge.dns_value]
    plugin.published = True
    solver.challenge_cleanup(challenges=[dns_challenge], task=task)
    assert journal.open_entries(paths) == []


def test_a_server_that_lags_is_waited_for(world, paths, task, monkeypatch):
    monkeypatch.setattr(batches, "LOOK_SECONDS", 20.0)
    plugin, solver, dns_challenge = presented(world, paths, task, "lags.example.test")
    plugin.published = True
    real = plugin.server.update

    def later():
        real("example.test.", ("delete", name_of("lags.example.test"), dns_challenge.dns_value))

    plugin._change = lambda *_: threading.Timer(1.0, later).start()
    solver.challenge_cleanup(challenges=[dns_challenge], task=task)
    assert world.primary.txt(name_of("lags.example.test")) == set()
    assert journal.open_entries(paths) == []


def test_where_nothing_is_to_be_watched_nobody_is_asked(world, paths, task):
    _, solver, dns_challenge = presented(world, paths, task, "blind.example.test", delay=0.0)
    solver.challenge_cleanup(challenges=[dns_challenge], task=task)
    assert journal.open_entries(paths) == []
    world.primary.update(
        "example.test.", ("delete", name_of("blind.example.test"), dns_challenge.dns_value)
    )


def test_the_clean_up_of_another_process_looks_too(world, paths, task):
    plugin, _, dns_challenge = presented(world, paths, task, "other.example.test")
    (path,) = journal.files_of(paths)
    path.write_text(path.read_text().replace('"pstart": ', '"pstart": 1'))  # its process is dead
    again = cleanup(paths, lambda id_: bound(plugin, id_), task, resolver=world.resolver)
    assert ["still shown by ns1.example.test" in left.reason for left in again] == [True]
    assert len(journal.open_entries(paths)) == 1
    plugin.published = True
    assert cleanup(paths, lambda id_: bound(plugin, id_), task, resolver=world.resolver) == []
    assert journal.open_entries(paths) == []
    assert world.primary.txt(name_of("other.example.test")) == set()
    assert dns_challenge.dns_value in task.warnings[0]


def test_what_others_remember_does_not_count(world, task, clock):
    """A resolver between us and the servers answers without authority."""
    name = name_of("cached.example.test")
    world.primary.update("example.test.", ("add", name, "value"))
    entry = Entry("inst", "example.test.", name, "value")
    asked = world.resolver.servers[0]
    through_cache = Zone("example.test.", (Server(asked.address, asked.port),))
    own = Zone("example.test.", (Server(world.primary.address, world.port),))
    look = (world.resolver, task, clock, 0.0)
    assert list(removal.still_shown({entry: own}, *look)) == [entry]
    assert removal.still_shown({entry: through_cache}, *look) == {}
    world.primary.update("example.test.", ("delete", name, "value"))


def test_servers_that_are_silent_show_nothing(world, task, clock):
    entry = Entry("inst", "dead.test.", name_of("dead.test"), "value")
    servers = tuple(Server(address, world.port) for address in (world.silent, world.closed))
    zone = Zone("dead.test.", servers)
    assert removal.still_shown({entry: zone}, world.resolver, task, clock, 0.0) == {}


# --- a zone of its own ---------------------------------------------------------------------------


@pytest.mark.parametrize("domain", ["www.sub.example.test", "www.same.example.test"])
def test_a_record_is_not_put_above_a_delegation(world, paths, task, domain):
    """The provider has the parent only: what is added there, nobody asks for."""
    plugin = ServerZones(world.primary, zones=["example.test."])
    solver = DnsSolver(paths, [world.route(domain, plugin)], world.resolver)
    with pytest.raises(ProviderError, match="a zone of its own on ns") as caught:
        solver.challenge_present(challenges=[challenge(domain)], task=task)
    assert "the provider has example.test. only" in caught.value.message
    assert plugin.calls == []
    assert journal.files_of(paths) == []


# --- dns test --------------------------------------------------------------------------------------


def test_a_record_that_is_left_is_named_beside_another_error(world, paths, task):
    plugin = ServerZones(world.primary)
    plugin.publishes = False
    plugin.failures["remove"] = [CredentialsRejected("the key has expired")]
    route = world.route("both.example.test", plugin, delay=0.5)
    steps = []
    with pytest.raises(ProviderError) as caught:
        probe(paths, route, world.resolver, task, steps.append)
    said = caught.value.message
    assert "does not show after 0.5 seconds" in said
    assert "the test record is left behind: _acme-challenge.both.example.test. TXT" in said
    assert "the key has expired" in said
    assert steps[-1].line.startswith("left: _acme-challenge.both.example.test.")
