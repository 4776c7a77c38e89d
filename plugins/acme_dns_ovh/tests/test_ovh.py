"""The OVH plugin against a strict fake of OVH's API."""

import threading
import time

import pytest

from pvefw.api import CredentialsRejected, ProviderError, RateLimited, TxtRecord, Unavailable
from pvefw.core import binding
from pvefw.core.families import DNS
from pvefw.testing.dns import DnsConformance
from pvefw.testing.fakes import FakeTask
from pvefw_acme_dns_ovh import Ovh
from pvefw_acme_dns_ovh.api import ENDPOINTS
from pvefw_acme_dns_ovh.rights import access_rules

RECORDS = [TxtRecord("_acme-challenge.www.example.com.", f"value-{n}") for n in range(3)]


REFRESH = "POST /domain/zone/example.com/refresh"


def add(plugin, records=RECORDS, zone="example.com.", task=None):
    plugin.dns_add(zone=zone, records=records, task=task or FakeTask())


def remove(plugin, records=RECORDS):
    plugin.dns_remove(zone="example.com.", records=records, task=FakeTask())


def shown(ovh, name=RECORDS[0].name):
    return set(ovh.values(name))


class TestKeys(DnsConformance):
    @pytest.fixture
    def plugin(self, make):
        return make()

    @pytest.fixture
    def zone(self):
        return "example.com."

    @pytest.fixture
    def records(self, ovh):
        def look(name):
            values = ovh.values(name)
            assert len(values) == len(set(values)), f"a record at {name} stands twice"
            return set(values)

        return look

    @pytest.fixture
    def fail_publishing(self, ovh):
        return lambda: ovh.refreshing.append(503)

    @pytest.fixture
    def broken_plugin(self, make):
        return make(OVH_CK="ck-unknown")


class TestOAuth2(TestKeys):
    @pytest.fixture
    def plugin(self, make_client):
        return make_client()

    @pytest.fixture
    def broken_plugin(self, make_client):
        return make_client(OVH_CLIENT_SECRET="wrong")


def test_the_zone_is_refreshed_once_for_each_call(make, ovh):
    """For a batch, and for nothing: what is there may not be published."""
    plugin = make()
    for calls in (1, 2):
        add(plugin)
        assert ovh.calls[REFRESH] == calls
    for calls in (3, 4):
        remove(plugin)
        assert ovh.calls[REFRESH] == calls


@pytest.mark.parametrize("zones", [[], ["example.com."]], ids=["all", "one"])
def test_the_rules_that_are_asked_for_are_enough_and_all_are_needed(make, ovh, zones):
    rules = access_rules(zones)
    ovh.grant("ck-exact", rules)
    plugin = make(OVH_CK="ck-exact")
    assert plugin.dns_zones() == (None if zones else ["example.com.", "example.net."])
    add(plugin)
    assert len(shown(ovh)) == 3
    remove(plugin)
    for rule in rules[:-1]:  # the last one is what login asks with
        ovh.grant("ck-less", [other for other in rules if other != rule])
        lesser = make(OVH_CK="ck-less")
        if rule["path"] == "/domain/zone":
            assert lesser.dns_zones() is None
            continue
        with pytest.raises(CredentialsRejected, match="NOT_GRANTED_CALL"):
            add(lesser)
            remove(lesser)
        ovh.records.clear()


CERTBOT_RULES = [
    ("GET", "/domain/zone/"),
    ("GET", "/domain/zone/example.com/status"),
    ("GET", "/domain/zone/example.com/record"),
    ("GET", "/domain/zone/example.com/record/*"),
    ("POST", "/domain/zone/example.com/record"),
    ("POST", "/domain/zone/example.com/refresh"),
    ("DELETE", "/domain/zone/example.com/record/*"),
]
"""Those of certbot-dns-ovh's documentation, for one zone."""


@pytest.mark.parametrize(
    "rules",
    [
        CERTBOT_RULES,
        [(method, "/domain/zone/*") for method in ("GET", "PUT", "POST", "DELETE")],
        [(method, "/domain/zone/example.com/*") for method in ("GET", "POST", "DELETE")],
    ],
    ids=["certbot", "certbot, all zones", "one zone"],
)
def test_a_key_that_may_not_list_the_zones_works(make, ovh, rules):
    ovh.grant("ck-others", [{"method": method, "path": path} for method, path in rules])
    plugin = make(OVH_CK="ck-others")
    assert plugin.dns_zones() is None
    add(plugin)
    assert len(shown(ovh)) == 3
    remove(plugin)
    assert shown(ovh) == set()


# --- the refresh --------------------------------------------------------------------------------


def test_one_refresh_at_a_time_is_waited_for(make, ovh):
    ovh.refreshing = [409, 409]
    task = FakeTask()
    add(make(), task=task)
    assert len(shown(ovh)) == 3
    assert task.waited == 3
    assert ovh.calls[REFRESH] == 3


def test_a_refresh_that_never_ends_is_reported_as_busy(make, ovh):
    ovh.refreshing = [409] * 50
    with pytest.raises(Unavailable, match="already running"):
        add(make())


def test_a_slow_refresh_is_asked_for_again(make, ovh, monkeypatch):
    """It is carried out although nobody has waited for the answer; until then, others conflict."""
    monkeypatch.setattr("pvefw_acme_dns_ovh.http._SECONDS", 0.3)
    answered = threading.Event()

    def slow(_handler, _method, path):
        if path.endswith("/refresh") and not answered.is_set():
            answered.wait(5)
            return True
        return False

    ovh.fault = slow
    plugin = make()
    with pytest.raises(Unavailable, match="no answer within"):
        add(plugin)
    answered.set()
    ovh.refreshing = [409]
    add(plugin)
    assert len(shown(ovh)) == 3


# --- records of others --------------------------------------------------------------------------


def test_what_the_filters_find_beside_it_is_not_ours(make, ovh):
    """The same value at names that begin alike, and in records of other kinds."""
    name, value = "_acme-challenge.www", RECORDS[0].value
    others = [
        ovh.add("example.com", f"{name}2", value),
        ovh.add("example.com", name, value, "TXT+"),
        ovh.add("example.com", f"{name}.deep", value),
    ]
    plugin = make()
    add(plugin, RECORDS[:1])
    assert value in shown(ovh)
    remove(plugin, RECORDS[:1])
    assert sorted(ovh.records) == others


# --- the clock --------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [-3600, 3600])
def test_a_clock_that_is_off_by_an_hour_does_not_matter(make, ovh, offset):
    ovh.clock_offset = offset
    add(make())
    assert len(shown(ovh)) == 3


def test_a_clock_that_is_set_meanwhile_does_not_matter(make, ovh, monkeypatch):
    plugin = make()
    add(plugin, RECORDS[:1])
    ovh.clock_offset = 7200
    add(plugin, RECORDS[1:])
    assert len(shown(ovh)) == 3
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now)  # for the fake; the plugin's is not asked
    remove(plugin)


def answers(status, body=b"", **headers):
    def fault(handler, _method, path):
        if path == "/auth/time":
            return False
        handler.send(
            status, body, {name.replace("_", "-"): header for name, header in headers.items()}
        )
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
        (answers(403, b'{"message": "Suspended"}'), CredentialsRejected, "not allowed to"),
        (hang_up, Unavailable, "no answer"),
    ],
    ids=["429", "500", "503", "rubbish", "400", "403", "closed"],
)
def test_faults(make, ovh, fault, error, said):
    ovh.fault = fault
    with pytest.raises(error, match=said) as caught:
        add(make())
    assert type(caught.value) is error
    if error is RateLimited:
        assert caught.value.retry_after == 7
    assert ovh.application[1] not in str(caught.value)


@pytest.mark.parametrize("body", [b'"soon"', b"null", b'{"time": 1}'])
def test_a_time_that_is_none(make, ovh, body):
    def fault(handler, _method, path):
        if path == "/auth/time":
            handler.send(200, body, {})
        return path == "/auth/time"

    ovh.fault = fault
    with pytest.raises(Unavailable, match="/auth/time: this is not a time: "):
        add(make())


def test_a_server_that_does_not_answer(make, ovh, monkeypatch):
    monkeypatch.setattr("pvefw_acme_dns_ovh.http._SECONDS", 0.2)
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
    remove(plugin)
    assert ovh.records == {}


def test_a_zone_of_somebody_else(make):
    with pytest.raises(ProviderError, match="This service does not exist"):
        add(make(), zone="example.org.")


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
        (
            {"OVH_AK": "a", "OVH_AS": "b", "OVH_END_POINT": "ovh-fr"},
            "'ovh-fr' is not one of ovh-eu",
        ),
        ({"OVH_AK": "a", "OVH_AS": "b", "OVH_END_POINT": "http://x"}, "nor an https:// URL"),
        ({"OVH_AK": "a", "OVH_AS": "b", "OVH_CK_EXPIRES": "soon"}, "soon"),
    ],
)
def test_settings_that_do_not_go_together(settings, said):
    with pytest.raises(ValueError, match=said):
        Ovh(**settings)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_the_names_of_acme_sh_are_understood(name):
    both = [
        Ovh(OVH_AK="a", OVH_AS="b", OVH_END_POINT=endpoint)
        for endpoint in (name, name.replace("-", ""))
    ]
    assert [plugin._api.base for plugin in both] == [ENDPOINTS[name]] * 2


def test_nothing_is_taken_from_elsewhere(make, ovh, monkeypatch, tmp_path):
    """Not from OVH's own variables or files, nor from those of requests."""
    (tmp_path / "ovh.conf").write_text("[default]\nendpoint=ovh-ca\n[ovh-ca]\nconsumer_key=x\n")
    monkeypatch.chdir(tmp_path)
    for name in ("OVH_CONSUMER_KEY", "OVH_APPLICATION_KEY", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, "/no/such/thing")
    add(make())
    assert len(shown(ovh)) == 3


def test_secrets_do_not_show(make, ovh):
    plugin = make()
    shown = repr(plugin)
    for secret in (*ovh.application, "ck-granted"):
        assert secret not in shown


def test_it_binds_as_core_binds_it(make, ovh):
    key, secret = ovh.application
    values = {"OVH_AK": key, "OVH_AS": secret, "OVH_CK": "ck-granted"}
    values |= {"OVH_CA_FILE": ovh.ca_file, "OVH_END_POINT": ovh.base}
    bound = binding.bind(DNS, "ovh", values, instance="mine")
    assert bound.hooks.dns_zones(task=FakeTask()) == ["example.com.", "example.net."]
