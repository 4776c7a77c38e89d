"""dns-01 as an administrator meets it: real processes, a real authority, real DNS servers."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from servers.pebble import pebble as run_pebble

from pvefw.dns import journal

PLUGIN = '''
"""A DNS plugin in a distribution of its own: RFC 2136, and a switch that kills the process."""
import os, signal
from dataclasses import dataclass
import dns.query, dns.tsigkeyring, dns.update
from pvefw.api import hookimpl, setting

@dataclass
class Plugin:
    address: str = setting(help="The primary server.")
    port: int = setting(help="Its port.")
    secret: str = setting(help="The key's secret.", secret=True)
    die: str = setting(help="Kill the process after this.", default="")

    @hookimpl
    def dns_add(self, zone, records):
        self._change("add", zone, records)

    @hookimpl
    def dns_remove(self, zone, records):
        self._change("delete", zone, records)

    def _change(self, action, zone, records):
        keyring = dns.tsigkeyring.from_text({"pvefw-test.": self.secret})
        message = dns.update.Update(zone, keyring=keyring, keyalgorithm="hmac-sha256")
        for one in records:
            text = f'"{one.value}"'
            if action == "add":
                message.add(one.name, 1, "TXT", text)
            else:
                message.delete(one.name, "TXT", text)
        dns.query.tcp(message, self.address, port=self.port, timeout=10)
        if self.die == action:
            os.kill(os.getpid(), signal.SIGKILL)
'''


class Host:
    """A node in a tree of its own, with instances for BIND and Knot."""

    def __init__(self, world, paths, site):
        self.world = world
        self.paths = paths
        self.env = {**os.environ, "PYTHONPATH": str(site)}
        resolver = world.resolver.servers[0]
        self("config", "set", "--resolvers", f"{resolver.address}:{resolver.port}")
        self("config", "set", "--authority-port", world.port)
        self.instance("bind", world.primary)
        self.instance("knot", world.knot)

    def instance(self, id_, server, action="add", **more):
        values = {"address": server.address, "port": server.port, "secret": server.key.secret}
        data = self.paths.root.parent / "data"
        data.write_text("".join(f"{key}={value}\n" for key, value in {**values, **more}.items()))
        if action == "add":
            self("acme", "plugin", "add", "dns", id_, "--api", "update", "--data", data)
        else:
            self("acme", "plugin", "set", id_, "--data", data)

    def __call__(self, *arguments, status=0):
        where = ["--root", str(self.paths.root), "--node", "pve1"]
        done = subprocess.run(
            [sys.executable, "-m", "pvefw", *where, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
            env=self.env,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def domains(self, *entries):
        for number, entry in enumerate(entries):
            self("config", "set", f"--acmedomain{number}", entry)


@pytest.fixture
def host(world, paths, tmp_path):
    site = tmp_path / "site"
    info = site / "dist_update-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: dist-update\nVersion: 1.0\nRequires-Dist: pvefw>=1,<2\n"
    )
    (info / "entry_points.txt").write_text("[pvefw.dns]\nupdate = dist_update:Plugin\n")
    (site / "dist_update.py").write_text(PLUGIN)
    return Host(world, paths, site)


@pytest.fixture
def authority(host, tmp_path):
    """An ACME server that looks names up where the world's resolver does."""
    resolver = host.world.resolver.servers[0]
    where = f"{resolver.address}:{resolver.port}"
    with run_pebble(tmp_path / "pebble", dns_server=where) as server:
        host(
            *["acme", "account", "register", "default", "mail@example.invalid", "--accept-tos"],
            *["--directory", server.directory, "--ca-file", server.ca_file],
        )
        data = Path(tmp_path / "standalone")
        data.write_text(f"port={server.http_port}\n")
        host("acme", "plugin", "set", "standalone", "--data", data)
        yield server


def name_of(domain):
    return f"_acme-challenge.{domain}."


def test_the_first_thing_an_administrator_runs(host):
    said = host("dns", "test", "bind", "aliased.example.test")
    assert "_acme-challenge.aliased.example.test. is an alias" in said
    assert "s  seen at ns2.other.test (::1 port" in said
    assert "s  removed" in said
    assert said.splitlines()[-1] == "Task OK"
    assert host.world.values(name_of("target.other.test")) == set()


def test_one_certificate_many_ways(host, authority):
    """Wildcard and apex, a CNAME into another zone, another server, and http-01 beside them."""
    host.domains(
        "combined.example.test,plugin=bind",
        "*.combined.example.test,plugin=bind",
        "aliased.example.test,plugin=bind",
        "combined.knot.test,plugin=knot",
        "www.example.test",
    )
    said = host("acme", "cert", "order")
    assert "All domains validated!" in said
    assert "WARN" not in said
    assert host.world.primary.key.secret not in said
    for domain in ("combined.example.test", "target.other.test", "combined.knot.test"):
        assert host.world.values(name_of(domain)) == set()
    assert journal.open_entries(host.paths) == []


def test_killed_between_add_and_remove(host, authority):
    host.instance("bind", host.world.primary, "set", die="add")
    host.domains("killed.example.test,plugin=bind")
    host.world.primary.update("example.test.", ("add", name_of("killed.example.test"), "foreign"))
    host("acme", "cert", "order", status=-signal.SIGKILL)
    assert len(host.world.values(name_of("killed.example.test"))) == 2
    host.instance("bind", host.world.primary, "set")
    said = host("dns", "cleanup")
    assert "bind: removing 1 TXT record from zone example.test." in said
    assert host.world.values(name_of("killed.example.test")) == {"foreign"}
    assert "removing" not in host("dns", "cleanup")


def test_the_next_order_cleans_up_first(host, authority):
    host.instance("bind", host.world.primary, "set", die="add")
    host.domains("next.example.test,plugin=bind")
    host("acme", "cert", "order", status=-signal.SIGKILL)
    host.instance("bind", host.world.primary, "set")
    host("config", "set", "--acmedomain0", "www.example.test")
    said = host("acme", "plugin", "remove", "bind", status=2)
    assert "bind may still have _acme-challenge.next.example.test. TXT" in said
    assert "bind: removing 1 TXT record" in host("acme", "cert", "order")
    assert host.world.values(name_of("next.example.test")) == set()
    host("acme", "plugin", "remove", "bind")


def test_a_renewal_that_is_not_due_cleans_up_too(host, authority):
    host.domains("www.example.test")
    host("acme", "cert", "order")
    host.instance("bind", host.world.primary, "set", die="add")
    host.domains("again.example.test,plugin=bind")
    host("acme", "cert", "order", "--force", status=-signal.SIGKILL)
    host.instance("bind", host.world.primary, "set")
    host.domains("www.example.test")  # with another name it would be due
    said = host("acme", "cert", "renew", status=2)
    assert "bind: removing 1 TXT record" in said
    assert "not due until" in said
    assert host.world.values(name_of("again.example.test")) == set()


def test_what_cannot_be_removed_is_named_and_can_be_forgotten(host, authority):
    host.instance("bind", host.world.primary, "set", die="add")
    host.domains("gone.example.test,plugin=bind")
    host("acme", "cert", "order", status=-signal.SIGKILL)
    (left,) = journal.open_entries(host.paths, "bind")
    host.paths.plugins_cfg.write_text("standalone: standalone\n")
    said = host("dns", "cleanup", status=1)
    assert str(left) in said
    assert "pvefw dns cleanup --forget bind" in said
    assert host("dns", "cleanup", "--forget", "bind") == f"forgotten: {left}\n"
    host("dns", "cleanup")


def test_only_dns_instances_can_be_tested(host):
    said = host("dns", "test", "standalone", "example.test", status=2)
    assert "standalone is a standalone instance, not a dns one" in said
    assert "bind, knot" in said
