"""Consumer keys and OAuth2 clients: how they are got, and what is said of those that do not do."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from pvefw.api import CredentialsRejected, ProviderError, RateLimited, TxtRecord, Unavailable
from pvefw.core.binding import bind_object
from pvefw.core.families import DNS
from pvefw.testing.fakes import FakeTask
from pvefw_acme_dns_ovh.rights import access_rules

RECORDS = [TxtRecord("_acme-challenge.www.example.com.", "value")]


def add(plugin):
    plugin.dns_add(zone="example.com.", records=RECORDS, task=FakeTask())


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "ck-unknown", "ck-less"])
def test_a_key_that_is_missing_or_weak_says_how_to_get_a_better_one(make, ovh, key):
    ovh.grant("ck-less", access_rules()[:1])
    hooks = bind_object(DNS, make(OVH_CK=key), "mine").hooks
    with pytest.raises(CredentialsRejected) as caught:
        hooks.dns_add(zone="example.com.", records=RECORDS, task=FakeTask())
    hint = caught.value.hint
    assert "pvefw acme plugin login mine" in hint
    assert f"POST {ovh.base}/auth/credential" in hint
    assert json.loads(hint[hint.index('{"') : hint.rindex("}") + 1]) == {
        "accessRules": access_rules()
    }
    assert max(len(line) for line in hint.splitlines()) < 100


@pytest.mark.parametrize("key", ["", "ck-unknown"])
def test_a_failing_run_makes_no_key(make, ovh, key):
    for _ in range(3):
        with pytest.raises(CredentialsRejected):
            add(make(OVH_CK=key))
    assert ovh.calls["POST /auth/credential"] == 0


@pytest.mark.parametrize(
    ("settings", "code", "hint"),
    [
        ({"OVH_AS": "wrong"}, "INVALID_SIGNATURE", "Check OVH_AS"),
        ({"OVH_AK": "wrong"}, "INVALID_KEY", "Check OVH_AK and OVH_END_POINT"),
        ({"OVH_CK": "ck-unknown"}, "NOT_CREDENTIAL", "pvefw acme plugin login"),
        ({"OVH_CK": "ck-waits"}, "INVALID_CREDENTIAL", "pvefw acme plugin login"),
    ],
)
def test_each_key_that_is_wrong_is_named(make, ovh, settings, code, hint):
    ovh.grant("ck-waits", access_rules(), "pendingValidation")
    with pytest.raises(CredentialsRejected, match=code) as caught:
        make(**settings).dns_zones()
    assert hint in caught.value.hint


# --- login --------------------------------------------------------------------------------------


class Person(FakeTask):
    """Opens the page after a while, and decides."""

    def __init__(self, ovh, decide, after=5.0):
        super().__init__()
        self.ovh, self.decide, self.after = ovh, decide, after

    def wait(self, seconds):
        super().wait(seconds)
        assert self.waited < 600, "it waits for ever"
        waiting = [
            key
            for key, consumer in self.ovh.consumers.items()
            if consumer["status"] == "pendingValidation"
        ]
        if self.waited > self.after and waiting:
            self.decide(self.ovh, waiting[0])


def allow(ovh, key):
    ovh.consumers[key]["status"] = "validated"


def refuse(ovh, key):
    ovh.consumers[key]["status"] = "refused"


def vanish(ovh, key):
    del ovh.consumers[key]


def log_in(make, person, zones=(), **settings):
    return make(OVH_CK="", **settings).dns_login(task=person, zones=zones)


def test_login_shows_the_page_waits_and_returns_the_key(make, ovh):
    person = Person(ovh, allow)
    found = log_in(make, person)
    assert person.lines[0].startswith("Open this page and allow the access: https://")
    assert found["OVH_CK"] not in "".join(person.lines)
    add(make(**found))
    assert ovh.consumers[found["OVH_CK"]]["rules"] == access_rules()
    assert "does not expire" in person.lines[-1]
    assert person.warnings == []


def test_login_for_one_zone_asks_for_nothing_else(make, ovh):
    found = log_in(make, Person(ovh, allow), ["example.com."])
    paths = {rule["path"] for rule in ovh.consumers[found["OVH_CK"]]["rules"]}
    assert all(
        path.startswith("/domain/zone/example.com/") for path in paths - {"/auth/currentCredential"}
    )
    plugin = make(**found)
    add(plugin)
    with pytest.raises(CredentialsRejected, match="NOT_GRANTED_CALL"):
        plugin.dns_add(
            zone="example.net.", records=[TxtRecord("x.example.net.", "y")], task=FakeTask()
        )


def test_a_key_that_may_not_be_asked_about_is_taken_for_allowed(make, ovh):
    """It is good for the calls that it was asked for; this one some accounts do not grant."""

    def fault(handler, _method, path):
        if path != "/auth/currentCredential":
            return False
        answer = {"message": "not granted", "errorCode": "NOT_GRANTED_CALL"}
        handler.send(403, json.dumps(answer).encode(), {})
        return True

    ovh.fault = fault
    person = Person(ovh, allow)
    assert log_in(make, person)["OVH_CK"]
    assert person.waited == 0


def test_an_oauth2_client_is_not_logged_in(make_client):
    with pytest.raises(ProviderError, match="an OAuth2 client needs no login"):
        make_client().dns_login(task=FakeTask(), zones=[])


@pytest.mark.parametrize(
    ("decide", "said"), [(refuse, "refused"), (vanish, "NOT_CREDENTIAL")], ids=["status", "403"]
)
def test_a_refusal_in_either_form_ends_the_login_at_once(make, ovh, decide, said):
    person = Person(ovh, decide)
    with pytest.raises(CredentialsRejected, match=f"was not allowed: {said}"):
        log_in(make, person)
    assert person.waited < 10


@pytest.mark.parametrize("status", [503, 429, 500])
def test_a_fault_while_somebody_is_on_the_page_is_waited_for(make, ovh, status):
    asked = []

    def fault(handler, _method, path):
        if path == "/auth/currentCredential":
            asked.append(path)
            if len(asked) in (2, 3):
                handler.send(status, b"{}", {"Retry-After": "3"})
                return True
        return False

    ovh.fault = fault
    person = Person(ovh, allow, after=20.0)
    found = log_in(make, person)
    ovh.fault = None
    add(make(**found))
    assert ovh.calls["POST /auth/credential"] == 1


def test_a_fault_that_lasts_ends_the_login(make, ovh):
    def fault(handler, _method, path):
        if path == "/auth/currentCredential":
            handler.send(503, b"{}", {})
            return True
        return False

    ovh.fault = fault
    with pytest.raises(Unavailable, match="503"):
        log_in(make, FakeTask())


@pytest.mark.parametrize(
    ("settings", "hint"), [({"OVH_AS": "wrong"}, "OVH_AS"), ({"OVH_AK": "wrong"}, "OVH_AK")]
)
def test_a_wrong_application_is_found_before_the_page_is_shown(make, settings, hint):
    task = FakeTask()
    with pytest.raises(CredentialsRejected) as caught:
        log_in(make, task, **settings)
    assert hint in caught.value.hint
    assert task.lines == []


def test_the_validity_is_read_and_said(make, ovh):
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)

    def allow_for_a_day(ovh, key):
        ovh.consumers[key].update(status="validated", expiration=end.isoformat())

    person = Person(ovh, allow_for_a_day)
    found = log_in(make, person)
    [warned] = person.warnings
    assert f"expires on {end.date()}" in warned
    assert make(**found).dns_credentials_end() == end
    assert make().dns_credentials_end() is None


# --- OAuth2 -------------------------------------------------------------------------------------


def tokens(ovh):
    return ovh.calls["POST /auth/oauth2/token"]


def test_a_token_is_used_until_it_ends(make_client, ovh, monkeypatch):
    plugin = make_client()
    add(plugin)
    plugin.dns_zones()
    assert tokens(ovh) == 1
    from pvefw_acme_dns_ovh import credentials

    later = credentials.monotonic() + 3590
    monkeypatch.setattr(credentials, "monotonic", lambda: later)
    plugin.dns_zones()
    assert tokens(ovh) == 2


def test_a_token_that_is_refused_is_fetched_again_once(make_client, ovh):
    plugin = make_client()
    plugin.dns_zones()
    ovh.tokens.clear()
    add(plugin)
    assert tokens(ovh) == 2
    ovh.fault = lambda handler, _method, path: (
        path == "/domain/zone" and not handler.send(401, b"{}", {})
    )
    with pytest.raises(CredentialsRejected, match="401"):
        plugin.dns_zones()
    assert tokens(ovh) == 3


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (503, b"<html>", Unavailable, "503"),
        (429, b"{}", RateLimited, "429"),
        (500, b'{"error": "server_error"}', Unavailable, "server_error"),
        (
            400,
            b'{"error": "invalid_grant", "error_description": "The client is disabled"}',
            CredentialsRejected,
            "invalid_grant, .*The client is disabled",
        ),
    ],
)
def test_the_token_endpoint_s_answers(make_client, ovh, status, body, kind, said):
    def fault(handler, _method, path):
        if path == "/auth/oauth2/token":
            handler.send(status, body, {"Retry-After": "9"})
            return True
        return False

    ovh.fault = fault
    with pytest.raises(kind, match=said.replace(", ", ": ").replace(": .*", ".*")) as caught:
        make_client().dns_zones()
    assert type(caught.value) is kind
    if kind is RateLimited:
        assert caught.value.retry_after == 9


def test_an_answer_without_end_fills_no_memory(make, ovh):
    sent = []

    def endless(handler, _method, _path):
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        with suppress(OSError):
            for _ in range(64):
                handler.wfile.write(b" " * (1 << 20))
                sent.append(1)
        return True

    ovh.fault = endless
    with pytest.raises(Unavailable, match="the answer is larger than"):
        make().dns_zones()
    assert len(sent) < 64


@pytest.mark.parametrize("status", [302, 307])
def test_who_we_are_is_shown_to_no_other_server(make_client, ovh, status):
    """The secret of the client is in the body, which a redirection with 307 sends again."""
    asked = []

    def elsewhere(handler, _method, path):
        asked.append(path)
        handler.send(status, b"", {"Location": f"{ovh.base}/elsewhere"})
        return True

    ovh.fault = elsewhere
    with pytest.raises(Unavailable, match="it redirects"):
        make_client().dns_zones()
    assert not [path for path in asked if path.endswith("/elsewhere")]


ACTIONS = {
    "dnsZone:apiovh:record/get",
    "dnsZone:apiovh:record/create",
    "dnsZone:apiovh:record/delete",
    "dnsZone:apiovh:refresh",
}
"""Those that the README lists as needed."""


def test_the_actions_of_the_readme_are_enough_and_each_that_is_missing_is_named(make_client, ovh):
    ovh.iam = ACTIONS
    plugin = make_client()
    assert plugin.dns_zones() is None
    for action in sorted(ACTIONS):
        ovh.iam = ACTIONS
        add(plugin)
        plugin.dns_remove(zone="example.com.", records=RECORDS, task=FakeTask())
        ovh.iam = ACTIONS - {action}
        with pytest.raises(CredentialsRejected, match=f"IAM does not allow {action}") as caught:
            add(plugin)
            plugin.dns_remove(zone="example.com.", records=RECORDS, task=FakeTask())
        assert action in caught.value.hint
        ovh.records.clear()


def test_the_readme_lists_the_actions():
    from pathlib import Path

    readme = Path(__file__).parents[1].joinpath("README.md").read_text()
    assert all(f"`{action}`" in readme for action in ACTIONS)
