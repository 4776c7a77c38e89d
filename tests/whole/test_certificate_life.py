"""The life of a certificate on the command line, against real ACME servers."""

import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import certificates
import pytest
from servers.a2c import acme2certifier
from servers.pebble import pebble as run_pebble
from servers.processes import free_port
from shifted_clock import needs_the_machines_clock
from waiting import wait_until
from whole_host import Host

from pvefw.certs import chain, install, keys
from pvefw.store import accounts

DEAD = "https://127.0.0.1:9/directory"


@pytest.fixture(scope="module")
def a2c(tmp_path_factory):
    """A server with renewal information whose windows have begun."""
    with acme2certifier(tmp_path_factory.mktemp("a2c"), days=90, window_percent=0) as server:
        yield server


def leaf(host):
    return chain.parse(host.paths.proxy_certificate.read_bytes(), "leaf")[0]


def verified(anchor, host, name):
    pem = host.paths.proxy_certificate
    subprocess.run(
        ["openssl", "verify", "-CAfile", anchor, "-untrusted", pem, "-verify_hostname", name, pem],
        check=True,
        capture_output=True,
    )


def believed(host, server):
    """An account at a server that believes everything."""
    host.register(server)
    host.standalone(free_port())


# --- ARI, binding and profiles at a server that has them ------------------------------------------


def test_the_window_of_a_real_authority_decides_and_replaces_is_sent(host, a2c, tmp_path):
    believed(host, a2c)
    host.run("config", "set", "-acmedomain0", "a.example")
    host.run("acme", "cert", "order")
    verified(a2c.root, host, "a.example")
    first = leaf(host).serial_number
    said = host.run("renew", "--dry-run")
    assert re.search(r"pveproxy-ssl.pem \(a.example\): .*its authority asks for it from", said)
    state = json.loads(host.paths.renewal_state.read_text())["pveproxy-ssl.pem"]
    assert state["window"] is None, "a dry run keeps nothing"
    host.run("renew")
    state = json.loads(host.paths.renewal_state.read_text())["pveproxy-ssl.pem"]
    assert state["account"] == accounts.load(host.paths, "default").location
    assert leaf(host).serial_number == first, "its moment within the window has not come"
    state = json.loads(host.paths.renewal_state.read_text())
    window = state["pveproxy-ssl.pem"]["window"]
    window["end"] = window["start"][:-6] + "+00:00"
    window["start"] = "2026-01-01T00:00:00+00:00"
    host.paths.renewal_state.write_text(json.dumps(state))
    said = host.run("renew")
    assert "due: its authority asks for it from 2026-01-01" in said
    assert "Task OK" in said or "TASK OK" in said or "Placing ACME order" in said
    assert leaf(host).serial_number != first


def test_a_profile_is_ordered_and_an_unknown_one_is_refused(host, tmp_path):
    profiles = {"classic": "https://ca.example/classic", "shortlived": "https://ca.example/short"}
    with acme2certifier(tmp_path / "a2c", profiles=profiles) as server:
        believed(host, server)
        host.run("config", "set", "-acmedomain0", "a.example", "--profile", "shortlived")
        host.run("acme", "cert", "order")
        verified(server.root, host, "a.example")
        said = host.fail("config", "set", "--profile", "nonsense", status=2)
        assert "does not offer the profile nonsense" in said
        assert "It offers classic, shortlived." in said


def test_external_account_binding_at_another_server(host, tmp_path):
    mac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    with acme2certifier(tmp_path / "a2c", binding_keys={"kid-1": mac}) as server:
        key_file = tmp_path / "hmac"
        key_file.write_text(mac)
        common = ["acme", "account", "register", "corp", "a@example.com", "--accept-tos"]
        where = ["--directory", server.directory, "--ca-file", server.ca_file]
        said = host.fail(*common, *where, status=2)
        assert "external account" in said.lower()
        host.run(*common, *where, "--eab-kid", "kid-1", "--eab-hmac-key-file", key_file)
        host.standalone(free_port())
        host.run("config", "set", "-acme", "account=corp", "-acmedomain0", "a.example")
        host.run("acme", "cert", "order")
        verified(server.root, host, "a.example")


# --- orders ---------------------------------------------------------------------------------------


def test_the_fall_back_account_is_used_when_the_first_authority_is_down(host, pebble, tmp_path):
    host.register(pebble, "second")
    host.register(pebble, "first")
    path = host.paths.acme_dir / "first"
    account = json.loads(path.read_text())
    account["directory"] = DEAD
    path.write_text(json.dumps(account))
    host.run("config", "set", "-acme", "account=first", "-acmedomain0", "a.example")
    assert "127.0.0.1:9" in host.fail("acme", "cert", "order")
    host.run("config", "set", "--fallback-account", "second")
    said = host.run("acme", "cert", "order")
    assert "ordering from the account second instead" in said
    assert "Task WARNINGS: 1" in said
    state = json.loads(host.paths.renewal_state.read_text())
    second = accounts.load(host.paths, "second").location
    assert state["pveproxy-ssl.pem"]["account"] == second


def test_from_staging_to_production(host, pebble, tmp_path):
    """As the guide has it: a staging account first, then the real one under another name."""
    with run_pebble(tmp_path / "staging") as staging:
        host.register(staging, "staging")
        host.run("config", "set", "-acme", "account=staging", "-acmedomain0", "a.example")
        host.run("acme", "cert", "order")
        first = leaf(host)
    host.register(pebble, "default")
    host.run("config", "set", "-acme", "account=default")
    host.run("acme", "cert", "order", "--force")
    assert leaf(host).issuer != first.issuer
    anchor = tmp_path / "root.pem"
    anchor.write_bytes(pebble.root())
    verified(anchor, host, "a.example")


@pytest.mark.parametrize("key_type", ["ec256", "ec384", "rsa2048"])
def test_keys_reuse_and_addresses(host, pebble, key_type):
    host.register(pebble)
    host.run("config", "set", "-acmedomain0", "a.example", "-acmedomain1", "127.0.0.1")
    host.run("config", "set", "--key-type", key_type, "--key-reuse", "1", "--must-staple", "0")
    host.run("acme", "cert", "order")
    found = leaf(host)
    assert sorted(chain.names(found)) == ["127.0.0.1", "a.example"]
    first = host.paths.proxy_key.read_bytes()
    host.run("acme", "cert", "renew", "--force")
    assert host.paths.proxy_key.read_bytes() == first
    host.run("config", "set", "--key-reuse", "0")
    host.run("acme", "cert", "renew", "--force")
    assert host.paths.proxy_key.read_bytes() != first


def test_the_replaced_certificate_is_revoked_only_by_setting(host, pebble):
    host.register(pebble)
    host.run("config", "set", "-acmedomain0", "a.example")
    host.run("acme", "cert", "order")
    first = leaf(host).serial_number
    assert "Revoking" not in host.run("acme", "cert", "renew", "--force")
    assert pebble.status(first) == "Valid"
    second = leaf(host).serial_number
    host.run("config", "set", "--revoke-replaced", "1")
    host.run("acme", "cert", "renew", "--force")
    assert pebble.status(first) == "Valid"
    assert pebble.status(second) == "Revoked"


# --- one certificate for a cluster ----------------------------------------------------------------


def nodes(host, *names):
    """Other nodes on the same cluster file system; each has its own local state."""
    shared = host.root / "etc/pve"
    shared.mkdir(parents=True, exist_ok=True)
    found = [host]
    for name in names:
        root = host.root.parent / f"root-{name}"
        (root / "etc").mkdir(parents=True)
        (root / "etc/pve").symlink_to(shared)
        found.append(Host(root, node=name))
    return found


def test_three_nodes_one_order_three_installs(host, tmp_path):
    needs_the_machines_clock("a lock looks abandoned by the time stamps of its files")
    with run_pebble(tmp_path / "pebble", always_valid=True) as server:
        believed(host, server)
        cluster = nodes(host, "pve2", "pve3")
        for node in cluster:
            node.run("config", "set", "-acmedomain0", "gui.example", "--reload-command", "-")
        running = [node.start("acme", "cert", "order") for node in cluster]
        said = [process.communicate(timeout=60)[0] for process in running]
        assert [process.returncode for process in running] == [0, 0, 0], said
        pairs = {node.pair() for node in cluster}
        assert len(pairs) == 1
        assert sum("Placing ACME order" in text for text in said) == 1
        assert sum("taking it over" in text for text in said) == 2
        [late] = nodes(host, "pve4")[1:]
        late.run("config", "set", "-acmedomain0", "gui.example", "--reload-command", "-")
        assert "has one to share" in late.run("renew", "--dry-run")
        assert "Placing ACME order" not in late.run("renew")
        assert late.pair() in pairs
        # of two that begin in the same second, none is newer; the authority counts in seconds
        ordered = host.paths.proxy_certificate.stat().st_mtime
        wait_until(lambda: time.time() >= ordered + 1, "the next second")
        host.run("acme", "cert", "renew", "--force")
        assert host.pair() not in pairs
        assert "due: node pve1 has a newer one to share" in cluster[1].run("renew")
        assert cluster[1].pair() == host.pair()


def test_other_names_or_keys_are_not_shared(host, tmp_path):
    with run_pebble(tmp_path / "pebble", always_valid=True) as server:
        believed(host, server)
        cluster = nodes(host, "pve2")
        host.run("config", "set", "-acmedomain0", "gui.example")
        cluster[1].run("config", "set", "-acmedomain0", "gui.example", "--key-type", "rsa2048")
        host.run("acme", "cert", "order")
        assert "Placing ACME order" in cluster[1].run("acme", "cert", "order")
        assert host.pair() != cluster[1].pair()


# --- deploy ---------------------------------------------------------------------------------------


@dataclass
class Hook:
    """A deploy hook that fails for as long as a file is there."""

    calls: Path
    broken: Path

    def of(self, *kinds):
        """What it was told of these kinds of events."""
        told = [json.loads(line) for line in self.calls.read_text().splitlines()]
        return [event for event in told if event["event"] in kinds]


@pytest.fixture
def hook(host, tmp_path):
    calls, broken, program = (tmp_path / name for name in ("calls", "broken", "hook"))
    program.write_text(
        f"#!{sys.executable}\nimport json, pathlib, sys\n"
        f"if pathlib.Path({str(broken)!r}).exists():\n    sys.exit('the load balancer is away')\n"
        f"with open({str(calls)!r}, 'a') as file:\n    file.write(sys.stdin.read())\n"
    )
    program.chmod(0o755)
    data = tmp_path / "hook.data"
    data.write_text(f"program={program}\n")
    host.run("observer", "add", "lb", "--api", "exec", "--data", data)
    return Hook(calls, broken)


def test_a_failed_deploy_is_retried_without_another_order(host, pebble, hook):
    host.register(pebble)
    host.run("config", "set", "-acmedomain0", "a.example")
    hook.broken.touch()
    said = host.run("acme", "cert", "order")
    assert "lb was not notified: " in said
    assert "the load balancer is away" in said
    first = leaf(host).serial_number
    assert not hook.calls.exists()
    assert "Task WARNINGS: 1" in host.run("cert", "deploy", "--retry")
    assert "Not deployed yet: lb" in host.fail_output("renew")
    hook.broken.unlink()
    said = host.run("renew")
    assert "Deployed through lb" in said
    assert leaf(host).serial_number == first
    [call] = hook.of("certificate")
    assert call["key"] == str(host.paths.proxy_key)
    assert "PRIVATE" not in hook.calls.read_text()
    host.run("cert", "deploy", "--retry")
    assert len(hook.of("certificate")) == 1
    host.run("cert", "deploy")
    assert len(hook.of("certificate")) == 2


def test_somebody_is_told_of_a_renewal_that_fails(host, pebble, hook):
    host.register(pebble)
    host.run("config", "set", "-acmedomain0", "a.example", "--reload-command", "-")
    pem, key = certificates.self_signed("a.example", begin=-80, days=90)
    install.install_pair(
        certificates.own(host.paths), pem, key, certificates.Log(), certificates.NOW
    )
    account = host.paths.acme_dir / "default"
    account.write_text(account.read_text().replace(pebble.directory, DEAD))
    said = host.fail_output("renew")
    assert "Task ERROR" in said
    [call] = hook.of("renewal-failed")
    assert 9 < call["days_left"] < 11
    assert call["urgency"] == "warning"
    assert "127.0.0.1:9" in call["reason"]
    assert "the last try failed" in host.run("renew", "--dry-run")
    account.write_text(account.read_text().replace(DEAD, pebble.directory))
    host.run("acme", "cert", "renew", "--force")
    told = hook.of("renewal-failed", "certificate", "renewal-recovered")
    assert [event["event"] for event in told] == [
        "renewal-failed",
        "certificate",
        "renewal-recovered",
    ]


def test_an_observer_can_be_tried(host, hook):
    assert "Task OK" in host.run("observer", "test", "lb")
    assert json.loads(hook.calls.read_text())["names"] == ["test.invalid"]
    said = host.fail("observer", "test", "nobody")
    assert "There are: lb" in said


def test_an_observers_life(host, hook, tmp_path):
    assert json.loads(host.run("observer", "list", "--output-format", "json"))[0]["id"] == "lb"
    host.run("observer", "set", "lb", "--disable")
    assert json.loads(host.run("observer", "config", "lb", "--output-format", "json"))["disable"]
    assert "is taken" in host.fail("observer", "add", "lb", "--api", "exec", status=2)
    data = tmp_path / "mail.data"
    data.write_text("to=a@example.com\nserver=mx.example\nusername=u\npassword=plain\n")
    said = host.fail("observer", "add", "post", "--api", "mail", "--data", data, status=2)
    assert "password is a secret" in said
    assert "password=file:/etc/pve/priv/NAME" in said
    host.run("observer", "remove", "lb")
    assert "There is none yet" in host.fail("observer", "config", "lb")


# --- certificates of one's own --------------------------------------------------------------------


def brought(tmp_path, *pair):
    paths = [tmp_path / name for name in ("own.pem", "own.key")]
    for path, content in zip(paths, pair, strict=True):
        path.write_bytes(content)
    return paths


def test_a_custom_pair_from_set_to_delete(host, pebble, tmp_path):
    certificate, key = brought(tmp_path, *certificates.self_signed("own.example"))
    said = host.run("cert", "set", certificate, key)
    assert "Fingerprint: " in said
    assert host.pair() == (certificate.read_bytes(), key.read_bytes())
    assert "already exists" in host.fail("cert", "set", certificate, key, status=2)
    host.run("cert", "set", certificate, "--force")
    wrong = tmp_path / "wrong.key"
    wrong.write_bytes(keys.to_pem(keys.generate("ec256")))
    assert "does not belong" in host.fail("cert", "set", certificate, wrong, "--force")
    assert host.pair() == (certificate.read_bytes(), key.read_bytes())
    assert "not renewed: it was set by hand" in host.run("renew", "--dry-run")
    host.run("cert", "delete")
    assert not host.paths.proxy_certificate.exists()
    assert not host.paths.proxy_key.exists()
    assert host.paths.node_certificate.exists(), "the services need something to fall back to"
    assert "has no certificate of its own" in host.fail("cert", "delete")


def test_restart_is_only_done_when_asked_for(host, tmp_path):
    marker = tmp_path / "restarted"
    host.run("config", "set", "--reload-command", f"touch {marker}")
    certificate, key = brought(tmp_path, *certificates.self_signed("own.example"))
    assert "uses it when it is restarted" in host.run("cert", "set", certificate, key)
    assert not marker.exists()
    host.run("renew")
    assert not marker.exists()
    host.run("cert", "set", certificate, key, "--force", "--restart")
    assert marker.exists()
    marker.unlink()
    host.run("cert", "delete", "--restart")
    assert marker.exists()


def test_the_cluster_ca_on_the_command_line(host):
    assert "Generating the cluster's CA" in host.run("cert", "ca", "init")
    before = host.paths.authority_certificate.read_bytes()
    assert "never overwritten" in host.fail("cert", "ca", "init", status=2)
    host.run("cert", "node", "refresh")
    found = json.loads(host.run("cert", "info", "--output-format", "json"))
    assert [row["filename"] for row in found] == ["pve-root-ca.pem", "pve-ssl.pem"]
    said = host.run("renew", "--dry-run")
    assert "pve-root-ca.pem" in said
    assert "pve-ssl.pem (pve1 and" in said
    host.run("cert", "ca", "rollover")
    assert host.paths.authority_certificate.read_bytes().endswith(before)
    host.run("cert", "ca", "rollover", "--finish")
    assert before not in host.paths.authority_certificate.read_bytes()
    verified(host.paths.authority_certificate, Node(host), "pve1")


class Node:
    """A host's own certificate, where the services' is looked for."""

    def __init__(self, host):
        self.paths = type("Paths", (), {"proxy_certificate": host.paths.node_certificate})
