"""Which servers are asked, and what becomes of what they answer."""

import pytest

from pvefw.core.errors import ConfigError
from pvefw.dns.resolver import Resolver, Server, parse_servers
from pvefw.store import files
from pvefw.store.node import Node


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("192.0.2.1", [Server("192.0.2.1")]),
        ("192.0.2.1:5353, 192.0.2.2", [Server("192.0.2.1", 5353), Server("192.0.2.2")]),
        ("2001:db8::1", [Server("2001:db8::1")]),
        ("[2001:db8::1]", [Server("2001:db8::1")]),
        ("[2001:db8::1]:5353,", [Server("2001:db8::1", 5353)]),
    ],
)
def test_servers_are_addresses_perhaps_with_ports(text, servers):
    assert parse_servers(text) == servers


@pytest.mark.parametrize(
    "text", ["dns.example", "192.0.2.1:x", "192.0.2.1:", "[2001:db8::1", "1.2"]
)
def test_what_is_no_address_is_named(text):
    with pytest.raises(ConfigError, match="is not IP or IP:PORT"):
        parse_servers(text)


def test_the_system_s_resolvers_are_the_default(paths):
    text = b"# a comment\nsearch example.com\nnameserver 192.0.2.1\nnameserver 2001:db8::1 x\n"
    files.replace(paths.below("etc/resolv.conf"), text)
    assert Resolver.configured(Node.open(paths)).servers == (
        Server("192.0.2.1"),
        Server("2001:db8::1"),
    )


def test_configured_resolvers_win(paths):
    files.replace(
        paths.cluster_pvefw_cfg, b"resolvers: 192.0.2.9,[::1]:5353\nauthority-port: 5300\n"
    )
    found = Resolver.configured(Node.open(paths))
    assert found.servers == (Server("192.0.2.9"), Server("::1", 5353))
    assert found.authority("ns.example.com.", "192.0.2.1") == Server("192.0.2.1", 5300)


def test_no_resolver_at_all_is_an_error(paths):
    with pytest.raises(ConfigError, match="names no DNS server") as caught:
        Resolver.configured(Node.open(paths))
    assert "--resolvers" in caught.value.hint


def test_servers_read_well():
    assert str(Server("192.0.2.1")) == "192.0.2.1"
    assert (
        str(Server("192.0.2.1", 5353, "ns1.example.com."))
        == "ns1.example.com (192.0.2.1 port 5353)"
    )
