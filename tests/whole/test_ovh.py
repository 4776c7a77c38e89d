"""The administration guide's walk-through at OVH: from curl to a certificate, and to an empty zone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from servers.pebble import pebble as run_pebble

from pvefw.dns import journal
from pvefw.testing.dns_zone import dns_zone

sys.path.insert(0, str(Path(__file__).parents[2] / "plugins/acme_dns_ovh/tests"))
from fake_ovh import fake_ovh

GUIDE_RULES = [
    ("GET", "/auth/time"),
    ("GET", "/domain"),
    ("GET", "/domain/zone/*"),
    ("GET", "/domain/zone/*/record"),
    ("POST", "/domain/zone/*/record"),
    ("POST", "/domain/zone/*/refresh"),
    ("PUT", "/domain/zone/*/record/"),
    ("DELETE", "/domain/zone/*/record/*"),
]
"""As Proxmox VE's guide has them: a star does not cover its root, so nothing lists the zones."""


@pytest.fixture
def ovh(tmp_path):
    """OVH, whose name servers are a zone in this process."""
    with dns_zone("example.com.") as zone, fake_ovh(tmp_path) as started:

        def publish(_zone, shown):
            now = {(f"{label}.example.com.", value) for label, value in shown}
            for name, value in set(zone.records) - now:
                zone.remove(name, value)
            for name, value in now:
                zone.add(name, value)

        started.publish, started.dns = publish, zone
        yield started


@pytest.fixture
def authority(host, ovh, tmp_path):
    with run_pebble(tmp_path / "pebble", dns_server=ovh.dns.server) as server:
        host.register(server)
        where = ("--resolvers", ovh.dns.server, "--authority-port", ovh.dns.port)
        host.run("config", "set", *where)
        yield server


def curl(ovh, path, body):
    """The request of the guide; OVH's CA is the test's."""
    said = subprocess.run(
        [
            *("curl", "--silent", "--show-error", "--noproxy", "*", "--cacert", ovh.ca_file),
            *("-XPOST", "-H", f"X-Ovh-Application: {ovh.application[0]}"),
            *("-H", "Content-type: application/json", "-d", body, f"{ovh.base}{path}"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(said.stdout)


def test_from_curl_to_a_certificate(host, ovh, authority, tmp_path):
    token = tmp_path / "api_token"
    key, secret = ovh.application
    rules = [{"method": method, "path": path} for method, path in GUIDE_RULES]
    made = curl(ovh, "/auth/credential", json.dumps({"accessRules": rules}))
    assert made["state"] == "pendingValidation"
    ovh.consumers[made["consumerKey"]]["status"] = "validated"  # on the page
    lines = [f"OVH_AK={key}", f"OVH_AS={secret}", f"OVH_CK={made['consumerKey']}"]
    of_the_test = [f"OVH_END_POINT={ovh.base}", f"OVH_CA_FILE={ovh.ca_file}"]
    token.write_text("\n".join([*lines, *of_the_test]) + "\n")

    add = ("acme", "plugin", "add", "dns", "example_plugin", "--api", "ovh", "--data", token)
    host.run(*add)
    assert "OVH_AK" in host.run("acme", "plugin", "config", "example_plugin")
    host.run("config", "set", "-acmedomain0", "www.example.com,plugin=example_plugin")
    said = host.run("acme", "cert", "order")
    assert "Task OK" in said
    [info] = json.loads(host.run("cert", "info", "--output-format", "json"))
    assert info["san"] == ["www.example.com"]
    assert ovh.records == {}
    assert ovh.dns.records == []
    assert journal.open_entries(host.paths) == []
    assert secret not in said
    assert made["consumerKey"] not in said


def instance(host, ovh, tmp_path, rules):
    """An instance with a key that may do this."""
    ovh.grant("ck", [{"method": method, "path": path} for method, path in rules])
    values = dict(zip(("OVH_AK", "OVH_AS"), ovh.application, strict=True))
    values |= {"OVH_CK": "ck", "OVH_END_POINT": ovh.base, "OVH_CA_FILE": ovh.ca_file}
    data = tmp_path / "data"
    data.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    host.run("acme", "plugin", "add", "dns", "mine", "--api", "ovh", "--data", data)
    host.run("config", "set", "-acmedomain0", "www.example.com,plugin=mine")


def test_a_refresh_that_fails_after_the_order_leaves_nothing(host, ovh, authority, tmp_path):
    """Once while the record goes in, and once while it goes out."""
    instance(host, ovh, tmp_path, GUIDE_RULES)
    ovh.refreshing = [503, 200, 503]
    said = host.run("acme", "cert", "order")
    assert "Task OK" in said
    assert said.count("trying again in") == 2
    assert ovh.dns.records == []
    assert journal.open_entries(host.paths) == []


def test_a_key_that_may_do_too_little_says_in_short_lines_how_to_get_another(
    host, ovh, authority, tmp_path
):
    instance(host, ovh, tmp_path, GUIDE_RULES[:2])
    lines = host.fail("dns", "test", "mine", "www.example.com").splitlines()
    assert "NOT_GRANTED_CALL" in lines[0]
    assert lines[1] == (
        "  Get a consumer key with the rights that are needed: pvefw acme plugin login mine"
    )
    assert all(line.startswith("  ") and len(line) < 100 for line in lines[1:])
    assert ovh.calls["POST /auth/credential"] == 0
