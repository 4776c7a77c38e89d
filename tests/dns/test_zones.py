"""Places, on real servers: CNAMEs, delegations, wildcards, servers that do not answer."""

import pytest
from servers.bind import bind
from servers.nameserver import Zone

from pvefw.core.errors import ProviderError, Unavailable
from pvefw.dns.resolver import Resolver, Server
from pvefw.dns.zones import Finder


@pytest.fixture
def finder(world):
    return Finder(world.resolver)


def challenge(domain):
    return f"_acme-challenge.{domain}."


@pytest.mark.parametrize(
    ("domain", "zone"),
    [
        ("example.test", "example.test."),
        ("www.example.test", "example.test."),
        ("not.there.at.all.example.test", "example.test."),
        ("web.example.test", "example.test."),  # a CNAME itself
        ("x.er.example.test", "example.test."),  # an empty non-terminal
        ("www.sub.example.test", "sub.example.test."),  # delegated to another server
        ("sub.example.test", "sub.example.test."),
        ("www.same.example.test", "same.example.test."),  # delegated to the same server
        ("same.example.test", "same.example.test."),
        ("delegated.example.test", "_acme-challenge.delegated.example.test."),
        ("www.pdns.test", "pdns.test."),
        ("www.knot.test", "knot.test."),
    ],
)
def test_the_zone_is_the_nearest_one(finder, domain, zone):
    place = finder.place(challenge(domain))
    assert (place.name, place.zone.name) == (challenge(domain), zone)
    assert place.zone.servers
    assert place.aliases == ()


def test_all_addresses_of_all_servers_are_found(world, finder):
    servers = finder.place(challenge("www.example.test")).zone.servers
    assert {(server.address, server.port, server.name) for server in servers} == {
        ("127.0.0.1", world.port, "ns1.example.test."),
        ("::1", world.port, "ns2.example.test."),
    }


def test_a_cname_is_followed_into_another_zone(finder):
    place = finder.place(challenge("aliased.example.test"))
    assert place.name == "_acme-challenge.target.other.test."
    assert place.zone.name == "other.test."
    assert place.aliases == ("_acme-challenge.aliased.example.test.",)


def test_a_cname_is_followed_to_another_server(finder):
    place = finder.place(challenge("knot-alias.example.test"))
    assert (place.name, place.zone.name) == ("challenge.knot.test.", "knot.test.")


def test_a_chain_of_cnames_is_followed(finder):
    place = finder.place(challenge("chain.example.test"))
    assert place.name == "_acme-challenge.end.other.test."
    assert len(place.aliases) == 3


def test_a_loop_is_found(finder):
    with pytest.raises(ProviderError, match=r"loop.*x.loop.*y.loop") as caught:
        finder.place(challenge("loop.example.test"))
    assert caught.value.hint


def test_an_endless_chain_is_cut_off(finder):
    with pytest.raises(ProviderError, match="more than 8 CNAME"):
        finder.place(challenge("long.example.test"))


def test_a_wildcard_cname_is_not_followed(finder):
    place = finder.place(challenge("host.wild.test"))
    assert (place.name, place.zone.name) == (challenge("host.wild.test"), "wild.test.")


def test_servers_that_cannot_be_reached_leave_the_resolver(finder):
    place = finder.place(challenge("www.nowhere.test"))
    assert (place.name, place.zone.name) == (challenge("www.nowhere.test"), "nowhere.test.")


def test_a_dead_server_does_not_keep_the_others_from_being_asked(finder):
    assert finder.place(challenge("www.dead.test")).zone.name == "dead.test."


def test_no_resolver_answers(world):
    finder = Finder(Resolver([Server(world.closed, world.port)]))
    with pytest.raises(Unavailable, match=r"cannot be looked up.*connection refused") as caught:
        finder.place(challenge("www.example.test"))
    assert "--resolvers" in caught.value.hint


def test_a_resolver_that_refuses_is_followed_by_the_next(world):
    refusing = Server(world.lame, world.port)
    good = world.resolver.servers[0]
    finder = Finder(Resolver([refusing, good], authority_port=world.port))
    assert finder.place(challenge("www.example.test")).zone.name == "example.test."
    alone = Finder(Resolver([refusing], authority_port=world.port))
    with pytest.raises(Unavailable, match="answers REFUSED"):
        alone.place(challenge("www.example.test"))


@pytest.mark.parametrize("registry", ["org.", "co.uk."])
def test_a_domain_that_is_not_registered_is_not_looked_for_at_its_registry(tmp_path, registry):
    with bind(tmp_path, [Zone(registry, {"ns": "127.0.0.1"}, "example A 127.0.0.1")]) as server:
        finder = Finder(Resolver([Server("127.0.0.1", server.port)], authority_port=server.port))
        with pytest.raises(Unavailable, match=r"does not exist in DNS.*a registry's"):
            finder.place(challenge(f"unregistered.{registry.removesuffix('.')}"))


def test_a_private_top_level_zone_is_somebody_s_own(tmp_path):
    with bind(tmp_path, [Zone("lan.", {"ns": "127.0.0.1"})]) as server:
        finder = Finder(Resolver([Server("127.0.0.1", server.port)], authority_port=server.port))
        assert finder.place(challenge("pve1.lan")).zone.name == "lan."


def test_the_record_s_own_name_is_never_asked_at_the_resolver(world, finder):
    """Else a resolver that the authority shares would remember that it does not exist."""
    name = "unheard-of.www.example.test"
    finder.place(challenge(name))
    world.primary.update("example.test.", ("add", challenge(name), "now it does"))
    try:
        assert world.resolver_bind.txt(challenge(name)) == {"now it does"}
    finally:
        world.primary.update("example.test.", ("delete", challenge(name), "now it does"))


def test_split_horizon(world, tmp_path):
    """The inner view delegates elsewhere; who asks the outer resolver gets the outer zone."""
    inner_zone = Zone("example.test.", {"ns": "192.0.2.1"}, "www A 10.0.0.1")
    with bind(tmp_path, [inner_zone]) as inner:
        fooled = Finder(
            Resolver([Server("127.0.0.1", inner.port)], ports={"192.0.2.1": inner.port})
        )
        seen = fooled.zone("example.test.")
        assert [server.address for server in seen.servers] == ["192.0.2.1"]
        outside = Finder(world.resolver).zone("example.test.")
        assert "192.0.2.1" not in [server.address for server in outside.servers]
