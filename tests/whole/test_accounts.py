"""Accounts, end to end, against Pebble; and the interactive registration at a pseudo-terminal."""

import json
import stat

import pexpect
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from servers import faulty_acme as faults
from servers.faulty_acme import faulty_acme
from servers.pebble import pebble as run_pebble

EAB = {"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}


def account(host, name="default"):
    return json.loads(host.run("acme", "account", "info", name, "--output-format", "json"))


def at_terminal(host, *arguments):
    command = host.command(*arguments)
    return pexpect.spawn(
        command[0], command[1:], encoding="utf-8", timeout=20, dimensions=(40, 200)
    )


def register(host, server, name, *options):
    return host.try_(
        *["acme", "account", "register", name, "mail@example.invalid"],
        *["--directory", server.directory, "--ca-file", server.ca_file, "--accept-tos"],
        *options,
    )


def test_several_accounts_side_by_side(host, pebble):
    for name in ("default", "second"):
        assert register(host, pebble, name).returncode == 0
    listed = json.loads(host.run("acme", "account", "list", "--output-format", "json"))
    assert [row["name"] for row in listed] == ["default", "second"]
    assert account(host)["location"] != account(host, "second")["location"]
    file = host.paths.acme_dir / "default"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(json.loads(file.read_text())) >= {"account", "directory", "key", "location"}
    host.run("config", "set", "--acme", "account=second,domains=a.example")
    host.standalone(pebble.http_port)
    host.run("acme", "cert", "order")


def test_a_name_that_is_taken_or_no_name(host, pebble):
    assert register(host, pebble, "default").returncode == 0
    assert "already exists" in register(host, pebble, "default").stderr
    assert "is not an account name" in register(host, pebble, "../evil").stderr


def test_update_and_refresh(host, pebble):
    register(host, pebble, "default")
    host.run("acme", "account", "update", "--contact", "new@example.com")
    assert account(host)["account"]["contact"] == ["mailto:new@example.com"]
    host.run("acme", "account", "update")
    assert account(host)["account"]["status"] == "valid"


def test_deactivation_renames_the_file_and_a_new_one_can_be_made(host, pebble):
    for number in range(2):
        assert register(host, pebble, "default").returncode == 0
        said = host.run("acme", "account", "deactivate", "default")
        assert f"'_deactivated_default_{number}'" in said
        assert (host.paths.acme_dir / f"_deactivated_default_{number}").exists()
    assert host.run("acme", "account", "list").strip() == "name"
    assert "no ACME account named default" in host.fail("acme", "account", "update")


def test_an_account_that_its_authority_has_forgotten_makes_room_for_another(host, pebble):
    """A test authority that was set up again knows nobody; registering says to deactivate it first."""
    register(host, pebble, "default")
    file = host.paths.acme_dir / "default"
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({**kept, "location": f"{kept['location']}0"}))
    said = host.run("acme", "account", "deactivate", "default")
    assert "no longer knows the account" in said
    retired = json.loads((host.paths.acme_dir / "_deactivated_default_0").read_text())
    assert retired["account"]["status"] == "deactivated"
    assert register(host, pebble, "default").returncode == 0


def test_a_key_rollover(host, pebble):
    host.register(pebble)
    before = json.loads((host.paths.acme_dir / "default").read_text())
    host.run("acme", "account", "rollover", "--key-type", "ec384")
    after = json.loads((host.paths.acme_dir / "default").read_text())
    assert after["location"] == before["location"]
    assert after["key"] != before["key"]
    host.run("config", "set", "-acmedomain0", "a.example")
    host.run("acme", "cert", "order")


@pytest.mark.parametrize("changed", [True, False])
def test_a_key_rollover_whose_end_is_not_heard(host, pebble, tmp_path, changed):
    """The authority has the new key, or has not: the next command asks which it is, and goes on."""
    with faulty_acme(pebble, tmp_path) as proxy:
        host.run(
            *["acme", "account", "register", "default", "mail@example.invalid"],
            *["--directory", proxy.directory, "--ca-file", proxy.ca_file, "--accept-tos"],
        )
        host.standalone(pebble.http_port)
        file = host.paths.acme_dir / "default"
        before = json.loads(file.read_text())
        fault = faults.cut if changed else faults.busy("3600")
        proxy.fail("POST /rollover-account-key", fault, times=10)
        host.fail("acme", "account", "rollover")
        staged = host.paths.acme_dir / ".default.new-key"
        assert stat.S_IMODE(staged.stat().st_mode) == 0o600
        assert json.loads(file.read_text())["key"] == before["key"]
        host.run("config", "set", "-acmedomain0", "a.example")
        said = host.run("acme", "cert", "order")
        assert ("change of the account's key that was interrupted" in said) is changed
        assert (json.loads(file.read_text())["key"] != before["key"]) is changed
        assert not staged.exists()
        host.run("acme", "account", "update")


@pytest.mark.parametrize("form", ["TraditionalOpenSSL", "PKCS8"])
def test_an_rsa_account_of_proxmox_ve_works(host, pebble, form):
    """The reference makes RSA keys; its file is used as it is."""
    host.register(pebble)
    file = host.paths.acme_dir / "default"
    made = json.loads(file.read_text())
    from pvefw.acme.client import Client
    from pvefw.acme.jws import AccountKey
    from pvefw.acme.transport import Transport

    class Now:
        def wait(self, seconds):
            raise AssertionError(seconds)

    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        getattr(serialization.PrivateFormat, form),
        serialization.NoEncryption(),
    ).decode()
    transport = Transport(ca_file=str(pebble.ca_file), task=Now())
    client = Client(transport, pebble.directory, AccountKey.from_pem(pem, "key"))
    registered = client.register(["mailto:a@example.com"], agree=True)
    transport.close()
    file.write_text(
        json.dumps(
            {
                **made,
                "account": dict(registered.account),
                "key": pem,
                "location": registered.location,
                "debug": 0,
            }
        )
    )
    host.run("config", "set", "-acmedomain0", "a.example")
    host.run("acme", "cert", "order")
    host.run("acme", "account", "update")
    assert json.loads(file.read_text())["debug"] == 0


def test_external_account_binding(host, tmp_path):
    with run_pebble(tmp_path / "pebble", binding_keys=EAB) as server:
        refused = register(host, server, "default")
        assert refused.returncode == 2
        assert "requires an external account binding" in refused.stderr
        key = tmp_path / "hmac"
        key.write_text("d3JvbmcgYnV0IGxvbmcgZW5vdWdoIHRvIGJlIGEga2V5\n")
        wrong = register(host, server, "default", "--eab-kid", "kid-1", "--eab-hmac-key-file", key)
        assert wrong.returncode == 1
        assert "Task ERROR" in wrong.stderr
        key.write_text(EAB["kid-1"] + "\n")
        right = register(host, server, "default", "--eab-kid", "kid-1", "--eab-hmac-key-file", key)
        assert right.returncode == 0, right.stderr
        assert EAB["kid-1"] not in (host.paths.acme_dir / "default").read_text()


def test_without_a_terminal_nothing_is_asked(host, pebble):
    said = host.fail("acme", "account", "register", "default", "mail@example.invalid", status=2)
    assert "--directory" in said
    options = ["--directory", pebble.directory, "--ca-file", pebble.ca_file]
    said = host.fail(
        "acme", "account", "register", "default", "mail@example.invalid", *options, status=2
    )
    assert "--accept-tos" in said


def test_an_untrusted_authority_says_what_to_give(host, pebble):
    said = host.fail(
        *["acme", "account", "register", "default", "mail@example.invalid"],
        *["--directory", pebble.directory, "--accept-tos"],
    )
    assert "not trusted" in said
    assert "--ca-file" in said


def test_the_registration_of_the_guide_at_a_terminal(host, pebble):
    session = at_terminal(
        host,
        *["acme", "account", "register", "default", "mail@example.invalid"],
        *["--ca-file", pebble.ca_file],
    )
    for prompt in (
        "Directory endpoints:",
        r"0\) Let's Encrypt V2 \(https://acme-v02\.api\.letsencrypt\.org/directory\)",
        r"1\) Let's Encrypt V2 Staging \(https://acme-staging-v02\.api\.letsencrypt\.org/directory\)",
        r"2\) Custom",
        "Enter selection:",
    ):
        session.expect(prompt)
    session.sendline("7")
    session.expect("Enter selection:")
    session.sendline("2")
    session.expect("Enter custom URL:")
    session.sendline(pebble.directory)
    session.expect("Terms of Service: (https?|data):")
    session.expect(r"Do you agree to the above terms\? \[y\|N\]")
    session.sendline("y")
    session.expect("external account binding")
    session.sendline("n")
    session.expect("Registering ACME account")
    session.expect("Task OK")
    session.expect(pexpect.EOF)
    session.close()
    assert session.exitstatus == 0
    assert account(host)["directory"] == pebble.directory


def test_terms_that_are_not_agreed_to_end_the_registration(host, pebble):
    session = at_terminal(
        host,
        *["acme", "account", "register", "default", "mail@example.invalid"],
        *["--ca-file", pebble.ca_file, "--directory", pebble.directory],
    )
    session.expect(r"\[y\|N\]")
    session.sendline("")
    session.expect("were not agreed to")
    session.expect(pexpect.EOF)
    session.close()
    assert session.exitstatus == 2
    assert not (host.paths.acme_dir / "default").exists()


def test_ctrl_c_at_a_prompt(host, pebble):
    session = at_terminal(host, "acme", "account", "register", "default", "mail@example.invalid")
    session.expect("Enter selection:")
    session.sendintr()
    # Python misses one that comes after its prompt and just before it reads
    while session.expect(["interrupted", pexpect.TIMEOUT], timeout=2):
        session.sendintr()
    session.expect(pexpect.EOF)
    session.close()
    assert session.exitstatus == 1
