"""Other clients of OVH's API are content with the fake, so that it cannot drift towards our plugin."""

import ovh as official
import pytest
from lexicon._private.providers import ovh as lexicon_ovh
from lexicon.config import ConfigResolver
from ovh import client as official_client

from pvefw_acme_dns_ovh import api

RULES = [{"method": method, "path": "/*"} for method in ("GET", "POST", "PUT", "DELETE")]


@pytest.fixture
def trusted(ovh, monkeypatch):
    """Both clients use requests, and let the environment choose certificates."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", ovh.ca_file)
    monkeypatch.setitem(official_client.ENDPOINTS, "ovh-eu", ovh.base)
    tokens = f"{ovh.base.removesuffix('/1.0')}/auth/oauth2/token"
    monkeypatch.setitem(official_client.OAUTH2_TOKEN_URLS, "ovh-eu", tokens)
    monkeypatch.setitem(lexicon_ovh.ENDPOINTS, "ovh-eu", ovh.base)
    ovh.grant("ck-all", RULES)
    return ovh


def official_one(ovh, **settings):
    key, secret = ovh.application
    known = {"application_key": key, "application_secret": secret, "consumer_key": "ck-all"}
    return official.Client("ovh-eu", **(settings or known))


def through_all_of_it(client, ovh):
    """What a program does that manages a zone."""
    assert client.get("/me")["nichandle"]
    assert client.get("/domain/zone") == client.get("/domain/zone/") == list(ovh.zones)
    assert client.get("/domain/zone/example.com")["nameServers"]
    assert client.get("/domain/zone/example.com/status")["isDeployed"]
    serial = client.get("/domain/zone/example.com/soa")["serial"]
    record = "/domain/zone/example.com/record"
    made = client.post(record, fieldType="TXT", subDomain="x", target="value", ttl=60)
    assert client.get(record) == client.get(record, fieldType="TXT") == [made["id"]]
    assert client.get(f"{record}/{made['id']}")["target"].strip('"') == "value"
    client.put(f"{record}/{made['id']}", target="other")
    client.post("/domain/zone/example.com/refresh")
    assert ovh.values("x.example.com.") == ["other"]
    assert client.get("/domain/zone/example.com/soa")["serial"] > serial
    client.delete(f"{record}/{made['id']}")
    assert client.get(record) == []


def test_the_official_client_with_keys(trusted):
    through_all_of_it(official_one(trusted), trusted)


def test_the_official_client_with_oauth2(trusted):
    identity, secret = trusted.oauth
    client = official_one(trusted, client_id=identity, client_secret=secret)
    through_all_of_it(client, trusted)


def test_the_official_client_gets_a_key(trusted):
    client = official_one(trusted)
    request = client.new_consumer_key_request()
    request.add_rules(official.API_READ_ONLY, "/me")
    made = request.request()
    assert made["state"] == "pendingValidation"
    with pytest.raises(official.InvalidCredential):
        client.get("/me")
    trusted.consumers[made["consumerKey"]]["status"] = "validated"
    assert client.get("/me")
    assert client.get("/auth/currentCredential")["status"] == "validated"
    with pytest.raises(official.exceptions.NotGrantedCall):
        client.get("/domain/zone")


def official_error(ovh, kind, call, **settings):
    with pytest.raises(kind) as caught:
        call(official_one(ovh, **settings))
    assert type(caught.value) is kind
    assert caught.value.query_id


def test_the_official_client_tells_its_errors_apart(trusted):
    errors = official.exceptions
    key, secret = trusted.application
    keys = {"application_key": key, "application_secret": secret, "consumer_key": "ck-all"}

    def zone(client):
        return client.get("/domain/zone/example.com")

    official_error(trusted, errors.NotCredential, zone, **{**keys, "consumer_key": "no"})
    official_error(trusted, errors.InvalidKey, zone, **{**keys, "application_key": "no"})
    official_error(trusted, errors.BadParametersError, zone, **{**keys, "application_secret": "no"})
    official_error(
        trusted, errors.ResourceNotFoundError, lambda client: client.get("/domain/zone/example.org")
    )
    record = "/domain/zone/example.com/record"
    too_short = {"fieldType": "TXT", "subDomain": "x", "target": "v", "ttl": 59}
    official_error(
        trusted, errors.BadParametersError, lambda client: client.post(record, **too_short)
    )
    trusted.refreshing = [409, 500]
    refresh = "/domain/zone/example.com/refresh"
    official_error(trusted, errors.ResourceConflictError, lambda client: client.post(refresh))
    official_error(trusted, errors.APIError, lambda client: client.post(refresh))


def test_the_endpoints_are_those_of_the_official_client():
    ours = {key: url for key, url in api.ENDPOINTS.items() if key != "ovh-eu"}
    theirs = {key: url for key, url in official_client.ENDPOINTS.items() if key in ours}
    assert ours == theirs
    assert api.ENDPOINTS["ovh-eu"] == "https://eu.api.ovh.com/1.0"
    assert api.TOKEN_URLS == official_client.OAUTH2_TOKEN_URLS


def test_lexicon_s_provider(trusted):
    key, secret = trusted.application
    options = {
        "auth_entrypoint": "ovh-eu",
        "auth_application_key": key,
        "auth_application_secret": secret,
        "auth_consumer_key": "ck-all",
    }
    config = {"provider_name": "ovh", "domain": "example.com", "ttl": 60, "ovh": options}
    provider = lexicon_ovh.Provider(ConfigResolver().with_dict(config))
    provider.authenticate()
    assert provider.create_record("TXT", "_acme-challenge.example.com", "value")
    assert trusted.values("_acme-challenge.example.com.") == ["value"]
    assert provider.list_records("TXT", "_acme-challenge.example.com")
    assert provider.delete_record(None, "TXT", "_acme-challenge.example.com", "value")
    assert trusted.values("_acme-challenge.example.com.") == []
