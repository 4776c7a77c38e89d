"""The catalogue over dns-lexicon: every provider's settings, real servers, and what errors mean."""

import io
import urllib.error
from email.message import Message
from pathlib import Path

import pytest
import requests
from lexicon.exceptions import AuthenticationError, LexiconError
from servers.nameserver import Zone
from servers.powerdns import powerdns

from pvefw.api import (
    CredentialsRejected,
    ProviderError,
    RateLimited,
    TxtRecord,
    Unavailable,
    Unsupported,
)
from pvefw.core import binding, settings
from pvefw.core.families import DNS_CATALOG
from pvefw.testing.dns import DnsConformance
from pvefw_acme_dns_lexicon import Lexicon, library

RECORD = TxtRecord("_acme-challenge.kit.test.", "value-1")


@pytest.fixture(scope="module")
def pdns(tmp_path_factory):
    zone = Zone("kit.test.", {"ns1": "127.0.0.1"})
    with powerdns(tmp_path_factory.mktemp("pdns"), [zone]) as server:
        yield server


def values_of(pdns, token=""):
    where = pdns.api.partition("/api")[0]
    return {
        "auth_token": token or pdns.api_key,
        "pdns_server": where,
        "pdns_server_id": "localhost",
    }


class TestPowerDns(DnsConformance):
    @pytest.fixture
    def plugin(self, pdns):
        return Lexicon().catalog_make("powerdns", values_of(pdns))

    @pytest.fixture
    def fresh_plugin(self, pdns):
        return lambda: Lexicon().catalog_make("powerdns", values_of(pdns))

    @pytest.fixture
    def zone(self):
        return "kit.test."

    @pytest.fixture
    def records(self, pdns):
        return pdns.txt

    @pytest.fixture
    def broken_plugin(self, pdns):
        return Lexicon().catalog_make("powerdns", values_of(pdns, "wrong-token"))


class Obstinate:
    """A provider that reports a removal, and does not remove."""

    def __init__(self, *_config):
        self.records = ["value-1"]

    def authenticate(self):
        pass

    def cleanup(self):
        pass

    def list_records(self, _kind, name):
        return [{"name": name, "content": record} for record in self.records]

    def delete_record(self, *_arguments):
        return True


class Greedy(Obstinate):
    """A provider that removes whatever is at a name."""

    def __init__(self, *_config):
        self.records = ["value-1", "foreign"]

    def delete_record(self, *_arguments):
        self.records = []
        return True


@pytest.mark.parametrize(
    ("provider", "kind", "said"),
    [
        (Obstinate, Unavailable, "lexicon/it: the provider still lists the value at"),
        (Greedy, ProviderError, "lexicon/it removed 1 other values at"),
    ],
)
def test_what_a_removal_does_is_looked_at(monkeypatch, provider, kind, said):
    monkeypatch.setattr(library, "load", lambda _name: provider)
    with pytest.raises(kind, match=said):
        Lexicon().catalog_make("it", {}).dns_remove(zone="kit.test.", records=[RECORD])


def test_every_provider_of_the_library_has_settings():
    names = library.names()
    assert len(names) > 60
    for name in names:
        infos = library.settings(name)
        assert all(info.help for info in infos), name
        for info in infos:
            if any(word in info.key for word in ("token", "password", "secret", "key")):
                assert info.secret, f"{name}: {info.key}"


def test_what_names_a_file_of_this_host_is_a_path(monkeypatch):
    """The API reserves such settings for root."""

    class Provider:
        @staticmethod
        def configure_parser(parser):
            for name in ("auth-config-file", "filename", "auth-token"):
                parser.add_argument(f"--{name}", help="as oci's and localzone's")

    monkeypatch.setattr(library, "load", lambda _name: Provider)
    found = {info.key: info.type for info in library.settings("oci")}
    assert found == {"auth_config_file": "path", "filename": "path", "auth_token": "string"}


def test_an_entry_is_a_form():
    entry = Lexicon().catalog_entry("powerdns")
    shown = {info.key: info.secret for info in entry.settings}
    assert shown == {
        "auth_token": True,
        "pdns_server": False,
        "pdns_server_id": False,
        "pdns_disable_notify": False,
    }
    assert settings.json_schema(entry.settings)["additionalProperties"] is False


def test_unknown_providers():
    with pytest.raises(ProviderError, match="has no provider nothing"):
        Lexicon().catalog_entry("nothing")


def test_a_provider_that_lacks_a_library_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(library, "_providers", lambda: {"route53": False, "powerdns": True})
    assert list(Lexicon().catalog_names()) == ["powerdns"]
    with pytest.raises(Unsupported) as caught:
        Lexicon().catalog_entry("route53")
    assert caught.value.message == (
        "dns-lexicon's provider route53 needs a library that is not installed"
    )
    assert caught.value.hint == (
        "Install it beside pvefw: pipx inject pvefw 'dns-lexicon[route53]'"
    )


class Silent(Obstinate):
    """A provider that does not add, and does not say why."""

    def create_record(self, *_arguments):
        return False


def test_what_was_not_added_is_an_error(monkeypatch):
    monkeypatch.setattr(library, "load", lambda _name: Silent)
    plugin = Lexicon().catalog_make("it", {})
    with pytest.raises(ProviderError, match="and does not say why"):
        plugin.dns_add(zone="kit.test.", records=[TxtRecord(RECORD.name, "value-2")])


def test_it_binds_as_core_binds_it():
    bound = binding.bind(DNS_CATALOG, "lexicon", {})
    assert "powerdns" in bound.hooks.catalog_names(root=Path("/"))


def test_nothing_comes_from_the_environment(monkeypatch, pdns):
    monkeypatch.setenv("LEXICON_POWERDNS_AUTH_TOKEN", pdns.api_key)
    monkeypatch.setenv("LEXICON_POWERDNS_TOKEN", pdns.api_key)
    without = {key: value for key, value in values_of(pdns).items() if key != "auth_token"}
    with pytest.raises(ProviderError):
        Lexicon().catalog_make("powerdns", without).dns_add(zone="kit.test.", records=[RECORD])
    assert pdns.txt(RECORD.name) == set()


def test_secrets_do_not_show(pdns):
    assert pdns.api_key not in repr(Lexicon().catalog_make("powerdns", values_of(pdns)))


class Replacing:
    """A provider whose create is a replace, as some of the library's are."""

    def __init__(self, *_config):
        self.records = {"other"}

    def authenticate(self):
        pass

    def cleanup(self):
        pass

    def list_records(self, _kind, name):
        return [{"name": name, "content": f'"{record}"'} for record in self.records]

    def create_record(self, _kind, _name, content):
        self.records = {content}
        return True


def test_a_provider_that_replaces_is_found_out(monkeypatch):
    monkeypatch.setattr(library, "load", lambda _name: Replacing)
    with pytest.raises(ProviderError, match="lexicon/it replaced 1 other values"):
        Lexicon().catalog_make("it", {}).dns_add(zone="kit.test.", records=[RECORD])


def status(code, **headers):
    answer = requests.Response()
    answer.status_code = code
    answer.headers.update({name.replace("_", "-"): header for name, header in headers.items()})
    return requests.HTTPError(f"{code} for url", response=answer)


def wrapped(cause, error):
    """As modules wrap what happened: ``raise … from``."""
    error.__cause__ = cause
    return error


def while_handling(cause, error):
    """As modules hide what happened: a plain ``raise`` in an ``except``."""
    error.__context__ = cause
    return error


class OfBotocore(Exception):
    response = {"ResponseMetadata": {"HTTPStatusCode": 503}}  # noqa: RUF012 - as it is there


class OfAzure(Exception):
    status_code = 429


OF_URLLIB = urllib.error.HTTPError("https://dns.example", 502, "Bad Gateway", Message(), None)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (status(401), CredentialsRejected),
        (status(403), CredentialsRejected),
        (status(429, Retry_After="7"), RateLimited),
        (status(502), Unavailable),
        (status(404), ProviderError),
        (requests.ConnectionError("refused"), Unavailable),
        (requests.Timeout("slow"), Unavailable),
        (KeyError("zone"), ProviderError),
        (wrapped(status(429, Retry_After="7"), LexiconError("x")), RateLimited),
        (wrapped(status(503), LexiconError("x")), Unavailable),
        (while_handling(status(503), AuthenticationError("no zone")), Unavailable),
        (while_handling(status(404), AuthenticationError("no zone")), CredentialsRejected),
        (while_handling(requests.Timeout(), AuthenticationError("no zone")), Unavailable),
        (wrapped(status(401), LexiconError("x")), CredentialsRejected),
        (wrapped(status(400), LexiconError("x")), ProviderError),
        (OfBotocore("down"), Unavailable),
        (OfAzure("slow down"), RateLimited),
        (OF_URLLIB, Unavailable),
        (TimeoutError("slow"), Unavailable),
    ],
)
def test_what_errors_mean(monkeypatch, raised, kind):
    class Failing(Replacing):
        def authenticate(self):
            raise raised

    monkeypatch.setattr(library, "load", lambda _name: Failing)
    with pytest.raises(ProviderError, match="lexicon/it: ") as caught:
        Lexicon().catalog_make("it", {}).dns_remove(zone="kit.test.", records=[RECORD])
    assert type(caught.value) is kind
    if kind is RateLimited and not isinstance(raised, OfAzure):
        assert caught.value.retry_after == 7


def test_a_login_that_fails_is_a_refusal(monkeypatch):
    class Failing(Replacing):
        def authenticate(self):
            raise AuthenticationError("No domain found")

    monkeypatch.setattr(library, "load", lambda _name: Failing)
    with pytest.raises(CredentialsRejected, match="No domain found"):
        Lexicon().catalog_make("it", {}).dns_add(zone="kit.test.", records=[RECORD])


def test_requests_are_limited_again_where_somebody_put_back_what_was_there(monkeypatch):
    limits = []

    def plain(_adapter, _request, _stream=False, timeout=None):
        limits.append(timeout)
        return requests.Response()

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", plain)
    for _ in range(2):
        library._limit_requests()
        once = requests.adapters.HTTPAdapter.send
        once(None, None)
        library._limit_requests()
        assert requests.adapters.HTTPAdapter.send is once
        monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", plain)
    assert limits == [30.0, 30.0]


class Endless(io.RawIOBase):
    """What a server sends that never comes to an end."""

    sent = 0

    def readable(self):
        return True

    def readinto(self, buffer):
        self.sent += len(buffer)
        assert self.sent < 128 << 20
        return len(buffer)


def test_an_answer_without_end_fills_no_memory(monkeypatch):
    def plain(_adapter, _request, _stream=False, timeout=None):
        assert timeout
        answer = requests.Response()
        answer.raw = Endless()
        return answer

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", plain)
    library._limit_requests()
    with pytest.raises(requests.ConnectionError, match="the answer is larger than"):
        requests.adapters.HTTPAdapter.send(None, None)
