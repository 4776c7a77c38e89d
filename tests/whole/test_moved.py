"""From other ACME clients to pvefw: directories that certbot and lego have made, and one as acme.sh's."""

import base64
import contextlib
import io
import json
import shutil
import subprocess

import certificates
import pytest
from cryptography.hazmat.primitives import serialization
from resources import uses
from servers.pebble import pebble as run_pebble
from whole_host import Host

from pvefw.acme.jws import AccountKey
from pvefw.certs import chain, other_clients
from pvefw.certs.other_clients import Way
from pvefw.cli.run import run as main
from pvefw.core.errors import ConfigError
from pvefw.store import accounts

NAMES = ["moved.example.com", "www.moved.example.com"]


class Here(Host):
    """A node whose commands run in this process."""

    def try_(self, *arguments, **_options):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(["--root", str(self.root), "--node", self.node, *map(str, arguments)])
        return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


@pytest.fixture
def host(tmp_path):
    return Here(tmp_path / "root")


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"Debian's package {program}")


@uses("program")
def run(*command, **env):
    done = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **env},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def pebble(tmp_path_factory):
    """One that refuses no good nonce: the other clients try again only once, or not at all."""
    with run_pebble(tmp_path_factory.mktemp("pebble"), nonce_reject=0) as server:
        yield server


def certbot(directory, server, *options):
    domains = [word for name in NAMES for word in ("-d", name)]
    run(
        *["certbot", "certonly", "-n", "--agree-tos", "-m", "a@example.com"],
        *["--server", server.directory, "--standalone", "--http-01-port", server.http_port],
        *["--config-dir", directory, "--work-dir", f"{directory}-work"],
        *["--logs-dir", f"{directory}-logs", *domains, *options],
        REQUESTS_CA_BUNDLE=str(server.ca_file),
    )


def lego(directory, server):
    run(
        *["lego", "--path", directory, "--server", server.directory, "--accept-tos"],
        *["-m", "a@example.com", "-d", NAMES[0], "-d", NAMES[1]],
        *["--http", "--http.port", f":{server.http_port}", "run"],
        LEGO_CA_CERTIFICATES=str(server.ca_file),
    )


def unit(root, name, command):
    """A timer that is enabled, with its service."""
    units = root / "usr/lib/systemd/system"
    units.mkdir(parents=True, exist_ok=True)
    (units / f"{name}.timer").write_text("[Timer]\nOnCalendar=daily\n")
    (units / f"{name}.service").write_text(f"[Service]\nExecStart={command}\n")
    wants = root / "etc/systemd/system/timers.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / f"{name}.timer").symlink_to(units / f"{name}.timer")


def account(host, name="default"):
    return accounts.load(host.paths, name)


def renewed(host, name):
    """Order it again, with what was taken over; the fingerprint before and after."""
    file = host.paths.certificate_files(name).certificate
    before = chain.parse(file.read_bytes(), "it")[0]
    host.run("acme", "cert", "renew", name, "--force")
    after = chain.parse(file.read_bytes(), "it")[0]
    assert sorted(chain.names(after)) == sorted(chain.names(before))
    return chain.fingerprint(before), chain.fingerprint(after)


@needs("certbot")
def test_from_certbot(host, pebble):
    theirs = host.root / "etc/letsencrypt"
    certbot(theirs, pebble, "--deploy-hook", "true", "--key-type", "rsa", "--rsa-key-size", "2048")
    unit(host.root, "certbot", "/usr/bin/certbot -q renew")
    said = host.run("acme", "account", "import", "--ca-file", pebble.ca_file)
    assert "certbot.timer still runs certbot; switch it off: systemctl disable --now" in said
    [registered] = theirs.glob("accounts/**/regr.json")
    assert account(host).location == json.loads(registered.read_text())["uri"]
    assert account(host).directory == pebble.directory
    listed = json.loads(host.run("cert", "import", "--output-format", "json"))
    assert [(row["certificate"], row["client"]) for row in listed] == [(NAMES[0], "certbot")]
    said = host.run("cert", "import", NAMES[0], "--certificate", "web")
    assert "certbot.timer still runs certbot" in said
    live = (theirs / "live" / NAMES[0] / "fullchain.pem").read_bytes()
    assert chain.parse(host.paths.certificate_files("web").certificate.read_bytes(), "it") == (
        chain.parse(live, "it")
    )
    section = (host.root / "etc/pve/nodes/pve1/pvefw.cfg").read_text()
    for line in (
        "key-type rsa2048",
        "reload-command true",
        f"{NAMES[1]},plugin=certbot-standalone",
    ):
        assert line in section
    assert "not due until" in host.run("renew", "--dry-run")
    before, after = renewed(host, "web")
    assert before != after


@needs("lego")
def test_from_lego(host, pebble):
    theirs = host.root / "var/lib/lego"
    lego(theirs, pebble)
    cron = host.root / "etc/cron.d/lego"
    cron.parent.mkdir(parents=True)
    cron.write_text("0 3 * * * root /usr/bin/lego --path /var/lib/lego renew\n")
    importing = ["acme", "account", "import", "moved", "--ca-file", pebble.ca_file]
    assert "does not record the directory" in host.fail(*importing, status=2)
    importing += ["--directory", pebble.directory]
    [key] = theirs.glob("accounts/*/*/keys/*.key")
    good = key.read_text()
    key.write_text(AccountKey.generate().pem)
    assert "no account for the key" in host.fail(*importing)
    key.write_text(good)
    said = host.run(*importing)
    assert f"{cron} still runs lego; switch it off: remove its line" in said
    assert "already exists" in host.fail(*importing, status=2)
    said = host.fail("cert", "import", NAMES[0], status=2)
    assert "is not kept in its files" in said
    host.standalone(pebble.http_port)
    host.run("cert", "import", NAMES[0], "--plugin", "standalone")
    before, after = renewed(host, "moved-example-com")
    assert before != after


def acmesh(directory, server, key, location):
    """What acme.sh keeps: an account, the settings of a script, and a certificate."""
    ca = directory / "ca" / "127.0.0.1" / "dir"
    ca.mkdir(parents=True)
    (ca / "account.key").write_text(key)
    (ca / "ca.conf").write_text(f"CA_EMAIL='a@example.com'\nACCOUNT_URL='{location}'\n")
    saved = "SAVED_MYDNS_Token='t0p-secret'\nSAVED_OTHER_Key='x'\nUSER_PATH='/bin'\n"
    (directory / "account.conf").write_text(saved)
    (directory / "dnsapi").mkdir()
    (directory / "dnsapi/dns_mydns.sh").write_text(
        "dns_mydns_info='My DNS\nOptions:\n MYDNS_Token API token\n'\n"
        "dns_mydns_add() { return 0; }\ndns_mydns_rm() { return 0; }\n"
    )
    folder = directory / f"{NAMES[0]}_ecc"
    folder.mkdir()
    reload = base64.b64encode(b"systemctl reload nginx").decode()
    (folder / f"{NAMES[0]}.conf").write_text(
        f"Le_Domain='{NAMES[0]}'\nLe_Alt='no'\nLe_Webroot='dns_mydns'\n"
        f"Le_API='{server.directory}'\n"
        f"Le_ReloadCmd='__ACME_BASE64__START_{reload}__ACME_BASE64__END_'\n"
    )
    pem, private = certificates.self_signed(NAMES[0])
    (folder / "fullchain.cer").write_bytes(pem)
    (folder / f"{NAMES[0]}.key").write_bytes(private)


def test_from_acme_sh(host, pebble, tmp_path):
    host.register(pebble, "first")
    known = account(host, "first")
    (host.paths.acme_dir / "first").unlink()
    theirs = host.root / "root/.acme.sh"
    acmesh(theirs, pebble, known.key, known.location)
    crontab = host.root / "var/spool/cron/crontabs/root"
    crontab.parent.mkdir(parents=True)
    crontab.write_text('7 3 * * * "/root/.acme.sh"/acme.sh --cron --home "/root/.acme.sh"\n')
    said = host.run("acme", "account", "import", "sh", "--ca-file", pebble.ca_file)
    assert f"{crontab} still runs acme.sh; switch it off: acme.sh --uninstall-cronjob" in said
    assert (account(host, "sh").location, account(host, "sh").directory) == (
        known.location,
        pebble.directory,
    )
    said = host.run("cert", "import", NAMES[0], "--certificate", "web")
    assert "t0p-secret" not in said
    section = (host.root / "etc/pve/nodes/pve1/pvefw.cfg").read_text()
    assert f"{NAMES[0]},plugin=acmesh-mydns" in section
    assert "reload-command systemctl reload nginx" in section
    shown = json.loads(
        host.run(
            "acme", "plugin", "config", "acmesh-mydns", "--show-secrets", "--output-format=json"
        )
    )
    assert shown["api"] == "acmesh/mydns"
    assert "t0p-secret" in str(shown)
    assert "OTHER" not in str(shown)


# --- what the directories say, without a server -----------------------------------------------------

RFC2136 = """\
dns_rfc2136_server = 192.0.2.1
dns_rfc2136_port = 5353
dns_rfc2136_name = acme.
dns_rfc2136_secret = c2VjcmV0
dns_rfc2136_algorithm = HMAC-SHA512
"""
OVH = ("endpoint=ovh-eu", "application_key=a", "application_secret=b", "consumer_key=c")
CASES = [
    (
        "dns-rfc2136",
        RFC2136,
        "rfc2136",
        {
            "server": "192.0.2.1:5353",
            "key_name": "acme.",
            "secret": "c2VjcmV0",
            "algorithm": "hmac-sha512",
        },
    ),
    (
        "dns-ovh",
        "".join(f"dns_ovh_{key}\n" for key in OVH),
        "ovh",
        {"OVH_END_POINT": "ovh-eu", "OVH_AK": "a", "OVH_AS": "b", "OVH_CK": "c"},
    ),
    (
        "dns-cloudflare",
        "# one token\ndns_cloudflare_api_token = abc\n",
        "lexicon/cloudflare",
        {"auth_token": "abc"},
    ),
]


@pytest.mark.parametrize(("authenticator", "ini", "api", "settings"), CASES)
def test_credentials_of_certbot_are_mapped(tmp_path, authenticator, ini, api, settings):
    theirs = tmp_path / "etc/letsencrypt"
    certbot_certificate(theirs, authenticator, ini)
    [found] = other_clients.certificates(theirs)
    assert found.ways == {"": Way(api, settings, authenticator)}
    assert "abc" not in repr(found)
    assert "c2VjcmV0" not in repr(found)


def certbot_certificate(theirs, authenticator, ini):
    (theirs / "renewal").mkdir(parents=True)
    (theirs / "secrets.ini").write_text(ini)
    option = authenticator.replace("-", "_") + "_credentials"
    (theirs / "renewal/web.conf").write_text(
        "version = 2.1.0\n[renewalparams]\nserver = https://a.example/dir\n"
        f"authenticator = {authenticator}\n{option} = /etc/letsencrypt/secrets.ini\n"
    )
    live = theirs / "live/web"
    live.mkdir(parents=True)
    pem, key = certificates.self_signed(days=90)
    (live / "fullchain.pem").write_bytes(pem)
    (live / "privkey.pem").write_bytes(key)


def test_settings_that_are_mapped_are_those_of_the_plugins(tmp_path, paths):
    """A provider whose settings are called otherwise would be found out by the next order only."""
    from pvefw.instances import instance_binding
    from pvefw.store.node import Node

    node = Node.open(paths)
    for name, (api, renamed) in other_clients._CERTBOT_DNS.items():
        known = {setting.key for setting in instance_binding.declared(node, "dns", api)}
        assert set(renamed.values()) <= known, name


def test_ways_of_acme_sh_are_in_the_order_of_the_names(tmp_path):
    folder = tmp_path / "a.example"
    folder.mkdir()
    (tmp_path / "account.conf").write_text("SAVED_CF_Token='abc'\n")
    (folder / "a.example.conf").write_text("Le_Alt='b.example,c.example'\nLe_Webroot='no,dns_cf'\n")
    for name in ("fullchain.cer", "a.example.key"):
        (folder / name).touch()
    [found] = other_clients.certificates(tmp_path)
    script = Way("acmesh/cf", {"CF_Token": "abc"}, "dns_cf")
    assert found.ways == {
        "a.example": Way("standalone", {}, "standalone"),
        "b.example": script,
        "": script,
    }


def test_a_listener_keeps_its_address_and_port(tmp_path):
    theirs = tmp_path / "letsencrypt"
    certbot_certificate(theirs, "standalone", "")
    with (theirs / "renewal/web.conf").open("a") as file:
        file.write("http01_port = 8080\nhttp01_address = 192.0.2.7\n")
    [found] = other_clients.certificates(theirs)
    assert found.ways[""].settings == {"port": "8080", "listen": "192.0.2.7"}
    folder = tmp_path / "acme/a.example"
    folder.mkdir(parents=True)
    (tmp_path / "acme/account.conf").touch()
    for name in ("fullchain.cer", "a.example.key"):
        (folder / name).touch()
    (folder / "a.example.conf").write_text(
        "Le_Webroot='no'\nLe_HTTPPort='8080'\nLe_LocalAddress='192.0.2.7'\n"
    )
    [found] = other_clients.certificates(tmp_path / "acme")
    assert found.ways["a.example"].settings == {"port": "8080", "listen": "192.0.2.7"}


def test_each_name_has_its_web_root(tmp_path):
    theirs = tmp_path / "letsencrypt"
    certbot_certificate(theirs, "webroot", "")
    with (theirs / "renewal/web.conf").open("a") as file:
        file.write("webroot_path = /var/www/a,\n[[webroot_map]]\na.example = /var/www/a\n")
        file.write("b.example = /var/www/b\n")
    [found] = other_clients.certificates(theirs)
    roots = {name: way.settings["webroot"] for name, way in found.ways.items()}
    assert roots == {"": "/var/www/a", "a.example": "/var/www/a", "b.example": "/var/www/b"}


@pytest.mark.parametrize("type_", ["ec256", "ec384", "rsa2048"])
def test_a_key_in_the_form_of_certbot(type_):
    key = AccountKey.generate(type_)
    private = serialization.load_pem_private_key(key.pem.encode(), None).private_numbers()
    number = private.d if type_.startswith("rsa") else private.private_value
    text = base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).decode()
    assert AccountKey.from_jwk({**key.jwk, "d": text.rstrip("=")}, "it").pem == key.pem


@pytest.mark.parametrize("jwk", [{}, {"kty": "EC", "crv": "P-999", "d": "AQ"}, {"kty": "RSA"}])
def test_no_key(jwk):
    with pytest.raises(ConfigError, match="it: the account's key cannot be read"):
        AccountKey.from_jwk(jwk, "it")


def test_nothing_to_take_over(host, tmp_path):
    assert "no directory of certbot, acme.sh or lego" in host.fail("cert", "import")
    (tmp_path / "empty").mkdir()
    said = host.fail("cert", "import", "--from", tmp_path / "empty")
    assert "this is no directory of certbot, acme.sh or lego" in said


# --- which of several, and why none ---------------------------------------------------------------


def lego_account(directory, mail):
    """An account as lego keeps it; its URL."""
    place = directory / "accounts/ca.example" / mail
    (place / "keys").mkdir(parents=True)
    uri = f"https://ca.example/acct/{mail[0]}"
    (place / "account.json").write_text(json.dumps({"email": mail, "registration": {"uri": uri}}))
    (place / f"keys/{mail}.key").write_text(AccountKey.generate().pem)
    return uri


def test_which_account_is_said_where_there_are_several(host, tmp_path):
    (tmp_path / "accounts").mkdir()
    importing = ["acme", "account", "import", "--from", tmp_path]
    said = host.fail(*importing)
    assert f"acme account import: no such account in {tmp_path}" in said
    assert "An account there was never registered." in said
    uris = [lego_account(tmp_path, mail) for mail in ("a@example.com", "b@example.com")]
    said = host.fail(*importing, status=2)
    assert "there is more than one account" in said
    assert all(f"lego: {uri} ({tmp_path}/accounts/" in said for uri in uris)
    said = host.fail(*importing, "--account", "https://ca.example/acct/c")
    assert "no such account in" in said and f"There are: lego: {uris[0]}" in said
    said = host.fail(*importing, "--account", uris[1], status=2)
    assert "lego does not record the directory of ca.example" in said


def moved_account(host, name, directory="https://a.example/dir"):
    host.paths.acme_dir.mkdir(parents=True, exist_ok=True)
    key = AccountKey.generate().pem
    accounts.save(host.paths, accounts.Account(name, directory, "https://a.example/1", key))


def test_which_certificate_is_said_where_there_are_several(host):
    theirs = host.root / "etc/letsencrypt"
    certbot_certificate(theirs, "manual", "")
    said = host.fail("cert", "import", "mail")
    assert "no other client has a certificate mail" in said and "There are: web." in said
    other = host.root / "root/.acme.sh"
    acmesh(other, AcmeShServer("https://a.example/dir"), AccountKey.generate().pem, "")
    (other / "web").mkdir()
    for name, file in (
        ("web.conf", "Le_API='https://a.example/dir'\nLe_Webroot='/var/www'\n"),
        ("fullchain.cer", certificates.self_signed("web")[0].decode()),
        ("web.key", "k"),
        ("other.conf", ""),
    ):
        (other / "web" / name).write_text(file)
    said = host.fail("cert", "import", "web", status=2)
    assert f"web was found more than once: {theirs}/live/web, {other}/web" in said
    assert "Say which client's directory: --from DIR" in said
    # the account there is first, then how it validates
    said = host.fail("cert", "import", "web", "--from", theirs)
    assert "no account here is at https://a.example/dir, where web comes from" in said
    assert "Take it over first: pvefw acme account import default\n" in said
    renewal = theirs / "renewal/web.conf"
    recorded = renewal.read_text()
    renewal.write_text(recorded.replace("server = https://a.example/dir\n", ""))
    said = host.fail("cert", "import", "web", "--from", theirs)
    assert "no account here is at an authority that certbot did not record" in said
    renewal.write_text(recorded)
    moved_account(host, "default", "https://b.example/dir")
    said = host.fail("cert", "import", "web", "--from", theirs)
    assert "pvefw acme account import certbot\n" in said
    (host.paths.acme_dir / "aaa").write_text("{")
    moved_account(host, "mine")
    said = host.fail("cert", "import", "web", "--from", theirs, status=2)
    assert "how certbot validates the names of web has no counterpart here: manual" in said


class AcmeShServer:
    def __init__(self, directory):
        self.directory = directory


@pytest.mark.parametrize(
    ("way", "instance", "data"),
    [
        ("no", "standalone", {}),
        ("/var/www/a", "acmesh-standalone", {"webroot": "/var/www/a"}),
        ("alpn", None, None),
    ],
)
def test_what_acme_sh_does_without_a_script(host, way, instance, data):
    theirs = host.root / "root/.acme.sh"
    acmesh(theirs, AcmeShServer("https://a.example/dir"), AccountKey.generate().pem, "")
    conf = theirs / f"{NAMES[0]}_ecc/{NAMES[0]}.conf"
    conf.write_text(conf.read_text().replace("dns_mydns", way))
    moved_account(host, "mine")
    if instance is None:
        said = host.fail("cert", "import", NAMES[0], "--certificate", "web", status=2)
        assert f"has no counterpart here: {way}" in said
        return
    host.run("cert", "import", NAMES[0], "--certificate", "web")
    section = (host.root / "etc/pve/nodes/pve1/pvefw.cfg").read_text()
    assert f"acmedomain0 {NAMES[0]},plugin={instance}\n" in section
    shown = host.run("acme", "plugin", "config", instance, "--output-format=json")
    assert json.loads(shown)["data"] == data
