"""dns-account-01 and dns-persist-01, end to end: a real name server, an authority that looks there."""

import datetime as dt
import json
import re

import pytest
from servers.bind import bind
from servers.nameserver import Zone
from servers.processes import free_port

from pvefw.certs import persist
from pvefw.store import persistent_records
from pvefw.testing.acme_server import ISSUER, acme_server

PREFIX = "https://authority.test/account-hash/"
LABEL = "_validation-persist"
CAA = [
    (f'0 issue "{ISSUER}"', True),
    ('0 issue "other.test"', False),
    ('0 issue ";"', False),
    (f'0 issue "{ISSUER}; validationmethods=dns-01"', False),
    (f'0 issue "{ISSUER}; validationmethods=http-01,dns-persist-01"', True),
    (f'0 issue "{ISSUER}; accounturi=https://a.test/1"', False),
    ('128 unheard "of"', False),
    ('0 iodef "mailto:a@example.test"', True),
]
"""Records, and whether they let the authority issue by dns-persist-01."""


@pytest.fixture
def server(tmp_path):
    caa = "".join(f"c{number} CAA {record}\n" for number, (record, _) in enumerate(CAA))
    zones = [
        Zone("test.", {"ns1": "127.0.0.1"}),
        Zone("example.test.", {"ns1": "127.0.0.1"}, f"www A 127.0.0.1\n{caa}"),
    ]
    with bind(tmp_path / "bind", zones) as running:
        yield running


@pytest.fixture
def authority(host, server, tmp_path):
    """Starts an authority that offers these types, with an account and an instance for the zone."""
    import contextlib

    with contextlib.ExitStack() as stack:

        def start(*types, prefix="", http_port=None):
            where = f"{server.address}:{server.port}"
            acme = stack.enter_context(
                acme_server(
                    tmp_path,
                    resolver=where,
                    types=types,
                    account_hash_prefix=prefix,
                    http_port=http_port or free_port(),
                )
            )
            host.run(
                *["acme", "account", "register", "default", "mail@example.invalid"],
                *["--directory", acme.directory, "--ca-file", acme.ca_file, "--accept-tos"],
            )
            host.run("config", "set", "--resolvers", where, "--authority-port", server.port)
            data = tmp_path / "zone.data"
            data.write_text(
                f"server={where}\nkey_name={server.key.name}\nsecret={server.key.secret}\n"
                f"algorithm={server.key.algorithm}\n"
            )
            host.run(
                "acme", "plugin", "add", "dns", "zone", "--api", "rfc2136", "--data", data,
            )  # fmt: skip
            return acme

        yield start


def names(acme):
    from cryptography import x509

    san = acme.issued[-1].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return sorted(str(name.value) for name in san)


def order(host, *entries):
    for number, entry in enumerate(entries):
        host.run("config", "set", f"--acmedomain{number}", entry)
    return host.run("acme", "cert", "order", "--force")


def shown(host, *arguments):
    return json.loads(host.run(*arguments, "--output-format", "json"))


# --- dns-account-01 -------------------------------------------------------------------------------------


def test_dns_account_01_where_the_authority_offers_nothing_else(host, authority):
    acme = authority("dns-account-01")
    order(host, "a.example.test,plugin=zone", "*.a.example.test,plugin=zone")
    assert names(acme) == ["*.a.example.test", "a.example.test"]


def test_dns_01_is_taken_where_both_are_offered_unless_the_name_says_otherwise(
    host, authority, server
):
    acme = authority("dns-01", "dns-account-01")
    seen = []
    order(host, "a.example.test,plugin=zone")
    for entry in (
        "a.example.test,plugin=zone",
        "a.example.test,plugin=zone,challenge=dns-account-01",
    ):
        host.run("config", "set", "--acmedomain0", entry)
        said = host.run("--trace-plugins", "acme", "cert", "order", "--force")
        seen.append(re.search(r"_[a-z2-7]{16}\._acme-challenge\.a\.example", said) is not None)
    assert len(acme.issued) == 3
    assert host.paths.node_pvefw_cfg().read_text().count("challenge=dns-account-01") == 1
    assert not server.txt("_acme-challenge.a.example.test.")


# --- dns-persist-01 -------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", PREFIX], ids=["draft-01", "draft-02"])
def test_after_publishing_no_order_and_no_renewal_touches_dns(host, authority, server, prefix):
    acme = authority("http-01", "dns-01", "dns-persist-01", prefix=prefix)
    what = shown(host, "acme", "persist", "show", "example.test", "--wildcard")
    assert what["draft"] == ("02" if prefix else "01")
    assert what["name"] == f"{LABEL}.example.test."
    host.run("acme", "persist", "publish", "example.test", "--wildcard", "--plugin", "zone")
    assert server.txt(what["name"]) == {what["content"]}
    rows = shown(host, "acme", "persist", "check", "example.test", "--wildcard")
    assert [row["good"] for row in rows] == [True, True]
    # from here on there is no way into DNS: neither a credential nor a server that answers
    host.run("acme", "plugin", "remove", "zone")
    host.run("config", "set", "--resolvers", f"127.0.0.1:{free_port()}")
    said = order(host, "example.test", "*.example.test", "www.example.test")
    assert names(acme) == ["*.example.test", "example.test", "www.example.test"]
    assert "www.example.test: dns-persist-01 by the persistent record" in said
    host.run("acme", "cert", "renew", "--force")
    assert len(acme.issued) == 2
    assert server.txt(what["name"]) == {what["content"]}


def test_mixed_with_others_in_one_certificate(host, authority):
    port = free_port()
    acme = authority("http-01", "dns-01", "dns-account-01", "dns-persist-01", http_port=port)
    host.standalone(port, "listen=127.0.0.1\n")
    host.run("acme", "persist", "publish", "p.example.test", "--plugin", "zone")
    order(
        host,
        "p.example.test,challenge=dns-persist-01",
        "d.example.test,plugin=zone",
        "a.example.test,plugin=zone,challenge=dns-account-01",
        "h.example.test",
    )
    assert names(acme) == [f"{letter}.example.test" for letter in "adhp"]


def test_by_hand_and_found_by_check(host, authority, server):
    acme = authority("dns-persist-01")
    said = host.fail_output("acme", "persist", "check", "h.example.test")
    assert "has no such record" in said
    content = shown(host, "acme", "persist", "show", "h.example.test")["content"]
    server.update("example.test.", ("add", f"{LABEL}.h.example.test.", content))
    host.run("acme", "persist", "check", "h.example.test")
    assert "by hand" in host.fail("acme", "persist", "remove", "h.example.test")
    order(host, "h.example.test")
    assert names(acme) == ["h.example.test"]


def test_a_record_that_is_taken_down_counts_no_more(host, authority, server):
    acme = authority("dns-persist-01")
    host.run("acme", "persist", "publish", "r.example.test", "--plugin", "zone")
    host.run("acme", "persist", "remove", "r.example.test")
    assert server.txt(f"{LABEL}.r.example.test.") == set()
    assert persistent_records.load(host.paths) == ()
    host.run("config", "set", "--acmedomain0", "r.example.test,challenge=dns-persist-01")
    said = host.fail("acme", "cert", "order")
    assert not acme.issued
    assert f"{LABEL}.r.example.test has no TXT record" in said
    assert "pvefw acme persist check" in said


@pytest.mark.parametrize("number", range(len(CAA)), ids=[name for name, _ in CAA])
def test_caa_records_are_looked_at(host, authority, number):
    authority("dns-persist-01")
    name = f"c{number}.example.test"
    done = host.try_("acme", "persist", "check", name, "--output-format", "json")
    last = json.loads(done.stdout)[-1]
    assert (last["where"], last["good"]) == (f"CAA of {name}.", CAA[number][1])


def test_a_record_that_ends_is_warned_of_in_renew_and_status(host, authority):
    authority("dns-persist-01")
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=20)
    host.run(
        *["acme", "persist", "publish", "e.example.test", "--plugin", "zone"],
        *["--until", f"{soon:%Y-%m-%d}"],
    )
    wanted = f"e.example.test: its persistent record is valid only until {soon:%Y-%m-%d}"
    assert wanted in host.run("renew")
    part = json.loads(host.try_("status", "--output-format", "json").stdout)["parts"]["records"]
    assert part["state"] == "attention"
    assert wanted in part["data"]["warnings"][0]
    assert "is in the past" in host.fail(
        *["acme", "persist", "show", "e.example.test", "--until", "2020-01-01"], status=2
    )


@pytest.mark.parametrize("prefix", ["", PREFIX], ids=["draft-01", "draft-02"])
def test_another_key_of_the_account_is_warned_of_under_draft_02_only(host, authority, prefix):
    import dataclasses

    from pvefw.acme.jws import AccountKey
    from pvefw.store import accounts as store

    authority("dns-persist-01", prefix=prefix)
    host.run("acme", "persist", "publish", "k.example.test", "--plugin", "zone")
    now = dt.datetime.now(dt.UTC)
    assert persist.warnings(host.paths, now) == []
    account = store.load(host.paths, "default")
    store.save(host.paths, dataclasses.replace(account, key=AccountKey.generate().pem))
    found = persist.warnings(host.paths, now)
    assert [
        "names a key that the account default no longer has" in warning for warning in found
    ] == ([True] if prefix else [])


# --- choosing -------------------------------------------------------------------------------------------


def test_without_a_plugin_the_host_takes_what_it_can_and_says_so(host, authority):
    acme = authority("dns-01", "http-01", "tls-alpn-01")
    said = order(host, "*.w.example.test")  # the only dns instance is the only way
    assert names(acme) == ["*.w.example.test"]
    assert "Task OK" in said


def test_an_authority_of_unknown_types_is_a_clear_sentence(host, authority):
    authority("onion-csr-01", "email-reply-00")
    host.run("config", "set", "--acmedomain0", "u.example.test")
    said = host.fail("acme", "cert", "order")
    assert (
        "u.example.test: the authority offers only types of challenges that pvefw does not know: "
        "onion-csr-01, email-reply-00" in said
    )


def test_a_key_rollover_names_the_records_that_it_ends(host, pebble):
    host.register(pebble)
    for domain, mark in (("old.example", ""), ("new.example", "m" * 43)):
        kept = persistent_records.Kept(
            domain, "text", "default", mark, wildcard=True, plugin="zone", alias="a.example"
        )
        persistent_records.keep(host.paths, kept)
    said = host.run("acme", "account", "rollover")
    assert "new.example: its persistent record names the old key and is valid for a limited" in said
    assert "old.example" not in said
    again = "acme persist publish new.example --plugin zone --alias a.example --wildcard\n"
    assert f"only; replace it: pvefw {again}" in said
    assert "Task WARNINGS: 1" in said
