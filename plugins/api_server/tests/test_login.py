"""Logging in: PAM, tickets, and whoever tries too often."""

import json
import os

import pytest
from privileges import only_root

from pvefw.core.errors import ConfigError, NotFound, UsageError
from pvefw.store import files
from pvefw_api.errors import ApiError
from pvefw_api_server import login, tickets, users


@pytest.fixture
def accounts(paths):
    with users.changing(paths) as found:
        found["ann@pam"] = users.User("ann@pam", users.grants(["/=Sys.Audit"]))
        found["bot@pve"] = users.User("bot@pve")
    return paths


@pytest.fixture
def asked(monkeypatch):
    """Whom PAM was asked about; it takes the password ``right``."""
    names = []

    def pam(name, password):
        names.append(name)
        return password == "right"

    monkeypatch.setattr(login, "_pam", pam)
    return names


def attempt(paths, name, password, client="192.0.2.1"):
    """The status of a login: 200, or why not."""
    try:
        login.login(paths, {"username": name, "password": password}, client)
    except ApiError as error:
        return error.status
    return 200


def test_a_ticket_is_had_for_a_password(accounts, asked):
    found = login.login(accounts, {"username": "ann", "password": "right"}, "192.0.2.1")
    assert found["username"] == "ann@pam"
    assert found["cap"] == {"/": {"Sys.Audit": 1}}
    now = int(found["ticket"].split(":")[2], 16)
    key = tickets.key(accounts)
    assert tickets.holder(key, found["ticket"], now) == "ann@pam"
    assert tickets.is_of(key, found["CSRFPreventionToken"], "ann@pam", now)
    assert not tickets.is_of(key, found["CSRFPreventionToken"], "root@pam", now)
    assert tickets.holder(key, found["CSRFPreventionToken"], now) is None


def test_an_account_of_the_host_that_is_no_user_stays_out(accounts, asked):
    """PAM is asked all the same: an answer that comes at once would tell who is known."""
    assert attempt(accounts, "eve@pam", "right") == 401
    assert asked == ["eve@pam"]
    assert attempt(accounts, "root@pam", "right") == 200


@pytest.mark.parametrize("name", ["a b@pam", "../x@pam", "ann@ldap", "", "a\nb@pam", "x" * 99])
def test_what_is_no_name_is_no_login(accounts, asked, name):
    assert attempt(accounts, name, "right") == 400
    assert asked == []


@pytest.mark.parametrize("password", ["", "a\0b", "x" * 5000])
def test_what_is_no_password_is_no_login(accounts, asked, password):
    assert attempt(accounts, "ann@pam", password) == 400
    assert asked == []


def test_whoever_fails_too_often_is_not_asked_any_more(accounts, asked):
    statuses = [attempt(accounts, f"u{number}@pam", "wrong") for number in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert len(asked) == 10
    assert attempt(accounts, "ann@pam", "right") == 429
    assert attempt(accounts, "ann@pam", "right", client="192.0.2.2") == 200


def test_an_ipv6_network_is_one_address(accounts, asked):
    found = [attempt(accounts, f"u{n}@pam", "wrong", client=f"2001:db8::{n}") for n in range(11)]
    assert found[-1] == 429
    assert attempt(accounts, "u@pam", "wrong", client="2001:db8:1::1") == 401


def test_a_user_is_guarded_from_many_addresses(accounts, asked):
    found = [attempt(accounts, "ann@pam", "wrong", client=f"192.0.2.{n}") for n in range(31)]
    assert found == [401] * 30 + [429]


def test_failures_are_forgotten_in_time(accounts, asked):
    for _ in range(10):
        attempt(accounts, "ann@pam", "wrong")
    place = accounts.below("run/pvefw/api-logins.json")
    kept = files.read_object(place)
    aged = {key: [time - 301 for time in times] for key, times in kept.items()}
    place.write_text(str(aged).replace("'", '"'))
    assert attempt(accounts, "ann@pam", "right") == 200


@pytest.mark.parametrize("times", ['["x"]', "[null]", "[[1]]", "7", "[1e400]", "[4e9]"])
def test_failures_that_make_no_sense_keep_nobody_out(accounts, asked, times):
    """A clock that was years ahead is one reason for them."""
    place = accounts.below("run/pvefw/api-logins.json")
    place.parent.mkdir(parents=True, exist_ok=True)
    several = times.replace("4e9", ",".join(["4e9"] * 30))
    place.write_text(f'{{"user ann@pam": {several}, "address 192.0.2.1/32": {several}}}')
    assert attempt(accounts, "ann@pam", "right") == 200
    assert attempt(accounts, "ann@pam", "wrong") == 401


@pytest.fixture
def pam_service(pam_rules, monkeypatch):
    name = f"pvefw-test-{os.getpid()}"
    pam_rules(name, "ann", "bot")
    monkeypatch.setattr(login, "SERVICE", name)


@only_root("writes PAM's rules")
def test_pam_decides(accounts, pam_service):
    assert attempt(accounts, "ann@pam", "secret") == 200
    assert attempt(accounts, "ann@pam", "wrong") == 401
    assert attempt(accounts, "bot@pve", "secret") == 401, "it has tokens only"


# --- the file ---------------------------------------------------------------------------------------


def test_secrets_are_kept_as_digests_and_in_private(accounts):
    with users.changing(accounts) as found:
        found["ann@pam"], secret = users.new_token(found["ann@pam"], "ci", None, 0)
    place = accounts.api_users
    assert secret not in place.read_text()
    assert place.stat().st_mode & 0o077 == 0
    tickets.key(accounts)
    assert accounts.api_key.stat().st_mode & 0o077 == 0
    assert secret not in repr(users.load(accounts))


def edited(paths, **values):
    """The file as somebody has edited it."""
    token = {"digest": "0" * 64, "grants": None, "expires": 0, "remark": "for CI"}
    ann = {"grants": {"/": ["Sys.Audit"]}, "enabled": True, "tokens": {"ci": token}, **values}
    paths.api_users.write_text(json.dumps({"ann@pam": {"remark": "left in May", **ann}}))


@pytest.mark.parametrize(
    "values",
    [
        {"grants": 7},
        {"grants": {"/": "Sys.Audit"}},
        {"enabled": "false"},
        {"enabled": "no"},
        {"enabled": 0},
        {"totp": {}},
        {"totp": ""},
        {"totp": {"secret": "", "taken": 0}},
        {"totp": {"secret": None, "taken": 0}},
        {"totp": {"secret": "ABCDEFGH", "taken": "0"}},
        {"tokens": {"ci": {"digest": None, "grants": None, "expires": 0}}},
        {"tokens": {"ci": {"digest": "0", "grants": None, "expires": "2027-01-01"}}},
        {"tokens": {"ci": {"digest": "0", "grants": {"/": "Sys.Audit"}, "expires": 0}}},
    ],
)
def test_a_damaged_file_lets_nobody_in(accounts, values):
    edited(accounts, **values)
    with pytest.raises(ConfigError, match="damaged") as caught:
        users.load(accounts)
    assert "pvefw api user set" in caught.value.hint


def test_what_else_is_in_the_file_survives_a_change(accounts):
    edited(accounts)
    with users.changing(accounts) as found:
        found["ann@pam"], _ = users.new_token(found["ann@pam"], "other", None, 0)
    kept = json.loads(accounts.api_users.read_text())["ann@pam"]
    assert kept["remark"] == "left in May"
    assert kept["tokens"]["ci"]["remark"] == "for CI"
    assert "remark" not in kept["tokens"]["other"]


@pytest.mark.parametrize(
    "word",
    ["Sys.Audit", "/=Sys.All", "nodes=Sys.Audit", "/../x=Sys.Audit", "/=", "/vms/x=VM.Audit"],
)
def test_grants_that_grant_nothing_are_refused(word):
    with pytest.raises(UsageError, match="grants nothing"):
        users.grants([word])


def test_a_grant_holds_below_its_path_and_not_beside():
    who = users.Identity("a@pve", (users.grants(["/vms/10=VM.PowerMgmt", "/nodes=Sys.Audit"]),))
    assert who.may("/vms/10", "VM.PowerMgmt")
    assert not who.may("/vms/100", "VM.PowerMgmt")
    assert who.may("/nodes/pve1", "Sys.Audit")
    assert not who.may("/", "Sys.Audit")


def test_users_that_do_not_exist_are_named(accounts):
    with pytest.raises(NotFound, match="no API user gone@pam"):
        users.named(users.load(accounts), "gone@pam")
    with pytest.raises(UsageError):
        users.check_name("root")
