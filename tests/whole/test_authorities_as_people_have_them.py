"""Authorities as people have them: refusals of 'replaces', odd authorizations, wrong certificates."""

import json

import pytest
from certificates import self_signed
from ordering import Believed, Ordering
from servers import faulty_acme as faults
from servers.a2c import acme2certifier
from servers.faulty_acme import faulty_acme
from servers.pebble import pebble as run_pebble
from servers.processes import free_port

from pvefw.certs import chain, directories, keys, renewal_rule
from pvefw.core.errors import CertificateError, UsageError
from pvefw.core.model import Identifier


@pytest.fixture(scope="module")
def trusting(tmp_path_factory):
    with run_pebble(
        tmp_path_factory.mktemp("trusting"), always_valid=True, nonce_reject=0
    ) as server:
        yield server


@pytest.fixture
def proxy(trusting, tmp_path):
    with faulty_acme(trusting, tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def a2c(tmp_path_factory):
    with acme2certifier(tmp_path_factory.mktemp("a2c")) as server:
        yield server


def registered(host, server, *names):
    """An account, and the names to order; nothing is validated, so the port only has to be free."""
    host.standalone(free_port())
    command = ["acme", "account", "register", "default", "a@example.com"]
    host.run(*command, "--directory", server.directory, "--accept-tos", "--ca-file", server.ca_file)
    for number, name in enumerate(names):
        host.run("config", "set", f"--acmedomain{number}", name)


def edited(change):
    """A fault that changes the JSON of an answer."""

    def fault(_proxy, _handler, answer):
        said = json.loads(answer.body)
        change(said)
        return faults.Answer(answer.status, answer.headers, json.dumps(said).encode())

    return fault


# --- replaces -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status"),
    [("unauthorized", 403), ("malformed", 400), ("alreadyReplaced", 409), ("compound", 403)],
)
def test_whatever_refuses_replaces_gets_an_order_without(host, a2c, tmp_path, kind, status):
    """acme2certifier has renewal information, so the second order says what it replaces."""
    with faulty_acme(a2c, tmp_path) as proxy:
        registered(host, proxy, "replaced.example.com")
        host.run("acme", "cert", "order")
        proxy.fail("POST .*neworder", faults.problem(kind, "not yours", status), times=1)
        said = host.run("acme", "cert", "renew", "--force")
    assert "Ordering without 'replaces': " in said
    assert "not yours" in said


def test_the_record_keeps_the_accounts_url(host, a2c):
    """Another account of the same name replaces nothing of the first one's."""
    registered(host, a2c, "another.example.com")
    host.run("acme", "cert", "order")
    [record] = renewal_rule.records(host.paths).values()
    assert record.account.startswith("https://")
    host.run("acme", "account", "deactivate", "default")
    registered(host, a2c)
    said = host.run("acme", "cert", "renew", "--force")
    assert "without 'replaces'" not in said
    [after] = renewal_rule.records(host.paths).values()
    assert after.account.startswith("https://")
    assert after.account != record.account


# --- authorizations -------------------------------------------------------------------------------


def keeps_the_star(said):
    if said.get("wildcard"):
        said["identifier"]["value"] = f"*.{said['identifier']['value']}"


def keeps_the_star_and_no_flag(said):
    keeps_the_star(said)
    said.pop("wildcard", None)


def forgets_the_flag(said):
    said.pop("wildcard", None)


def flag_as_text(said):
    if said.get("wildcard"):
        said["wildcard"] = "true"


def upper_case_with_a_dot(said):
    said["identifier"]["value"] = f"{said['identifier']['value'].upper()}."


def without_a_type(said):
    said["identifier"].pop("type")
    said["challenges"].append({"type": "odd-01"})


@pytest.mark.parametrize(
    "deviation",
    [
        keeps_the_star,
        keeps_the_star_and_no_flag,
        forgets_the_flag,
        flag_as_text,
        upper_case_with_a_dot,
        without_a_type,
    ],
)
def test_authorizations_of_private_authorities(proxy, deviation):
    solver = Believed("dns-01")
    proxy.fail("POST /authZ/", edited(deviation))
    names = ["odd.example.com", "*.odd.example.com", "other.example.com"]
    ordering = Ordering(proxy.directory, proxy.ca_file, dict.fromkeys(names, solver))
    [leaf, *_] = chain.parse(ordering.run(), "the answer")
    assert sorted(chain.names(leaf)) == sorted(names)
    assert all(
        "*" not in challenge.identifier.value for batch in solver.presented for challenge in batch
    )


# --- the certificate that comes back --------------------------------------------------------------


def test_a_certificate_for_another_name_is_not_installed(host, proxy):
    registered(host, proxy, "www.example.org")
    host.run("acme", "cert", "order")
    before = host.pair()
    evil, _ = self_signed("evil.example.org")
    proxy.fail("POST /certZ/", faults.changed(body=evil))
    said = host.fail("acme", "cert", "order", "--force")
    assert "not ordered: evil.example.org; missing: www.example.org" in said
    assert host.pair() == before
    proxy.heal()
    host.run("acme", "cert", "order", "--force")  # a new order, not the same answer for ever


def test_one_name_more_or_less_is_another_certificate():
    key = keys.generate("ec256")
    pem, _ = self_signed("a.example.org", key=key)
    a, b = (Identifier("dns", f"{name}.example.org") for name in "Ab")
    chain.check_ordered(pem, [a], key, "order")
    with pytest.raises(CertificateError, match=r"missing: b\.example\.org"):
        chain.check_ordered(pem, [a, b], key, "order")
    with pytest.raises(CertificateError, match=r"not ordered: a\.example\.org; missing: b\."):
        chain.check_ordered(pem, [b], key, "order")
    with pytest.raises(CertificateError, match="another key"):
        chain.check_ordered(pem, [a], keys.generate("ec256"), "order")


def test_a_wrong_content_type_is_named(host, proxy):
    registered(host, proxy, "www.example.org")
    proxy.fail("POST /certZ/", faults.changed(Content_Type="text/plain"))
    said = host.fail("acme", "cert", "order")
    assert "with the content type text/plain instead of application/pem-certificate-chain" in said


# --- what an authority offers ---------------------------------------------------------------------


def test_a_profile_that_is_no_longer_offered_shows_in_status(host, tmp_path):
    with acme2certifier(tmp_path / "a2c", profiles={"classic": "", "tlsclient": ""}) as server:
        registered(host, server, "profile.example.com")
        host.run("config", "set", "--profile", "tlsclient")
        host.run("acme", "cert", "order")
        with faulty_acme(server, tmp_path) as proxy:
            account = json.loads((host.paths.acme_dir / "default").read_text())
            account["directory"] = proxy.directory
            account["pvefw"] = {"ca-file": str(proxy.ca_file)}
            (host.paths.acme_dir / "default").write_text(json.dumps(account))
            proxy.fail(
                "GET /directory", edited(lambda said: said["meta"]["profiles"].pop("tlsclient"))
            )
            host.run("renew")
            said = host.try_("status").stdout  # it ends with 1 where attention is needed
    assert "its renewal would fail: " in said
    assert "does not offer the profile tlsclient" in said


def test_must_staple_at_an_authority_that_ended_it(host, proxy):
    """Let's Encrypt did in May 2025; no directory says so."""
    registered(host, proxy)
    host.run("config", "set", "--must-staple", "1")  # Pebble does not mind
    account = json.loads((host.paths.acme_dir / "default").read_text())
    account["directory"] = "https://acme-v02.api.letsencrypt.org/directory"
    (host.paths.acme_dir / "default").write_text(json.dumps(account))
    said = host.fail("config", "set", "--must-staple", "1", status=2)
    assert "has refused must-staple since 2025-05-07" in said
    host.run("config", "set", "--must-staple", "0")


def test_a_profile_is_kept_where_the_authority_cannot_be_asked(host, proxy):
    registered(host, proxy)
    proxy.fail("GET /dir", faults.changed(status=404, body=b"gone"))
    said = host.try_("config", "set", "--profile", "classic")
    assert said.returncode == 0
    assert "WARN: the profile classic could not be checked" in said.stdout + said.stderr


# --- accounts -------------------------------------------------------------------------------------

MAC = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


@pytest.fixture(scope="module")
def binding(tmp_path_factory):
    with acme2certifier(tmp_path_factory.mktemp("eab"), binding_keys={"kid-1": MAC}) as server:
        yield server


BINDINGS = {
    "key alone": (["--eab-kid", "kid-1"], f"{MAC}\n"),
    "blanks around the key id": (["--eab-kid", " kid-1 "], f"  {MAC}  \r\n"),
    "JSON of gcloud": ([], json.dumps({"b64MacKey": MAC, "keyId": "kid-1", "name": "x"})),
    "a list of one": ([], json.dumps([{"b64MacKey": MAC, "keyId": "kid-1"}])),
    "text of gcloud": ([], f"Created an external account key\n[b64MacKey: {MAC}\nkeyId: kid-1]\n"),
}


@pytest.mark.parametrize(("options", "text"), BINDINGS.values(), ids=BINDINGS)
def test_a_binding_in_the_forms_that_authorities_give(host, binding, tmp_path, options, text):
    key_file = tmp_path / "eab"
    key_file.write_text(text)
    command = ["acme", "account", "register", "a@example.com", "--directory", binding.directory]
    more = ["--accept-tos", "--ca-file", binding.ca_file, "--eab-hmac-key-file", key_file]
    assert "Registration successful" in host.run(*command, *more, *options)


def test_a_binding_that_is_refused_is_what_the_hint_is_about(host, binding, tmp_path):
    key_file = tmp_path / "eab"
    key_file.write_text(MAC)
    command = ["acme", "account", "register", "a@example.com", "--directory", binding.directory]
    more = ["--accept-tos", "--ca-file", binding.ca_file, "--eab-hmac-key-file", key_file]
    said = host.fail(*command, *more, "--eab-kid", "kid-2")
    assert "The external account binding was refused" in said
    assert "account update" not in said


@pytest.mark.parametrize(
    "name", [name for authority in directories.KNOWN for name in authority.names]
)
def test_short_names_lead_to_directories(name):
    assert directories.url_of(name).startswith("https://")
    assert directories.url_of(f" {name.upper()} ") == directories.url_of(name)


def test_short_names_users_know():
    known = "letsencrypt letsencrypt-test letsencrypt_test zerossl google google-test googletest"
    for name in (*known.split(), "sslcom", "actalis", "sslcomecc", "sslcomrsa", "digicert"):
        directories.url_of(name)
    assert "gcloud" in directories.binding_hint(directories.url_of("google"))
    assert "zerossl.com" in directories.binding_hint(directories.url_of("zerossl"))
    with pytest.raises(UsageError, match=r"zerosssl is neither .* \(did you mean zerossl\?\)"):
        directories.url_of("zerosssl")
