"""The OVH plugin against a strict fake of OVH's API."""

import pytest

from pvefw.api import CredentialsRejected, ProviderError, RateLimited, TxtRecord, Unavailable
from pvefw.core import plugins
from pvefw.core.hookspecs.dns import DNS
from pvefw.testing.dns import DnsConformance
from pvefw.testing.fakes import FakeTask
from pvefw_acme_dns_ovh import ACCESS_RULES, Ovh

RECORDS = [TxtRecord("_acme-challenge.www.example.com.", f"value-{n}") for n in range(3)]


def add(plugin, records=RECORDS):
    plugin.dns_add(zone="example.com.", records=records)


class TestKeys(DnsConformance):
    @pytest.fixture
    def plugin(self, make):
        return make()

    @pytest.fixture
    def zone(self):
        return "example.com."

    @pytest.fixture
    def records(self, ovh):
        def shown(name):
            values = ovh.values(name)
            assert len(values) == len(set(values)), f"a record at {name} stands twice"
            return set(values)

        return shown

    @pytest.fixture
    def broken_plugin(self, make):
        return make(OVH_CK="ck-unknown")


class TestOAuth2(TestKeys):
    no_keys = dict.fromkeys(("OVH_AK", "OVH_AS", "OVH_CK"), "")

    @pytest.fixture
    def plugin(self, make, ovh):
        identity, secret = ovh.oauth
        return make(**self.no_keys, OVH_CLIENT_ID=identity, OVH_CLIENT_SECRET=secret)

    @pytest.fixture
    def broken_plugin(self, make):
        return make(**self.no_keys, OVH_CLIENT_ID="client-id", OVH_CLIENT_SECRET="wrong")


def test_the_zone_is_refreshed_once_for_a_batch_and_not_for_nothing(make, ovh):
    plugin = make()
    add(plugin)
    add(plugin)
    assert ovh.calls["POST /domain/zone/example.com/refresh"] == 1
    plugin.dns_remove(zone="example.com.", records=RECORDS)
    plugin.dns_remove(zone="example.com.", records=RECORDS)
    assert ovh.calls["POST /domain/zone/example.com/refresh"] == 2


def test_the_rules_that_are_asked_for_are_enough_and_all_are_needed(make, ovh):
    plugin = make()
    plugin.dns_zones()
    add(plugin)
    plugin.dns_remove(zone="example.com.", records=RECORDS)
    for rule in ACCESS_RULES[:-1]:  # the last one is what login asks with
        ovh.grant("ck-less", [one for one in ACCESS_RULES if one != rule])
        lesser = make(OVH_CK="ck-less")
        with pytest.raises(CredentialsRejected, match="NOT_GRANTED_CALL"):
            lesser.dns_zones()
            add(lesser)
            lesser.dns_remove(zone="example.com.", records=RECORDS)
        ovh.records.clear()


@pytest.mark.parametrize("key", ["", "ck-unknown", "ck-less"])
def test_a_key_that_is_missing_or_weak_says_how_to_get_a_better_one(make, ovh, key):
    ovh.grant("ck-less", ACCESS_RULES[:1])
    with pytest.raises(CredentialsRejected) as caught:
        add(make(OVH_CK=key))
    hint = caught.value.hint
    assert f"POST {ovh.base}/auth/credential" in hint
    assert '{"method": "POST", "path": "/domain/zone/*/record"}' in hint
    [(made, pending)] = [
        (key, one) for key, one in ovh.consumers.items() if one["status"] == "pendingValidation"
    ]
    assert "open https://eu.api.ovh.com/auth/?credentialToken=" in hint
    assert f"set OVH_CK={made}" in hint
    assert pending["rules"] == ACCESS_RULES
    assert "pvefw acme plugin login" in hint


def test_where_no_key_can_be_asked_for_the_error_says_so(make):
    with pytest.raises(CredentialsRejected) as caught:
        add(make(OVH_AK="wrong", OVH_CK=""))
    assert "It was tried: not allowed to POST /auth/credential: Invalid application key" in (
        caught.value.hint
    )


def test_login_shows_the_page_waits_and_returns_the_key(make, ovh):
    class Person(FakeTask):
        """Opens the page after a while."""

        def wait(self, seconds):
            super().wait(seconds)
            if self.waited > 5:
                [pending] = [key for key in ovh.consumers if key != "ck-granted"]
                ovh.consumers[pending]["status"] = "validated"

    person = Person()
    plugin = make(OVH_CK="")
    found = plugin.dns_login(task=person)
    assert person.lines[0].startswith("Open this page and allow the access: https://")
    assert found["OVH_CK"] not in "".join(person.lines)
    add(make(**found))
    assert ovh.consumers[found["OVH_CK"]]["rules"] == ACCESS_RULES


def test_login_that_is_refused(make, ovh):
    class Person(FakeTask):
        def wait(self, seconds):
            for one in ovh.consumers.values():
                one["status"] = "refused"

    with pytest.raises(CredentialsRejected, match="was not allowed: refused"):
        make(OVH_CK="").dns_login(task=Person())


@pytest.mark.parametrize("offset", [-3600, 3600])
def test_a_clock_that_is_off_by_an_hour_does_not_matter(make, ovh, offset):
    ovh.clock_offset = offset
    add(make())
    assert len(ovh.values(RECORDS[0].name)) == 3


def answers(status, body=b"", **headers):
    def fault(handler, _method, path):
        if path == "/auth/time":
            return False
        handler.send(status, body, {name.replace("_", "-"): one for name, one in headers.items()})
        return True

    return fault


def hang_up(handler, _method, _path):
    handler.close_connection = True
    return True


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (answers(429, b"{}", Retry_After="7"), RateLimited, "429"),
        (answers(500, b'{"message": "Internal"}'), Unavailable, "Internal"),
        (answers(503, b"<html>"), Unavailable, "status 503"),
        (answers(200, b"<html>"), Unavailable, "not JSON"),
        (answers(400, b'{"message": "Bad subDomain"}'), ProviderError, "Bad subDomain"),
        (hang_up, Unavailable, "no answer"),
    ],
    ids=["429", "500", "503", "rubbish", "400", "closed"],
)
def test_faults(make, ovh, fault, error, said):
    ovh.fault = fault
    with pytest.raises(error, match=said) as caught:
        add(make())
    assert type(caught.value) is error
    if error is RateLimited:
        assert caught.value.retry_after == 7
    assert ovh.application[1] not in str(caught.value)


def test_a_server_that_does_not_answer(make, ovh, monkeypatch):
    import threading

    monkeypatch.setattr("pvefw_acme_dns_ovh.api._SECONDS", 0.2)
    ended = threading.Event()
    ovh.fault = lambda *_: ended.wait(5) or True
    with pytest.raises(Unavailable, match="no answer within"):
        add(make())
    ended.set()


def test_a_record_that_vanishes_meanwhile_is_gone(make, ovh):
    plugin = make()
    add(plugin)

    def fault(_handler, method, path):
        if method == "DELETE":
            ovh.records.pop(int(path.rpartition("/")[2]), None)
        return False

    ovh.fault = fault
    plugin.dns_remove(zone="example.com.", records=RECORDS)
    assert ovh.records == {}


def test_a_zone_of_somebody_else(make):
    with pytest.raises(ProviderError, match="This service does not exist"):
        make().dns_add(zone="example.org.", records=RECORDS)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"OVH_AK": "a"}, "OVH_AK and OVH_AS belong together"),
        ({}, "give either"),
        ({"OVH_CLIENT_ID": "a"}, "belong together"),
        (
            {"OVH_CLIENT_ID": "a", "OVH_CLIENT_SECRET": "b", "OVH_END_POINT": "kimsufi-eu"},
            "OAuth2 works at",
        ),
    ],
)
def test_settings_that_do_not_go_together(settings, said):
    with pytest.raises(ValueError, match=said):
        Ovh(**settings)


def test_nothing_is_taken_from_elsewhere(make, ovh, monkeypatch, tmp_path):
    """Not from OVH's own variables or files, nor from those of requests."""
    (tmp_path / "ovh.conf").write_text("[default]\nendpoint=ovh-ca\n[ovh-ca]\nconsumer_key=x\n")
    monkeypatch.chdir(tmp_path)
    for name in ("OVH_CONSUMER_KEY", "OVH_APPLICATION_KEY", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, "/no/such/thing")
    add(make())
    assert len(ovh.values(RECORDS[0].name)) == 3


def test_secrets_do_not_show(make, ovh):
    plugin = make()
    shown = repr(plugin)
    for secret in (*ovh.application, "ck-granted"):
        assert secret not in shown


def test_it_binds_as_core_binds_it(make, ovh):
    key, secret = ovh.application
    values = {"OVH_AK": key, "OVH_AS": secret, "OVH_CK": "ck-granted", "OVH_CA_FILE": ovh.ca_file}
    bound = plugins.bind(DNS, "ovh", values, instance="mine")
    assert bound.hooks.dns_zones() == ["example.com.", "example.net."]
