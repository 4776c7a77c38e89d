"""dns-persist-01 at a server that was not written here: acme2certifier looks the record up."""

import json

import pytest
from privileges import only_root
from servers.a2c import acme2certifier
from servers.knot import knot
from servers.nameserver import Zone, loopback

ISSUER = "authority.test"


@pytest.fixture
def server(tmp_path):
    """acme2certifier asks port 53 only."""
    zones = [
        Zone("test.", {"ns1": "127.0.0.1"}),
        Zone("example.test.", {"ns1": "127.0.0.1"}, "www A 127.0.0.1"),
    ]
    address = loopback()
    zones = [Zone(zone.name, {"ns1": address}, zone.records) for zone in zones]
    with knot(tmp_path / "knot", zones, address=address, port=53) as running:
        yield running


@only_root("listens on port 53")
def test_acme2certifier_validates_the_record_and_orders_go_on_without_dns(host, server, tmp_path):
    with acme2certifier(tmp_path / "a2c", dns_server=server.address, issuer=ISSUER) as acme:
        host.run(
            *["acme", "account", "register", "default", "mail@example.invalid", "--accept-tos"],
            *["--directory", acme.directory, "--ca-file", acme.ca_file],
        )
        host.run("config", "set", "--resolvers", server.address)
        data = tmp_path / "zone.data"
        data.write_text(
            f"server={server.address}\nkey_name={server.key.name}\nsecret={server.key.secret}\n"
            f"algorithm={server.key.algorithm}\n"
        )
        host.run("acme", "plugin", "add", "dns", "zone", "--api", "rfc2136", "--data", data)
        host.run("config", "set", "--acmedomain0", "example.test,challenge=dns-persist-01")
        host.run("config", "set", "--acmedomain1", "*.example.test,challenge=dns-persist-01")
        host.run("config", "set", "--acmedomain2", "d.example.test,plugin=zone")
        assert "example.test" in host.fail(
            "acme", "cert", "order"
        )  # nothing is there, and it looks
        host.run("acme", "persist", "publish", "example.test", "--wildcard", "--plugin", "zone")
        host.run("acme", "cert", "order")  # with dns-01 in the same certificate
        [info] = json.loads(host.run("cert", "info", "--output-format", "json"))
        assert sorted(info["san"]) == ["*.example.test", "d.example.test", "example.test"]
        host.run("config", "set", "--delete", "acmedomain2")
        host.run("acme", "plugin", "remove", "zone")
        host.run("config", "set", "--resolvers", "127.0.0.1:9")
        host.run("acme", "cert", "order", "--force")
