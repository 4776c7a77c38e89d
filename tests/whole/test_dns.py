"""Certificates validated through DNS: the shipped plugins, real servers, a real authority."""

import base64
import json
import shutil
import signal
import time
from pathlib import Path

import pytest
from servers.pebble import pebble as run_pebble
from servers.world import small_internet

from pvefw.dns import journal

SCRIPTS = Path(__file__).parents[2] / "plugins/acme_dns_generic/tests/scripts"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with small_internet(tmp_path_factory.mktemp("world")) as started:
        yield started


@pytest.fixture
def authority(host, world, tmp_path):
    """An ACME server that looks names up in this world, and a node that does, too."""
    asked = world.resolver.servers[0]
    where = f"{asked.address}:{asked.port}"
    with run_pebble(tmp_path / "pebble", dns_server=where) as server:
        host.register(server)
        host.run("config", "set", "--resolvers", where, "--authority-port", world.port)
        yield server


@pytest.fixture
def instance(host, authority, tmp_path):
    """Adds an instance: ``instance("bind", "rfc2136", server=…)``."""

    def add(id_, api, *options, **values):
        data = tmp_path / f"{id_}.data"
        data.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
        host.run("acme", "plugin", "add", "dns", id_, "--api", api, "--data", data, *options)

    return add


def with_scripts(host):
    host.paths.cluster_pvefw_cfg.write_text("dns_catalog: acmesh\n\tpath /etc/scripts\n")
    shutil.copytree(SCRIPTS, host.root / "etc/scripts")


def update_settings(server):
    return {
        "server": f"{server.address}:{server.port}",
        "key_name": server.key.name,
        "secret": server.key.secret,
        "algorithm": server.key.algorithm,
    }


def order(host, *entries):
    for number, entry in enumerate(entries):
        host.run("config", "set", f"--acmedomain{number}", entry)
    return host.run("acme", "cert", "order", "--force")


def names(host):
    [info] = json.loads(host.run("cert", "info", "--output-format", "json"))
    return sorted(info["san"])


def record(domain):
    return f"_acme-challenge.{domain}."


def test_fifty_names_in_three_zones_through_two_accounts_of_one_provider(host, world, instance):
    instance("bind", "rfc2136", **update_settings(world.primary))
    instance("knot", "rfc2136", **update_settings(world.knot))
    zones = [("example.test", "bind"), ("other.test", "bind"), ("knot.test", "knot")]
    entries = [
        f"n{number}.bulk.{zone},plugin={id_}"
        for number in range(50)
        for zone, id_ in [zones[number % 3]]
    ]
    values = [
        word for number, entry in enumerate(entries) for word in (f"-acmedomain{number}", entry)
    ]
    host.run("config", "set", *values)
    said = host.run("acme", "cert", "order")
    assert len(names(host)) == 50
    assert world.primary.key.secret not in said
    assert journal.open_entries(host.paths) == []
    for entry in entries:
        assert world.values(record(entry.partition(",")[0])) == set()


def test_http_and_two_kinds_of_dns_in_one_certificate(host, world, instance):
    """Wildcard and apex through PowerDNS by a script, another server by updates, and http-01."""
    with_scripts(host)
    script = {"PT_Url": world.pdns.api, "PT_Token": world.pdns.api_key, "PT_Zone": "pdns.test."}
    instance("powerdns", "pdnsapi", **script)
    instance("bind", "rfc2136", **update_settings(world.primary))
    said = order(
        host,
        "pdns.test,plugin=powerdns",
        "*.pdns.test,plugin=powerdns",
        "mixed.example.test,plugin=bind",
        "www.example.test",
    )
    assert names(host) == ["*.pdns.test", "mixed.example.test", "pdns.test", "www.example.test"]
    assert "changed _acme-challenge.pdns.test" in said
    assert world.pdns.api_key not in said
    assert world.pdns.txt("_acme-challenge.pdns.test.") == set()


def test_a_plugins_cfg_of_proxmox_ve_works_as_it_is(host, world, authority):
    """Names and values as Proxmox VE writes them: base64url without padding, its own keys kept."""
    with_scripts(host)
    data = f"PT_Url={world.pdns.api}\nPT_Token={world.pdns.api_key}\nPT_Zone=pdns.test.\n"
    encoded = base64.urlsafe_b64encode(data.encode()).decode().rstrip("=")
    theirs = f"dns: theirs\n\tapi pdnsapi\n\tdata {encoded}\n\tlater-key kept\n\n"
    host.paths.plugins_cfg.write_text(theirs)
    host.standalone(authority.http_port)
    order(host, "theirs.pdns.test,plugin=theirs")
    assert names(host) == ["theirs.pdns.test"]
    assert theirs.rstrip() in host.paths.plugins_cfg.read_text()
    shown = host.run("acme", "plugin", "config", "theirs", "--output-format", "json")
    assert world.pdns.api_key not in shown


def test_an_alias_and_a_cname_into_zones_of_others(host, world, instance):
    instance("knot", "rfc2136", **update_settings(world.knot))
    instance("bind", "rfc2136", **update_settings(world.primary))
    said = order(
        host,
        "aliased.example.test,plugin=bind,alias=target.other.test",
        "knot-alias.example.test,plugin=knot",
    )
    assert "WARN" not in said
    assert "knot: adding 1 TXT record to zone knot.test." in said
    assert "bind: adding 1 TXT record to zone other.test." in said
    assert world.values(record("target.other.test")) == set()
    assert world.values("challenge.knot.test.") == set()


def test_knot_by_a_script_that_calls_a_program(host, world, instance):
    with_scripts(host)
    server = world.knot
    key = f"{server.key.algorithm}:{server.key.name}:{server.key.secret}"
    values = {"KN_Server": server.address, "KN_Port": server.port, "KN_Key": key}
    instance("script", "acmesh/knsup", **values, KN_Zone="knot.test.")
    order(host, "scripted.knot.test,plugin=script")
    assert names(host) == ["scripted.knot.test"]


def test_a_slow_secondary_is_waited_for(host, world, instance):
    instance("bind", "rfc2136", **update_settings(world.primary))
    host.run("config", "set", "-acmedomain0", "late.slow.test,plugin=bind")
    running = host.start("acme", "cert", "order")
    deadline = time.monotonic() + 20
    while not world.values(record("late.slow.test")):
        assert time.monotonic() < deadline
    world.lagging.control("zone-retransfer", "slow.test.")
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 0, said
    assert names(host) == ["late.slow.test"]


def test_a_secondary_that_never_catches_up_is_named_and_nothing_is_left(host, world, instance):
    instance("bind", "rfc2136", "--validation-delay", "1", **update_settings(world.primary))
    host.run("config", "set", "-acmedomain0", "never.slow.test,plugin=bind")
    said = host.fail("acme", "cert", "order")
    assert world.lagging.address in said
    assert "does not show" in said
    assert world.values(record("never.slow.test")) == set()
    assert not host.paths.proxy_certificate.exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"secret": "d3Jvbmctd3Jvbmctd3Jvbmc="}, "BADSIG"),
        ({"key_name": "nobody."}, "BADKEY"),
        ({"algorithm": "hmac-sha512"}, "BAD"),
    ],
)
def test_a_provider_that_refuses_leaves_nothing(host, world, instance, wrong, said):
    world.primary.update("example.test.", ("add", record("refused.example.test"), "foreign"))
    instance("bind", "rfc2136", **{**update_settings(world.primary), **wrong})
    host.run("config", "set", "-acmedomain0", "refused.example.test,plugin=bind")
    error = host.fail("acme", "cert", "order")
    assert "Task ERROR: " in error
    assert said in error
    assert "bind" in error
    assert world.primary.key.secret not in error
    assert world.values(record("refused.example.test")) == {"foreign"}


def test_a_provider_that_is_not_there_is_tried_again_until_the_user_has_enough(
    host, world, instance
):
    instance("bind", "rfc2136", **{**update_settings(world.primary), "server": "127.0.0.1:9"})
    host.run("config", "set", "-acmedomain0", "absent.example.test,plugin=bind")
    running = host.start("acme", "cert", "order")
    for line in running.stdout:
        if "cannot be reached" in line:
            assert "trying again in" in line
            break
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "Task ERROR: interrupted" in said


def test_the_time_line_of_a_test_record(host, world, instance):
    instance("knot", "rfc2136", **update_settings(world.knot))
    said = host.run("dns", "test", "knot", "probe.knot.test")
    assert "seen at" in said
    assert "removed" in said
    assert world.values(record("probe.knot.test")) == set()


def test_settings_are_checked_when_an_instance_is_added(host, authority, tmp_path):
    data = tmp_path / "data"
    data.write_text("servr=127.0.0.1\n")
    adding = ("acme", "plugin", "add", "dns", "bind", "--api", "rfc2136", "--data", data)
    said = host.fail(*adding, status=2)
    assert "servr is not a setting (did you mean server?)" in said
    assert "server is missing" in said
    assert "Known keys: server (required), key_name, secret, algorithm" in said
