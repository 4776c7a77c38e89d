"""Several certificates of one node, end to end: the command line, a real ACME server, real files."""

import json
import stat
import subprocess

import pytest

from pvefw.certs import chain
from pvefw.store import accounts


@pytest.fixture
def web(host, pebble):
    """A node with an account, its own certificate's name, and a certificate for a web server."""
    host.register(pebble)
    host.run("config", "set", "-acmedomain0", "pve1.example")
    host.run("cert", "add", "web", "-acmedomain0", "www.example", "-acmedomain1", "shop.example")
    return host.paths.certificate_files("web")


def leaf(files):
    return chain.parse(files.certificate.read_bytes(), "leaf")[0]


def status(host, part="certificates"):
    return json.loads(host.try_("status", "--output-format", "json").stdout)["parts"][part]


def names(files):
    return sorted(chain.names(leaf(files)))


def test_two_certificates_live_beside_each_other(host, web, pebble, tmp_path):
    said = host.run("renew", "--dry-run")
    assert "web.pem (www.example): not ordered yet: pvefw acme cert order web" in said
    assert status(host)["data"]["not-ordered"] == ["pveproxy", "web"]
    host.run("acme", "cert", "order")
    host.run("acme", "cert", "order", "web")
    own = host.paths.certificate_files()
    assert (names(own), names(web)) == (["pve1.example"], ["shop.example", "www.example"])
    assert stat.S_IMODE(web.key.stat().st_mode) == 0o600
    anchor = tmp_path / "root.pem"
    anchor.write_bytes(pebble.root())
    verify = ["openssl", "verify", "-CAfile", anchor, "-untrusted", web.certificate]
    subprocess.run([*verify, web.certificate], check=True, capture_output=True)
    shown = json.loads(host.run("cert", "info", "--output-format", "json"))
    assert [row["filename"] for row in shown] == ["pveproxy-ssl.pem", "web.pem"]
    listed = json.loads(host.run("cert", "list", "--output-format", "json"))
    assert [row["name"] for row in listed] == ["pveproxy", "web"]
    assert listed[1]["key"] == str(web.key)
    before = leaf(own), leaf(web)
    assert "not due until" in host.fail("acme", "cert", "renew", "web", status=2)
    host.run("acme", "cert", "renew", "web", "--force")
    assert leaf(own) == before[0]
    assert leaf(web) != before[1]
    found = [
        certificate for certificate in status(host)["data"]["certificates"] if certificate["name"]
    ]
    assert [(row["name"], row["file"]) for row in found] == [
        ("pveproxy", "pveproxy-ssl.pem"),
        ("web", "web.pem"),
    ]
    tasks = json.loads(
        host.run("task", "list", "--typefilter", "acmerenew", "--output-format", "json")
    )
    assert "web" in [task["id"] for task in tasks]
    assert "Revoking" in host.run("acme", "cert", "revoke", "web")
    assert not web.certificate.exists()
    assert not web.key.exists()
    assert own.certificate.exists()
    after = status(host)
    assert after["state"] == "attention"
    assert "services may go on using it until it is replaced: pvefw acme cert order web" in str(
        after
    )
    host.run("cert", "remove", "web")
    host.run("cert", "add", "web", "-acmedomain0", "www.example")
    assert "not ordered yet" in str(status(host))


def test_what_is_wanted_and_what_is_installed_are_compared(host, web, pebble):
    host.run("acme", "cert", "order")
    host.run("acme", "cert", "order", "web")
    first = leaf(web)
    host.run("cert", "set", "web", "-acmedomain1", "new.example")
    host.run("config", "set", "-acmedomain1", "gui.example")
    said = host.run("renew", "--dry-run")
    assert "the configuration has changed: gui.example is to be added" in said
    assert (
        "the configuration has changed: new.example is to be added; shop.example is to be removed"
        in said
    )
    part = status(host)
    assert part["state"] == "attention"
    assert "new.example is to be added" in " ".join(part["lines"])
    host.run("renew")
    assert names(host.paths.certificate_files()) == ["gui.example", "pve1.example"]
    assert names(web) == ["new.example", "www.example"]
    second = leaf(web)
    assert second != first
    host.run("renew")
    assert leaf(web) == second, "it is what is wanted now"
    host.run("cert", "set", "web", "--key-type", "rsa2048")
    assert "its key should be rsa2048, not ec256" in host.run("renew")
    third = leaf(web)
    assert third.public_key().key_size == 2048
    host.register(pebble, "production")
    host.run("cert", "set", "web", "--acme", "account=production")
    assert "the account is now production" in host.run("renew")
    assert leaf(web) != third
    state = json.loads(host.paths.renewal_state.read_text())["web.pem"]
    assert state["account"] == accounts.load(host.paths, "production").location
    state = json.loads(host.paths.renewal_state.read_text())
    state["web.pem"]["profile"] = "short"
    host.paths.renewal_state.write_text(json.dumps(state))
    assert "no profile is set now" in host.run("renew", "--dry-run")


def test_equal_certificates_are_ordered_once(host, web):
    host.run("acme", "cert", "order", "web")
    host.run("cert", "add", "mail", "-acmedomain0", "shop.example", "-acmedomain1", "www.example")
    said = host.run("acme", "cert", "order", "mail")
    assert "Certificate web has this certificate already; taking it over" in said
    mail = host.paths.certificate_files("mail")
    assert mail.certificate.read_bytes() == web.certificate.read_bytes()
    revoked = leaf(mail)
    said = host.run("acme", "cert", "revoke", "web")
    assert "The certificate mail is the same one, or has its key" in said
    assert not web.certificate.exists()
    assert "revoked it on" in host.run("renew")
    assert leaf(mail).public_key() != revoked.public_key()
    assert "taking it over" in host.run("acme", "cert", "order", "web")
    assert leaf(web) == leaf(mail)


def test_one_lock_for_all_orders(host, web):
    running = [host.start("acme", "cert", "order", *name) for name in ((), ("web",))]
    said = [process.communicate(timeout=120)[0] for process in running]
    for process, text in zip(running, said, strict=True):
        assert process.returncode == 0 or "has locked this" in text
    assert any(process.returncode == 0 for process in running)
