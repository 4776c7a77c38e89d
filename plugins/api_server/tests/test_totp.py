"""The second factor: a password alone is not enough, and no code is taken twice."""

import json
import time
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import proxmoxer
import pyotp
import pytest
from privileges import only_root
from servers.chromium import chromium

from pvefw.cli.run import run
from pvefw_api.errors import ApiError
from pvefw_api_server import login, tickets, totp, users

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
NOW = 1_800_000_015.0
"""In the middle of the time that a code is for."""


@pytest.fixture
def app(paths, monkeypatch):
    """The app of ``ann@pam``; PAM takes the password ``right``, and it is :data:`NOW`."""
    clock = type("Clock", (), {"now": lambda _: type("T", (), {"timestamp": lambda _: NOW})()})
    monkeypatch.setattr(login, "SystemClock", clock)
    monkeypatch.setattr(login, "_pam", lambda _, password: password == "right")
    with users.changing(paths) as found:
        made = totp.new()
        found["ann@pam"] = users.User("ann@pam", users.grants(["/=Sys.Audit"]), totp=made)
        found["bob@pam"] = users.User("bob@pam")
    return pyotp.TOTP(made.secret)


def enter(paths, name="ann@pam", password="right", **more):
    """The answer to a login, or the status of its refusal."""
    try:
        return login.login(paths, {"username": name, "password": password, **more}, "192.0.2.1")
    except ApiError as error:
        return error.status


def answer(paths, challenge, code, **more):
    return enter(paths, password=f"totp:{code}", **{"tfa-challenge": challenge, **more})


def test_a_password_gives_a_challenge_that_is_good_for_nothing_else(paths, app):
    half = enter(paths)
    assert (half["NeedTFA"], half["username"], half["CSRFPreventionToken"]) == (1, "ann@pam", "")
    assert tickets.holder(tickets.key(paths), half["ticket"], NOW) is None
    assert enter(paths, password=half["ticket"]) == 401, "it is no ticket, and no password"
    assert "NeedTFA" not in enter(paths, "bob@pam")


def test_a_code_is_taken_once(paths, app):
    challenge = enter(paths)["ticket"]
    whole = answer(paths, challenge, app.at(NOW))
    assert tickets.holder(tickets.key(paths), whole["ticket"], NOW) == "ann@pam"
    assert whole["cap"] == {"/": {"Sys.Audit": 1}}
    for code in (app.at(NOW), app.at(NOW - 30)):  # whoever looked over a shoulder has one, too
        assert answer(paths, challenge, code) == 401
    assert answer(paths, challenge, app.at(NOW + 30))["username"] == "ann@pam"
    renewed = enter(paths, password=whole["ticket"])
    assert "NeedTFA" not in renewed, "a session goes on without another code"


def test_a_clock_may_be_one_period_late(paths, app):
    challenge = enter(paths)["ticket"]
    assert answer(paths, challenge, app.at(NOW - 60)) == 401
    assert answer(paths, challenge, app.at(NOW + 60)) == 401
    assert answer(paths, challenge, app.at(NOW - 30))["username"] == "ann@pam"


@pytest.mark.parametrize(
    "change",
    [
        lambda right: {"tfa-challenge": right.replace("ann@pam", "bob@pam")},
        lambda right: {"tfa-challenge": right[:-4] + "AAA="},
        lambda right: {"tfa-challenge": right.replace("!tfa!", "")},
        lambda right: {"tfa-challenge": "x"},
        lambda _: {"username": "bob@pam"},
        lambda _: {"username": "root@pam"},
        lambda _: {"username": "eve@pam"},
    ],
)
def test_a_code_without_the_password_before_is_nothing(paths, app, change):
    challenge = enter(paths)["ticket"]
    given = {"username": "ann@pam", "tfa-challenge": challenge, **change(challenge)}
    name = given.pop("username")
    assert enter(paths, name, f"totp:{app.at(NOW)}", **given) == 401


@pytest.mark.parametrize("said", ["right", "{}", "totp:", "recovery:{}", "totp:{}0", "totp:٣٣٣٣٣٣"])
def test_what_is_no_code_is_refused(paths, app, said):
    challenge = enter(paths)["ticket"]
    given = {"tfa-challenge": challenge}
    assert enter(paths, password=said.format(app.at(NOW)), **given) == 401


def test_an_old_challenge_is_refused(paths, app):
    old = tickets.challenge(tickets.key(paths), "ann@pam", NOW - tickets.CHALLENGE - 1)
    assert answer(paths, old, app.at(NOW)) == 401


def test_whoever_guesses_codes_is_stopped(paths, app):
    challenge = enter(paths)["ticket"]
    statuses = [answer(paths, challenge, "000000") for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    assert answer(paths, challenge, app.at(NOW)) == 429


# --- commands -----------------------------------------------------------------------------------------


def test_an_app_is_added_and_removed(paths, capsys):
    def pvefw(*words, status=0):
        where = ["--root", str(paths.root), "--node", "pve1"]
        assert run([*where, "api", *words]) == status
        return capsys.readouterr()

    pvefw("user", "set", "ann@pam", "--grant", "/=Sys.Audit")
    assert pvefw("totp", "add", "ann@pam", "--dry-run").out == ""
    assert users.load(paths)["ann@pam"].totp is None
    uri = urlsplit(pvefw("totp", "add", "ann@pam").out.strip())
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    [secret] = parse_qs(uri.query)["secret"]
    assert users.load(paths)["ann@pam"].totp == totp.Totp(secret)
    assert paths.api_users.stat().st_mode & 0o077 == 0
    assert secret not in repr(users.load(paths))
    listed = pvefw("user", "list", "--output-format", "json").out
    assert secret not in listed
    assert [row["totp"] for row in json.loads(listed)] == [False, True]
    pvefw("user", "set", "ann@pam", "--grant", "/=Sys.Modify")
    pvefw("token", "add", "ann@pam", "ci")
    assert users.load(paths)["ann@pam"].totp == totp.Totp(secret), "what is not named stays"
    assert "already" in pvefw("totp", "add", "ann@pam", status=2).err
    pvefw("user", "set", "bot@pve")
    assert "tokens only" in pvefw("totp", "add", "bot@pve", status=2).err
    pvefw("totp", "remove", "ann@pam")
    assert users.load(paths)["ann@pam"].totp is None
    assert "no second factor" in pvefw("totp", "remove", "ann@pam", status=1).err


# --- real clients -------------------------------------------------------------------------------------


@pytest.fixture
def phone(service, pam_rules):
    """The app of ``admin@pam``, whose password is ``secret``; it never shows a code twice."""
    pam_rules("pvefw-api", "admin", "reader")
    with users.changing(service.paths) as found:
        made = totp.new()
        found["admin@pam"] = replace(found["admin@pam"], totp=made)
    app = pyotp.TOTP(made.secret)

    def code():
        taken = users.load(service.paths)["admin@pam"].totp.taken
        return app.generate_otp(max(taken + 1, int(time.time()) // 30))

    yield code
    with users.changing(service.paths) as found:
        found["admin@pam"] = replace(found["admin@pam"], totp=None)


@only_root("writes PAM's rules")
def test_proxmoxer_logs_in_with_a_code(service, phone):
    def client(**who):
        return proxmoxer.ProxmoxAPI(
            "127.0.0.1", port=service.port, verify_ssl=False, timeout=60, password="secret", **who
        )

    code = phone()
    api = client(user="admin@pam", otp=code)
    assert api.nodes("pve1").config.put(description="by phone") is None
    for wrong in ({}, {"otp": code}, {"otp": "000000"}):
        with pytest.raises(proxmoxer.AuthenticationError):
            client(user="admin@pam", **wrong)
    assert client(user="reader@pam").version.get()["version"]


@only_root("writes PAM's rules")
def test_the_page_asks_for_the_code_after_the_password(service, phone):
    with chromium() as browser:
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.set_default_timeout(240_000)
        page.goto(service.url("/#/tasks"))
        page.get_by_label("User").fill("admin@pam")
        page.get_by_label("Password").fill("secret")
        button = page.get_by_role("dialog").get_by_role("button", name="Log in")
        button.click()
        page.get_by_label("Code of your app").fill("000000")
        assert page.context.cookies() == [], "a challenge is no session"
        button.click()
        page.get_by_role("alert").filter(has_text="authentication failure").wait_for()
        assert page.get_by_label("Code of your app").count() == 0
        page.get_by_label("Password").fill("secret")
        button.click()
        page.get_by_label("Code of your app").fill(phone())
        button.click()
        page.get_by_role("dialog").wait_for(state="detached")
        assert [cookie["name"] for cookie in page.context.cookies()] == ["__Host-PVEAuthCookie"]


def test_a_clock_that_was_years_ahead_keeps_nobody_out():
    made = totp.new()
    app, now = pyotp.TOTP(made.secret), 1_800_000_000
    ahead = now + 12 * 365 * 86400
    taken = totp.take(made, app.at(ahead), ahead)
    assert taken is not None
    again = totp.take(taken, app.at(now), now)
    assert again is not None
    assert totp.take(again, app.at(now), now) is None, "once"
    a_minute_back = totp.take(again, app.at(now - 60), now - 60)
    assert a_minute_back is None, "a small step lets no code in twice"
