"""DNS as people have it: one value for all, inner views, CNAMEs to an apex, servers that are gone."""

import json
import shutil
import time
from pathlib import Path

import pytest
from servers.nameserver import free_dns_port
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
    asked = world.resolver.servers[0]
    where = f"{asked.address}:{asked.port}"
    with run_pebble(tmp_path / "pebble", dns_server=where) as server:
        host.register(server)
        host.run("config", "set", "--resolvers", where, "--authority-port", world.port)
        yield server


@pytest.fixture
def instance(host, authority, tmp_path):
    def add(id_, api, *options, **values):
        data = tmp_path / f"{id_}.data"
        data.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
        return host.run("acme", "plugin", "add", "dns", id_, "--api", api, "--data", data, *options)

    return add


@pytest.fixture
def scripts(host):
    """Scripts below ``--root``, in the place that acme.sh uses."""
    shutil.copytree(SCRIPTS, host.root / "usr/share/acme.sh/dnsapi")


def of_primary(world):
    server = world.primary
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


def record_left(host, id_, domain):
    """A journal of a process that is dead; the record's name."""
    name = f"_acme-challenge.{domain}."
    entry = {"instance": id_, "zone": "example.test.", "name": name, "value": "old"}
    said = {"pid": 1, "pstart": 1, "created": "2026-01-01T00:00:00+00:00", "entries": [entry]}
    host.paths.dns_journals.mkdir(parents=True, exist_ok=True)
    (host.paths.dns_journals / f"{id_}.json").write_text(json.dumps(said))
    return name


def test_a_provider_with_one_value_gets_one_name_after_the_other(host, world, instance, scripts):
    """Two names and a wildcard that lead to one record, at a provider where each add replaces it."""
    server = world.primary
    key = f"{server.key.algorithm}:{server.key.name} {server.key.secret}"
    values = {"OV_Server": server.address, "OV_Port": server.port, "OV_Key": key}
    instance("one", "onevalue", "--validation-delay", "2", **values, OV_Name="single.example.test.")
    entries = ["one.single.test", "*.one.single.test", "two.single.test"]
    said = order(host, *(f"{name},plugin=one" for name in entries))
    assert names(host) == sorted(entries)
    assert "Validating one name after the other" in said
    assert said.count("replaced something") == 6  # all at once first, then each alone
    assert world.values("single.example.test.") == set()
    assert journal.open_entries(host.paths) == []


def test_a_cname_to_the_apex_of_a_zone(host, world, instance):
    instance("bind", "rfc2136", **of_primary(world))
    said = order(host, "toapex.example.test,plugin=bind")
    assert names(host) == ["toapex.example.test"]
    assert "adding 1 TXT record to zone other.test." in said
    assert world.primary.txt("other.test.") == set()


def test_a_failure_behind_a_cname_names_what_was_ordered(host, world, instance):
    instance("bind", "rfc2136", **of_primary(world))
    host.run("config", "set", "--acmedomain0", "loop.example.test,plugin=bind")
    said = host.fail("acme", "cert", "order")
    assert "Task ERROR: loop.example.test: " in said


def test_an_inner_view_is_not_watched_where_that_is_set(host, world, instance):
    """One of the zone's servers never shows the record to us."""
    instance("bind", "rfc2136", "--validation-delay", "1", **of_primary(world))
    host.run("config", "set", "--acmedomain0", "inner.slow.test,plugin=bind")
    said = host.fail("acme", "cert", "order")
    assert "pvefw config set --dns-watch 0" in said
    assert "--resolvers" in said
    host.run("config", "set", "--dns-watch", "0")
    host.run("config", "set", "--acmedomain0", "inner.example.test,plugin=bind")
    said = host.run("acme", "cert", "order")
    assert "Waiting for 1 seconds; name servers are not watched" in said
    assert "Watching" not in said


def test_where_nothing_was_added_nothing_is_left(host, world, instance):
    """Refused as a whole: no journal, so the instance can be removed at once."""
    wrong = {**of_primary(world), "secret": "d3Jvbmctd3Jvbmctd3Jvbmc="}
    instance("bind", "rfc2136", **wrong)
    host.run("config", "set", "--acmedomain0", "nothing.example.test,plugin=bind")
    host.fail("acme", "cert", "order")
    assert journal.open_entries(host.paths) == []
    host.run("config", "set", "--delete", "acmedomain0")
    host.run("acme", "plugin", "remove", "bind")


def test_old_entries_of_a_dead_server_slow_nobody_down(host, world, instance):
    gone = {**of_primary(world), "server": f"127.0.0.1:{free_dns_port()}"}
    silent = {**of_primary(world), "server": f"{world.silent}:{world.port}"}
    instance("gone", "rfc2136", **gone)
    instance("silent", "rfc2136", **silent)
    instance("bind", "rfc2136", **of_primary(world))
    for id_ in ("gone", "silent"):
        record_left(host, id_, "old.example.test")
    started = time.monotonic()
    order(host, "quick.example.test,plugin=bind")
    assert time.monotonic() - started < 12
    assert names(host) == ["quick.example.test"]
    assert {entry.instance for entry in journal.open_entries(host.paths)} == {"gone", "silent"}


def test_what_the_order_uses_itself_is_removed_before(host, world, instance):
    instance("bind", "rfc2136", **of_primary(world))
    name = record_left(host, "bind", "again.example.test")
    world.primary.update("example.test.", ("add", name, "old"))
    said = order(host, "again.example.test,plugin=bind")
    removed, added = said.index("bind: removing 1 TXT record"), said.index("bind: adding 1")
    assert removed < added
    assert journal.open_entries(host.paths) == []
